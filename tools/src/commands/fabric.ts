/**
 * `handlerkit fabric`: the host side of Azure for one VM, in the VM's own network, until Ctrl-C. The servers are a service of
 * the VM; this command starts it, shows its log, and ends it unless it ran before.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { formatCertificateFiles } from '@handlerkit/sdk/contract';
import { ToolError } from '../errors.ts';
import { AZURE_ENDPOINTS, formatOrigin } from '../fabric/fabric-addresses.ts';
import { FABRIC_FILES, readGoalState, writeGoalState } from '../fabric/fabric-files.ts';
import { type FabricGoalState, GOAL_STATE_FILE, laterTime } from '../fabric/goal-state-file.ts';
import type { CommandContext } from '../tool-deps.ts';
import { type LocalVm, vmFolder, withLocalVm } from '../vm/local-vm.ts';
import { MachineError, type VmServices } from '../vm/machine.ts';
import { formatGoalState, readStore } from '../vm/store.ts';
import { lastLines, openLogTail } from '../waagent/log-tail.ts';
import { FABRIC_READY } from './fabric-serve.ts';

export interface FabricCommandOptions {
  readonly folder: string;
  readonly vmSettings: boolean;
}

/** Runs until the signal, which is the end and no failure. Throws `FABRIC_NEEDS_OVERLAY`, `FABRIC_FAILED`. */
export async function fabricCommand(options: FabricCommandOptions, context: CommandContext): Promise<void> {
  const { ui, deps, signal } = context;
  const folder = vmFolder(options.folder, context);
  await withOverlay(options.folder, context, async (vm) => {
    const services = requireServices(vm);
    await vm.machine.addFabricAddresses();
    const log = openLogTail(join(vm.folder, FABRIC_FILES.log), 0);
    const wasRunning = services.isRunning(SERVICE);
    const follow = (): void => {
      if (vm.machine.agent === 'embedded') serveStore(vm, deps.now());
    };
    follow();
    if (!wasRunning) await startService(vm, services, options.vmSettings, context);
    else if (options.vmSettings) ui.warning(ALREADY_RUNNING);
    try {
      let text = '';
      if (!wasRunning) text = await awaitReady(services, vm.folder, log.read, context);
      sayReady(folder, context);
      for (;;) {
        const lines = (text + log.read()).split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) ui.result(line);
        if (!services.isRunning(SERVICE)) throw fabricFailed(vm.folder);
        await deps.sleep(POLL_MS, signal);
        follow();
      }
    } catch (thrown) {
      // Ctrl-C is how this command is meant to end.
      if (!signal.aborted || thrown !== signal.reason) throw thrown;
    } finally {
      if (!wasRunning) await services.stop(SERVICE);
    }
  });
}

const SERVICE = 'fabric';
const OUTPUT_FILE = 'fabric.out';
const POLL_MS = 100;
const START_MS = 20_000;
const TAIL_LINES = 8;
const ALREADY_RUNNING =
  'The fabric of this VM runs already, so --vm-settings changes nothing. Reboot the VM first: handlerkit vm reboot.';

/** Opens the VM, which has to be an overlay; makes none of another kind. */
async function withOverlay(
  folder: string,
  context: CommandContext,
  action: (vm: LocalVm) => Promise<void>,
): Promise<void> {
  try {
    await withLocalVm({ folder, isolation: 'overlay' }, context, action);
  } catch (thrown) {
    const isOtherKind = thrown instanceof MachineError && OTHER_KIND.has(thrown.code);
    throw isOtherKind ? needsOverlay(thrown.message) : thrown;
  }
}

const OTHER_KIND: ReadonlySet<string> = new Set(['vm-overlay-unavailable', 'vm-other-isolation']);

function requireServices({ machine }: LocalVm): VmServices {
  if (machine.services !== undefined) return machine.services;
  throw needsOverlay('This VM has no network of its own.');
}

function needsOverlay(reason: string): ToolError {
  const sentence = "The fabric listens on Azure's own addresses, which only an overlay VM has a network for.";
  return new ToolError('FABRIC_NEEDS_OVERLAY', `${sentence} ${reason}`, {
    hint: 'Run the command as root, on a new VM: --vm DIR. The other commands, such as handlerkit vm set, need no fabric.',
  });
}

/** The goal state of a VM with the embedded agent, which does not write it for itself. */
function serveStore(vm: LocalVm, now: Date): void {
  const store = readStore(vm.folder);
  const former = existsSync(join(vm.folder, GOAL_STATE_FILE)) ? readGoalState(vm.folder) : undefined;
  if (former?.incarnation === store.incarnation) return;
  const { certificate } = store;
  const next: FabricGoalState = {
    ...formatGoalState(vm.folder, store),
    incarnation: store.incarnation,
    createdOn: laterTime(now, former),
    certificate:
      certificate === null
        ? null
        : {
            certificatePem: certificate.pem,
            privateKeyFile: vm.machine.hostPath(
              `${vm.machine.libFolder}/${formatCertificateFiles(certificate.thumbprint).privateKey}`,
            ),
          },
    statusBlobType: 'BlockBlob',
    requiredFeatures: [],
  };
  writeGoalState(vm.folder, next);
}

async function startService(
  { folder }: LocalVm,
  services: VmServices,
  vmSettings: boolean,
  { deps }: CommandContext,
): Promise<void> {
  await services.start({
    name: SERVICE,
    argv: [...deps.toolCommand, 'fabric', 'serve', folder, ...(vmSettings ? ['--vm-settings'] : [])],
    env: { PATH: deps.env.PATH ?? '' },
    files: 'machine',
    cwd: folder,
    logFile: join(folder, OUTPUT_FILE),
  });
}

/** Gives what the log says after it. */
async function awaitReady(
  services: VmServices,
  folder: string,
  read: () => string,
  { deps, signal }: CommandContext,
): Promise<string> {
  const until = deps.elapsedMs() + START_MS;
  let text = '';
  for (;;) {
    text += read();
    const at = text.indexOf(`${FABRIC_READY}\n`);
    if (at !== -1) return text.slice(at + FABRIC_READY.length + 1);
    if (!services.isRunning(SERVICE) || deps.elapsedMs() > until) throw fabricFailed(folder);
    await deps.sleep(POLL_MS, signal);
  }
}

function sayReady(folder: string, { ui }: CommandContext): void {
  const rows = ROWS.map(([name, endpoint]) => [name, formatOrigin(AZURE_ENDPOINTS[endpoint])] as const);
  for (const [name, origin] of rows) ui.progress(`${name.padEnd(26)} ${origin}`);
  ui.progress('One line for each request follows. Ctrl-C ends the fabric.');
  ui.json({
    folder,
    ...Object.fromEntries(ROWS.map(([, key]) => [key, formatOrigin(AZURE_ENDPOINTS[key])])),
  });
}

const ROWS = [
  ['WireServer', 'wireServer'],
  ['HostGAPlugin', 'hostPlugin'],
  ['Blobs', 'blobs'],
  ['Instance metadata service', 'metadata'],
] as const;

function fabricFailed(folder: string): ToolError {
  const file = join(folder, OUTPUT_FILE);
  const said = lastLines(file, TAIL_LINES);
  const sentence = 'The servers of the fabric ended, or did not start.';
  return new ToolError(
    'FABRIC_FAILED',
    said.length === 0 ? sentence : [`${sentence} They said last:`, ...said].join('\n'),
    {
      file,
      hint: 'Run the command again; if it stays so, start anew with handlerkit vm reset.',
    },
  );
}
