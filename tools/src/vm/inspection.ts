/**
 * One operation of a handler in a debugger. The package's own launcher stops it, told so by a file in the agent's folder; the
 * inspector of Node listens on the VM's loopback, and a port of this machine's loopback leads there.
 * Source: Node.js "Debugging" (`--inspect-brk`, `/json/list`).
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeWholeFile } from '@handlerkit/sdk';
import type { Operation } from '@handlerkit/sdk/contract';
import * as z from 'zod';
import { ToolError } from '../errors.ts';
import { formatStopOrder, STOP_ORDER_FILE } from '../pack/stop-order.ts';
import type { CommandContext } from '../tool-deps.ts';
import type { LocalVm } from './local-vm.ts';
import type { RelayWords } from './port-relay.ts';
import { portOf, startRelay, takePort } from './port-relay.ts';

export interface InspectRequest {
  readonly operation: Operation;
  /** Port on 127.0.0.1; 0: any free one. */
  readonly port: number;
}

export interface Inspection {
  /**
   * Has the next such operation of the handler stop at its first line, and says so as soon as a debugger can come. Call it under
   * the VM's lock.
   */
  order(handlerName: string, extensionName: string): void;
  /** Takes the order back. Says so when no operation heeded it. */
  close(): Promise<void>;
}

/** Takes back the order that a tool which was killed has left. Call it under the VM's lock. */
export function clearStopOrder({ machine }: LocalVm): void {
  removeFile(orderFileOf(machine));
}

/** Makes the port ready. Throws `INSPECT_NEEDS_EMBEDDED`, `PORT_IN_USE`, `RELAY_FAILED`. */
export async function openInspection(
  vm: LocalVm,
  request: InspectRequest,
  words: RelayWords,
  context: CommandContext,
): Promise<Inspection> {
  const { machine } = vm;
  const { ui, deps } = context;
  const { operation } = request;
  if (machine.agent !== 'embedded') throw needsEmbedded();
  const server = await takePort(request.port);
  const port = portOf(server);
  const hasOwnNetwork = machine.services !== undefined && machine.network === 'loopback';
  const relay =
    hasOwnNetwork && machine.services !== undefined
      ? await startRelay({ server, services: machine.services, words }, deps)
      : undefined;
  // The handler itself takes it then.
  if (relay === undefined) await new Promise<void>((resolve) => void server.close(() => resolve()));
  const orderFile = orderFileOf(machine);
  const over = new AbortController();
  let announced: Promise<void> | undefined;
  return {
    order(handlerName, extensionName) {
      writeWholeFile(orderFile, formatStopOrder({ handlerName, operation, port, extensionName }));
      announced = announce(operation, port, context, over.signal);
    },
    async close() {
      over.abort();
      await announced;
      const wasHeeded = !removeFile(orderFile);
      await relay?.close();
      if (announced !== undefined && !wasHeeded && !context.signal.aborted) {
        ui.warning(`No operation "${operation}" of the extension was run, so none stopped for a debugger.`);
      }
    },
  };
}

const Targets = z.array(z.object({ webSocketDebuggerUrl: z.string() }));

const LOOK_MS = 100;
const ANSWER_MS = 2000;

/** Waits until Node's inspector answers, and says where it is. */
async function announce(
  operation: Operation,
  port: number,
  { ui, deps }: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const address = await findDebugger(port, signal);
    if (address !== undefined) {
      for (const line of describe(operation, port, address)) ui.progress(line);
      return;
    }
    await deps.sleep(LOOK_MS, signal).catch(() => {});
  }
}

function describe(operation: Operation, port: number, address: string): readonly string[] {
  const configuration = JSON.stringify({
    type: 'node',
    request: 'attach',
    name: operation,
    address: '127.0.0.1',
    port,
    resolveSourceMapLocations: null,
  });
  return [
    `${operation} waits at its first line for a debugger: ${address}`,
    `VS Code: "Debug: Open launch.json", add ${configuration}, and start it. Chrome: chrome://inspect, "Configure…", 127.0.0.1:${port}.`,
    "The agent's time limits do not apply meanwhile; that of the extension's own enable does. Node runs it, also when its runtime is bun.",
  ];
}

async function findDebugger(port: number, signal: AbortSignal): Promise<string | undefined> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/json/list`, {
      headers: { connection: 'close' },
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    });
    return Targets.parse(await answer.json())[0]?.webSocketDebuggerUrl;
  } catch {
    // Not yet.
    return undefined;
  }
}

function orderFileOf({ hostPath, libFolder }: LocalVm['machine']): string {
  return join(hostPath(libFolder), STOP_ORDER_FILE);
}

/** True when it was there. */
function removeFile(file: string): boolean {
  try {
    rmSync(file);
    return true;
  } catch {
    return false;
  }
}

function needsEmbedded(): ToolError {
  return new ToolError(
    'INSPECT_NEEDS_EMBEDDED',
    "--inspect needs the embedded agent: the real agent's time limits would end what a debugger holds.",
    { hint: 'Use another VM: --vm DIR --agent embedded' },
  );
}
