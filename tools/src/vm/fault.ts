/**
 * Fault injection: the VM is killed at a named step of an operation, as by a power cut. The step lies in the VM's folder until a
 * command of the tool reaches it; it happens once. Files that were written stay: only what runs is lost.
 */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeWholeFile } from '@handlerkit/sdk';
import {
  formatHandlerFolder,
  formatStatusFile,
  isFinal,
  OPERATIONS,
  type Operation,
  parseStatus,
  STATUS_FOLDER,
} from '@handlerkit/sdk/contract';
import type { AgentEvent } from '../agent/agent.ts';
import type { OperationStarted } from '../agent/agent-event.ts';
import { ToolError, usageError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import type { OpenMachine } from './machine.ts';
import { handlerNameOf, readStore } from './store.ts';

/** When the VM is killed. */
export interface FaultStep {
  readonly operation: Operation;
  readonly at: FaultMoment;
}

export type FaultMoment =
  /** So long after the start of the command, whether or not it still runs. */
  | { readonly kind: 'after-start'; readonly ms: number }
  /** The command has ended, and the agent has not noted it. */
  | { readonly kind: 'exit' }
  /** The command has written such a status for the present sequence number. */
  | { readonly kind: 'status'; readonly value: 'transitioning' | 'final' };

/** Looks at the agent's events, and kills the VM when the step that is set is reached. */
export interface FaultWatch {
  /** To be called at once with every event. */
  onEvent(event: AgentEvent): void;
  close(): void;
}

/** Reads `enable+300ms`, `update`, `disable:exit`, `enable:final`. Throws a usage error that names the forms. */
export function parseFaultStep(text: string): FaultStep {
  const match = /^([a-z]+)(?:\+(\d{1,7}(?:\.\d+)?)(ms|s)|:(exit|transitioning|final))?$/.exec(text);
  const operation = OPERATIONS.find((name) => name === match?.[1]);
  const [, , amount, unit, moment] = match ?? [];
  if (operation === undefined || (operation !== 'enable' && isStatusMoment(moment))) {
    throw usageError(`There is no step ${JSON.stringify(text)}.`, STEP_HINT);
  }
  if (moment === 'exit') return { operation, at: { kind: 'exit' } };
  if (isStatusMoment(moment)) return { operation, at: { kind: 'status', value: moment } };
  const ms = Math.round(Number(amount ?? 0) * (unit === 's' ? 1000 : 1));
  return { operation, at: { kind: 'after-start', ms } };
}

export function formatFaultStep({ operation, at }: FaultStep): string {
  if (at.kind === 'exit') return `${operation}:exit`;
  if (at.kind === 'status') return `${operation}:${at.value}`;
  return at.ms === 0 ? operation : `${operation}+${at.ms}ms`;
}

/** The step that is set for the VM in `folder`; `undefined` when there is none. */
export function readFault(folder: string): FaultStep | undefined {
  let text: string;
  try {
    text = readFileSync(join(folder, FAULT_FILE), 'utf8').trim();
  } catch {
    return undefined;
  }
  return parseFaultStep(text);
}

/** Sets the step in place of the one that was set. The folder has to be a VM's. */
export function writeFault(folder: string, step: FaultStep): void {
  writeWholeFile(join(folder, FAULT_FILE), `${formatFaultStep(step)}\n`);
}

export function clearFault(folder: string): void {
  rmSync(join(folder, FAULT_FILE), { force: true });
}

/** Watches for the step that is set now. When it is reached, the command is given up with `VM_KILLED`. */
export function watchFault(vm: WatchedVm, context: CommandContext): FaultWatch {
  const step = readFault(vm.folder);
  if (step === undefined) return { onEvent: () => {}, close: () => {} };
  let timer: NodeJS.Timeout | undefined;
  const close = (): void => clearTimeout(timer);
  const fire = (): void => {
    close();
    clearFault(vm.folder);
    vm.machine.cutPower();
    context.abort(killed(step));
  };
  const begin = (event: OperationStarted): void => {
    context.ui.progress(`  The VM will be killed at ${formatFaultStep(step)}.`);
    if (step.at.kind === 'after-start') {
      if (step.at.ms === 0) fire();
      else timer = setTimeout(fire, step.at.ms);
    }
    if (step.at.kind === 'status') {
      const hasCome = statusWatch(vm, event, step.at.value);
      timer = setInterval(() => hasCome() && fire(), POLL_MS);
    }
  };
  let isOver = false;
  return {
    close,
    onEvent(event) {
      if (isOver || event.kind === 'note' || event.operation !== step.operation) return;
      if (event.kind === 'operation-started') {
        if (timer === undefined) begin(event);
      } else if (step.at.kind === 'exit') {
        isOver = true;
        fire();
      }
    },
  };
}

/** What of the VM is looked at. */
export interface WatchedVm {
  readonly folder: string;
  readonly machine: OpenMachine;
}

const FAULT_FILE = 'kill-at';
const POLL_MS = 4;
const STEP_HINT =
  'A step is install, enable, disable, update or uninstall; or one of them with a time, such as enable+300ms or update+2s; ' +
  'or with :exit, such as disable:exit; or enable:transitioning, or enable:final.';

function isStatusMoment(moment: string | undefined): moment is 'transitioning' | 'final' {
  return moment === 'transitioning' || moment === 'final';
}

/** The agent does not know that the work is done: it calls enable again, and shows what the status says. */
const AFTER_FINAL =
  'The final status is written, so the enable after a restart should find its work done: handlerkit vm reboot';
const AFTER_OTHERS = 'Start it again, and see how the extension goes on: handlerkit vm reboot';

function killed(step: FaultStep): ToolError {
  return new ToolError('VM_KILLED', `The VM was killed at ${formatFaultStep(step)}, as by a power cut.`, {
    hint: step.at.kind === 'status' && step.at.value === 'final' ? AFTER_FINAL : AFTER_OTHERS,
  });
}

/** True once the handler has written a status of the wanted kind. The one that was there at the start does not count. */
function statusWatch(
  { folder, machine }: WatchedVm,
  event: OperationStarted,
  wanted: 'transitioning' | 'final',
): () => boolean {
  const { handlerName, version, extensionName } = event;
  const extension = readStore(folder).extensions.find(
    (one) =>
      handlerNameOf(one) === handlerName && (extensionName === undefined || one.name === extensionName),
  );
  const name = formatStatusFile(extension?.sequence ?? 0, extensionName);
  const path = [machine.libFolder, formatHandlerFolder(handlerName, version), STATUS_FOLDER, name].join('/');
  const former = identityOf(machine.hostPath(path));
  return () => {
    const file = machine.hostPath(path);
    if (identityOf(file) === former) return false;
    try {
      const { status } = parseStatus(readFileSync(file, 'utf8'), file);
      return wanted === 'final' ? isFinal(status) : status === 'transitioning';
    } catch {
      // Half written; it is looked at again.
      return false;
    }
  };
}

function identityOf(file: string): string | undefined {
  const stat = statSync(file, { throwIfNoEntry: false, bigint: true });
  return stat === undefined ? undefined : `${stat.ino}/${stat.mtimeNs}/${stat.size}`;
}
