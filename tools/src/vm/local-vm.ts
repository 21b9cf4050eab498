/**
 * A local VM at work: the machine, the agent in it (embedded or real), and the platform's side, which keeps the goal state.
 * Several tools may use one VM; what changes the goal state is done under a lock.
 */
import { join, resolve } from 'node:path';
import { AGENT_ERROR_CODES } from '@handlerkit/sdk/contract';
import type { Agent, AgentEvent, HandlerReport } from '../agent/agent.ts';
import { createAgent } from '../agent/agent.ts';
import { ToolError, usageError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { formatOperation } from '../ui.ts';
import type { AgentRecord } from './agent-records.ts';
import { agentRecords } from './agent-records.ts';
import { watchFault } from './fault.ts';
import type { FileLock } from './file-lock.ts';
import { lockFile } from './file-lock.ts';
import type { ReportedExtension } from './instance-view.ts';
import { explainReport } from './instance-view.ts';
import type { AgentKind, MachineOptions, Network, OpenMachine } from './machine.ts';
import { MachineError, openMachine } from './machine.ts';
import { findState } from './machine-state.ts';
import { readRootfs } from './root-file-system.ts';
import type { StoredExtension, VmStore } from './store.ts';
import { findExtension, formatGoalState, handlerNameOf, STORE_LOCK_FILE } from './store.ts';
import { findTool } from './system-tools.ts';

export interface LocalVm {
  /** Absolute path of the VM's folder. */
  readonly folder: string;
  readonly machine: OpenMachine;
  readonly agent: Agent;
  /** The same agent, without its waits for a status file that is missing or half written: for looking on. */
  readonly hastyAgent: Agent;
  /** Where the agent tells of its work. */
  readonly agentRecords: readonly AgentRecord[];
  /** Runs `action` while no other tool changes this VM. Throws `VM_LOCKED` after a minute. */
  exclusively<T>(action: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Which VM, and what it is made of; what is not said is as the VM was made, or the default of a new one. */
export interface VmChoice {
  /** As the user named it. */
  readonly folder: string;
  readonly isolation?: MachineOptions['isolation'] | undefined;
  readonly network?: Network | undefined;
  /** As the user named it. */
  readonly rootfs?: string | undefined;
  readonly agent?: AgentKind | undefined;
  /** False: the embedded agent waits for an operation as long as it takes, as for one in a debugger. Default true. */
  readonly hasTimeLimits?: boolean | undefined;
}

/** An extension of the goal state, with what the agent reports of it now. */
export interface ViewedExtension extends ReportedExtension {
  readonly stored: StoredExtension;
}

/** Opens the VM, made when there is none. Says each operation that the agent runs. */
export async function openLocalVm(choice: VmChoice, context: CommandContext): Promise<LocalVm> {
  const { deps } = context;
  const stateFolder = vmFolder(choice.folder, context);
  const searchPath = deps.env.PATH ?? '';
  const { isolation = 'auto', network, agent } = choice;
  const rootfs =
    choice.rootfs === undefined
      ? undefined
      : readRootfs(resolve(deps.cwd, choice.rootfs), stateFolder, deps.uid);
  if (agent === 'waagent' && network === 'host') throw needsOwnNetwork();
  const machine = await openMachine(
    { stateFolder, isolation, network, rootfs, agent },
    { uid: deps.uid, searchPath },
  ).catch((thrown: unknown) => {
    throw agent === 'waagent' ? explainUnavailable(thrown) : thrown;
  });
  const prepare = machine.agent === 'waagent' ? realAgents : embeddedAgents;
  const { agent: worker, hastyAgent, stopWatching } = await prepare(machine, stateFolder, context, choice);
  return {
    folder: stateFolder,
    machine,
    agentRecords: agentRecords(machine, stateFolder),
    agent: worker,
    hastyAgent,
    exclusively: async (action) => {
      const lock = await lockStore(
        join(stateFolder, STORE_LOCK_FILE),
        findTool('flock', searchPath),
        context,
      );
      try {
        return await action();
      } finally {
        lock.release();
      }
    },
    close: async () => {
      stopWatching?.();
      await machine.close();
    },
  };
}

interface Agents {
  readonly agent: Agent;
  readonly hastyAgent: Agent;
  readonly stopWatching?: () => void;
}

async function embeddedAgents(
  machine: OpenMachine,
  folder: string,
  context: CommandContext,
  { hasTimeLimits = true }: VmChoice,
): Promise<Agents> {
  const { deps } = context;
  const fault = watchFault({ folder, machine }, context);
  const onEvent = (event: AgentEvent): void => {
    sayEvent(event, context);
    fault.onEvent(event);
  };
  const agentWith = (waitMs: (ms: number) => number): Agent =>
    createAgent(
      { machine, onEvent },
      {
        now: deps.now,
        sleep: (ms) => deps.sleep(waitMs(ms), context.signal),
        ...(!hasTimeLimits && { operationTimeoutMs: () => LONGEST_TIMER_MS }),
      },
    );
  return {
    agent: agentWith((ms) => ms),
    hastyAgent: agentWith((ms) => Math.min(ms, HASTY_WAIT_MS)),
    stopWatching: fault.close,
  };
}

/** The real agent waits by itself: there is nothing to be hasty about. */
async function realAgents(machine: OpenMachine, folder: string, context: CommandContext): Promise<Agents> {
  const { deps, ui } = context;
  const { createWaagent } = await import('../waagent/waagent-agent.ts');
  const { fetchAgentPackages } = await import('../waagent/waagent-package.ts');
  const agent = createWaagent(
    { machine, folder, onEvent: (event) => sayEvent(event, context), onDetail: ui.detail },
    {
      env: deps.env,
      toolCommand: deps.toolCommand,
      now: deps.now,
      elapsedMs: deps.elapsedMs,
      sleep: deps.sleep,
      fetchPackages: (signal) => fetchAgentPackages({ env: deps.env, progress: ui.progress, signal }),
    },
  );
  return { agent, hastyAgent: agent };
}

/** Opens the VM, runs `action`, and closes the VM whatever happens. */
export async function withLocalVm<T>(
  choice: VmChoice,
  context: CommandContext,
  action: (vm: LocalVm) => Promise<T>,
): Promise<T> {
  const vm = await openLocalVm(choice, context);
  try {
    return await action(vm);
  } finally {
    await vm.close();
  }
}

/** The absolute path of the folder that the user named. */
export function vmFolder(folder: string, context: CommandContext): string {
  return resolve(context.deps.cwd, folder);
}

/**
 * Every extension of the goal state with what the agent reports of it now. Does not wait for a file that is missing, and
 * as long as the agent does for one that it cannot read, which may be half written.
 */
export async function viewExtensions(vm: LocalVm, store: VmStore): Promise<readonly ViewedExtension[]> {
  const goalState = formatGoalState(vm.folder, store);
  let reports = await vm.hastyAgent.report(goalState);
  if (reports.some(isUnreadable)) reports = await vm.agent.report(goalState);
  return store.extensions.map((stored) => ({
    name: stored.name,
    handlerName: handlerNameOf(stored),
    version: stored.version,
    report: reportOf(reports, stored),
    stored,
  }));
}

/** For a command that makes no VM. Throws `NOT_FOUND` when there is none in the folder. */
export function requireVm(folder: string): void {
  if (findState(folder) !== undefined) return;
  throw new ToolError('NOT_FOUND', `There is no VM in ${folder}.`, {
    hint: 'Set an extension first: handlerkit vm set ZIP|DIR. For a VM in another folder add --vm DIR.',
  });
}

/** The stored extension of that name. Throws `NOT_FOUND`, naming those that there are. */
export function requireExtension(store: VmStore, name: string): StoredExtension {
  const found = findExtension(store, name);
  if (found !== undefined) return found;
  const names = store.extensions.map((extension) => extension.name);
  throw new ToolError('NOT_FOUND', `There is no extension "${name}" on this VM.`, {
    hint:
      names.length === 0
        ? 'Set one first: handlerkit vm set ZIP|DIR. For a VM in another folder add --vm DIR.'
        : `The extensions here are: ${names.join(', ')}.`,
  });
}

/** Says what the VM cannot do: always for one that shares the author's files, else only with `--verbose`. */
export function sayLimits(vm: LocalVm, context: CommandContext): void {
  const { kind, limits } = vm.machine;
  if (limits === undefined) return;
  if (kind === 'relocated') context.ui.progress(limits);
  else context.ui.detail(limits);
}

/** Says, on stderr, why the view of an extension is what it is. */
export function sayExplanations(extensions: readonly ReportedExtension[], context: CommandContext): void {
  for (const sentence of extensions.flatMap(explainReport)) context.ui.warning(sentence);
}

/** Says what the agent does. With `--verbose` also what the commands printed. */
export function sayEvent(event: AgentEvent, context: CommandContext): void {
  const { ui } = context;
  if (event.kind === 'note') {
    ui.progress(`  ${event.text}`);
    return;
  }
  const version = [event.version, event.extensionName].filter((part) => part !== undefined).join(' ');
  const command = shortCommand(event.commandLine, `${event.handlerName}-${event.version}/`);
  if (event.kind === 'operation-started') {
    ui.detail(`  ${event.operation.padEnd(9)}  ${command}   …   ${version}`);
    return;
  }
  const outcome = event.timedOut ? 'timed out' : (event.exitCode ?? 'not started');
  const line = { operation: event.operation, command, outcome, durationMs: event.durationMs };
  ui.progress(`${formatOperation(line)}   ${version}`);
  ui.detail(event.output);
}

/** What the agent reports of the handler that a stored extension belongs to. */
export function reportOf(
  reports: readonly HandlerReport[],
  extension: StoredExtension,
): HandlerReport | undefined {
  const handlerName = handlerNameOf(extension).toLowerCase();
  const name = extension.isConfiguration === true ? extension.name : undefined;
  return reports.find(
    (report) => report.handlerName.toLowerCase() === handlerName && report.extensionName === name,
  );
}

/** Says so when the lock is not there at once. */
async function lockStore(path: string, flock: string, context: CommandContext): Promise<FileLock> {
  const timer = setTimeout(() => context.ui.progress(BUSY), BUSY_AFTER_MS);
  try {
    return await lockFile(path, 'exclusive', flock);
  } finally {
    clearTimeout(timer);
  }
}

/** The real agent was asked for by name, so it is said what it needs. */
function explainUnavailable(thrown: unknown): unknown {
  if (!(thrown instanceof MachineError) || thrown.code !== 'vm-overlay-unavailable') return thrown;
  return new ToolError(
    'WAAGENT_NEEDS_OVERLAY',
    `The real agent runs only in an overlay VM. ${thrown.message}`,
    {
      hint: 'Run the command as root, or leave out --agent waagent.',
      cause: thrown,
    },
  );
}

function needsOwnNetwork(): ToolError {
  return usageError(
    "--agent waagent does not go with --network host: the agent talks to addresses of Azure, which are put on the VM's own network.",
    'Leave out --network host; for an extension that needs a network, use --agent embedded.',
  );
}

/** About 25 days: a longer timer of Node's fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const HASTY_WAIT_MS = 5;
const BUSY_AFTER_MS = 1000;
const BUSY = 'Waiting for another handlerkit command that changes this VM.';

function isUnreadable(report: HandlerReport): boolean {
  return report.extension?.verdict.reported.code === AGENT_ERROR_CODES.statusInvalid;
}

/** The command as the manifest has it: without the handler's folder, which is long and known. */
function shortCommand(commandLine: string, folder: string): string {
  const at = commandLine.indexOf(folder);
  return at === -1 ? commandLine : commandLine.slice(at + folder.length);
}
