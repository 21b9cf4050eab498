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
import {
  ensureFabric,
  type FabricVm,
  isFabricRunning,
  requireFabric,
  stopFabric,
} from '../vm/fabric-service.ts';
import { type LocalVm, vmFolder, withLocalVm } from '../vm/local-vm.ts';
import { openLogTail } from '../vm/log-tail.ts';
import { MachineError } from '../vm/machine.ts';
import { formatGoalState, readStore } from '../vm/store.ts';

export interface FabricCommandOptions {
  readonly folder: string;
  readonly vmSettings: boolean;
}

/** Runs until the signal, which is the end and no failure. Throws `FABRIC_NEEDS_OVERLAY`, `FABRIC_FAILED`. */
export async function fabricCommand(options: FabricCommandOptions, context: CommandContext): Promise<void> {
  const { ui, deps, signal } = context;
  const folder = vmFolder(options.folder, context);
  await withOverlay(options.folder, context, async (vm) => {
    const served = requireServices(vm);
    const log = openLogTail(join(vm.folder, FABRIC_FILES.log), 0);
    const wasRunning = isFabricRunning(served);
    const follow = (): void => {
      if (vm.machine.agent === 'embedded') serveStore(vm, deps.now());
    };
    follow();
    if (wasRunning && options.vmSettings) ui.warning(ALREADY_RUNNING);
    try {
      await ensureFabric(served, options, deps, signal);
      sayReady(folder, context);
      for (let text = ''; ; ) {
        const lines = (text + log.read()).split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) ui.result(line);
        requireFabric(served);
        await deps.sleep(POLL_MS, signal);
        follow();
      }
    } catch (thrown) {
      // Ctrl-C is how this command is meant to end.
      if (!signal.aborted || thrown !== signal.reason) throw thrown;
    } finally {
      if (!wasRunning) await stopFabric(served);
    }
  });
}

const POLL_MS = 100;
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

function requireServices({ machine, folder }: LocalVm): FabricVm {
  const { services } = machine;
  if (services !== undefined) return { machine, services, folder };
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
