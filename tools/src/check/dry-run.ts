/**
 * The dry run: install, enable, enable again, update, disable and uninstall on a fresh local VM, judged by what the agent
 * reports. The update is to the same files under a raised version: the agent knows a version from the goal state and
 * the folder only. Source: agent-contract 1.1, 6, 7, 8.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AGENT_ERROR_CODES, formatHandlerName, type Operation } from '@handlerkit/sdk/contract';
import type { GoalStateExtension, HandlerReport, RequestedState } from '../agent/agent.ts';
import { createAgent } from '../agent/agent.ts';
import type { OperationEnded } from '../agent/agent-event.ts';
import type { CommandContext } from '../tool-deps.ts';
import { firstLine } from '../ui.ts';
import { explainReport, provisioningState } from '../vm/instance-view.ts';
import { sayEvent } from '../vm/local-vm.ts';
import { destroyMachine, type OpenMachine, openMachine } from '../vm/machine.ts';
import type { SettingsObject } from '../vm/settings-argument.ts';
import { ensureCertificate, sealProtectedSettings } from '../vm/vm-certificate.ts';
import { describeLoopbackOnly } from '../vm/vm-network.ts';
import { DRY_RUN_RULES } from './dry-run-rules.ts';
import type { Identity } from './identity-rules.ts';
import { type Finding, findingFor } from './rule.ts';

export interface DryRunOptions {
  /** Path of the zip. */
  readonly file: string;
  readonly identity: Identity;
  /** True: the handler is tried with one named configuration. */
  readonly supportsMultiple: boolean;
  /** `undefined`: enable gets empty public settings, and may refuse them. */
  readonly publicSettings: SettingsObject | undefined;
  readonly protectedSettings: SettingsObject | undefined;
  /** How long a status may stay transitioning. */
  readonly timeoutMs: number;
}

export interface RunStep {
  readonly operation: Operation;
  readonly version: string;
  /** `null` after a time-out and when it could not be started. */
  readonly exitCode: number | null;
  readonly durationMs: number;
}

export interface DryRunResult {
  readonly findings: readonly Finding[];
  readonly steps: readonly RunStep[];
  /** What this kind of VM cannot show; `undefined` when there are no limits. */
  readonly limits: string | undefined;
}

/**
 * Runs the package. Root gets an overlay VM or none; other users one that shares this machine's files, which the limits
 * say. Throws `MachineError` when no VM can be made, and the signal's reason. The VM is gone afterwards.
 */
export async function dryRun(options: DryRunOptions, context: CommandContext): Promise<DryRunResult> {
  const { deps } = context;
  const folder = await mkdtemp(join(tmpdir(), 'handlerkit-check-'));
  const machineDeps = { uid: deps.uid, searchPath: deps.env.PATH ?? '' };
  const stateFolder = join(folder, 'vm');
  try {
    // Nothing of a foreign package runs as root on this machine itself.
    const isolation = deps.uid === 0 ? 'overlay' : 'auto';
    const machine = await openMachine({ stateFolder, isolation }, machineDeps);
    try {
      const run = await startRun(machine, options, context);
      await runAll(run);
      return { findings: run.findings, steps: run.steps, limits: limitsOf(machine) };
    } finally {
      await machine.close();
    }
  } finally {
    await destroyMachine(stateFolder, machineDeps);
    await rm(folder, { recursive: true, force: true });
  }
}

/** The advice to make another VM holds for one that stays; this one is gone with the run. */
function limitsOf({ limits }: OpenMachine): string | undefined {
  return limits?.replace(describeLoopbackOnly('embedded'), LOOPBACK_ONLY);
}

const LOOPBACK_ONLY =
  'The dry run has no network but loopback. What needs one fails in it: leave it out with --no-run, and try the package with: handlerkit vm set --network host.';

interface DryRun {
  readonly findings: Finding[];
  readonly steps: RunStep[];
  readonly hasSettings: boolean;
  readonly machine: OpenMachine;
  /** Names in the agent's folder before the first step. */
  readonly before: ReadonlySet<string>;
  /** Has the agent bring about a state; gives the operations that ran and what is reported then. */
  apply(version: string, state: RequestedState): Promise<Applied>;
  /** Looks at the report until it is final, nothing more can come, or the time is over. */
  settle(version: string): Promise<Settled>;
  /** True when all processes of the VM have ended, or do so in a moment. */
  isIdleSoon(): Promise<boolean>;
  readonly version: string;
}

interface Applied {
  readonly ended: readonly OperationEnded[];
  readonly report: HandlerReport | undefined;
}

interface Settled {
  readonly report: HandlerReport | undefined;
  /** `undefined` when it is not final. */
  readonly state: 'Succeeded' | 'Failed' | undefined;
  /** Why it is not final or not what the handler meant; the agent's words explained. */
  readonly explanation: string;
}

const finding = findingFor(DRY_RUN_RULES);
const POLL_MS = 100;
const HASTY_WAIT_MS = 5;
/** How long nothing may happen before a status is given up for which no process is left. */
const QUIET_MS = 1500;
/** How long processes may take to end after uninstall. */
const ENDING_MS = 5000;

async function startRun(
  machine: OpenMachine,
  options: DryRunOptions,
  context: CommandContext,
): Promise<DryRun> {
  const { deps, signal } = context;
  const { identity, publicSettings, protectedSettings } = options;
  const handlerName = formatHandlerName(identity.publisher, identity.type);
  const certificate = ensureCertificate(machine, null);
  const sealed =
    protectedSettings === undefined
      ? { protected: null, thumbprint: null }
      : sealProtectedSettings(machine, certificate, protectedSettings, null);
  const steps: RunStep[] = [];
  let ended: OperationEnded[] = [];
  const agentWith = (waitMs: (ms: number) => number) =>
    createAgent(
      {
        machine,
        onEvent: (event) => {
          sayEvent(event, context);
          if (event.kind !== 'operation-ended') return;
          const { operation, version, exitCode, durationMs } = event;
          ended.push(event);
          steps.push({ operation, version, exitCode, durationMs });
        },
      },
      { now: deps.now, sleep: (ms) => deps.sleep(waitMs(ms), signal) },
    );
  const agent = agentWith((ms) => ms);
  const hasty = agentWith((ms) => Math.min(ms, HASTY_WAIT_MS));
  let incarnation = 0;
  const goalState = (version: string, requestedState: RequestedState) => {
    const extension: GoalStateExtension = {
      handlerName,
      version,
      requestedState,
      packageFile: options.file,
      sequence: 0,
      settings: {
        publicSettings: publicSettings ?? {},
        protectedSettings: sealed.protected,
        thumbprint: sealed.thumbprint,
      },
      dependencyLevel: 0,
      ...(options.supportsMultiple && { extensionName: CONFIGURATION }),
    };
    return { id: `incarnation_${incarnation}`, extensions: [extension] };
  };
  const look = async (version: string): Promise<HandlerReport | undefined> => {
    const wanted = goalState(version, 'enabled');
    const [report] = await hasty.report(wanted);
    const isUnreadable = report?.extension?.verdict.reported.code === AGENT_ERROR_CODES.statusInvalid;
    return isUnreadable ? (await agent.report(wanted))[0] : report;
  };
  return {
    findings: [],
    steps,
    hasSettings: publicSettings !== undefined || protectedSettings !== undefined,
    machine,
    before: new Set(await readdir(machine.hostPath(machine.libFolder))),
    version: identity.version,
    isIdleSoon: async () => {
      const start = deps.elapsedMs();
      while (await machine.isBusy()) {
        if (deps.elapsedMs() - start > ENDING_MS) return false;
        await deps.sleep(POLL_MS, signal);
      }
      return true;
    },
    apply: async (version, state) => {
      ended = [];
      incarnation++;
      await agent.processGoalState(goalState(version, state), signal);
      const [report] = await hasty.report(goalState(version, 'enabled'));
      return { ended, report };
    },
    settle: async (version) => {
      const start = deps.elapsedMs();
      let quietSince: number | undefined;
      for (;;) {
        const report = await look(version);
        const state = provisioningState(report);
        const named = { name: handlerName, handlerName, version, report };
        const explanation =
          explainReport(named).join('; ') || firstLine(report?.extension?.verdict.reported.message);
        if (state !== 'Updating') return { report, state, explanation };
        if (report?.extension?.verdict.silencesVm === true) return { report, state: undefined, explanation };
        const now = deps.elapsedMs();
        quietSince = (await machine.isBusy()) ? undefined : (quietSince ?? now);
        const isHopeless = quietSince !== undefined && now - quietSince > QUIET_MS;
        if (isHopeless || now - start > options.timeoutMs) return { report, state: undefined, explanation };
        await deps.sleep(POLL_MS, signal);
      }
    },
  };
}

/** Name of the configuration of a handler that can have several. */
const CONFIGURATION = 'check';

async function runAll(run: DryRun): Promise<void> {
  const first = await runFirst(run);
  const next = raiseVersion(run.version);
  let version = run.version;
  if (first !== undefined) {
    await runAgain(run, first);
    if (await runUpdate(run, first, next)) version = next;
  }
  await runEnd(run, version);
}

/** Install and enable; gives the first outcome when the handler is enabled. */
async function runFirst(run: DryRun): Promise<Settled | undefined> {
  const { ended, report } = await run.apply(run.version, 'enabled');
  const enable = ended.find((one) => one.operation === 'enable');
  if (enable === undefined) {
    run.findings.push(finding('run-install', '', wordsOf(report, ended)));
    return undefined;
  }
  if (enable.exitCode !== 0) {
    const isRefusal = !run.hasSettings && !enable.timedOut && enable.exitCode !== null;
    run.findings.push(finding(isRefusal ? 'run-enable-refused' : 'run-enable', '', wordsOf(report, ended)));
    return undefined;
  }
  const settled = await run.settle(run.version);
  judgeStatus(run, settled);
  return isInvalid(settled) ? { ...settled, state: undefined } : settled;
}

/** The agent cannot make sense of the status file. */
function isInvalid({ report }: Settled): boolean {
  const verdict = report?.extension?.verdict;
  return verdict?.silencesVm === true || verdict?.reported.code === AGENT_ERROR_CODES.statusInvalid;
}

function judgeStatus(run: DryRun, settled: Settled): void {
  const { report, state, explanation } = settled;
  const verdict = report?.extension?.verdict;
  if (isInvalid(settled)) run.findings.push(finding('run-status', '', explanation));
  else if (state === undefined) run.findings.push(finding('run-not-final', '', explanation));
  else if (state === 'Failed') {
    const rule = run.hasSettings ? 'run-status-error' : 'run-enable-refused';
    run.findings.push(finding(rule, '', firstLine(verdict?.reported.message ?? report?.message)));
  }
}

async function runAgain(run: DryRun, first: Settled): Promise<void> {
  const { ended, report } = await run.apply(run.version, 'enabled');
  if (ended.some((one) => one.exitCode !== 0)) {
    run.findings.push(finding('run-again', '', wordsOf(report, ended)));
    return;
  }
  if (first.state === undefined) return;
  const settled = await run.settle(run.version);
  if (settled.state === first.state) return;
  run.findings.push(finding('run-again', '', `First it was ${first.state}; now: ${settled.explanation}`));
}

/** True when the new version is there afterwards. */
async function runUpdate(run: DryRun, first: Settled, next: string): Promise<boolean> {
  const { ended, report } = await run.apply(next, 'enabled');
  const failed = ended.find((one) => one.exitCode !== 0);
  if (failed !== undefined || !ended.some((one) => one.operation === 'enable')) {
    const rule = failed?.operation === 'disable' ? 'run-disable' : 'run-update';
    run.findings.push(finding(rule, '', wordsOf(report, ended)));
    return ended.some((one) => one.version === next);
  }
  if (first.state === undefined) return true;
  const settled = await run.settle(next);
  if (settled.state !== first.state) {
    const message = `Before the update it was ${first.state}; now: ${settled.explanation}`;
    run.findings.push(finding('run-state-lost', '', message));
  }
  return true;
}

async function runEnd(run: DryRun, version: string): Promise<void> {
  const disabled = await run.apply(version, 'disabled');
  if (disabled.ended.some((one) => one.exitCode !== 0)) {
    run.findings.push(finding('run-disable', '', wordsOf(disabled.report, disabled.ended)));
  }
  const { ended, report } = await run.apply(version, 'uninstall');
  if (ended.some((one) => one.operation === 'uninstall' && one.exitCode !== 0)) {
    run.findings.push(finding('run-uninstall', '', wordsOf(report, ended)));
  }
  if (disabled.ended.some((one) => one.exitCode !== 0) || report !== undefined) return;
  await judgeLeftovers(run);
}

async function judgeLeftovers({ machine, before, findings, isIdleSoon }: DryRun): Promise<void> {
  if (!(await isIdleSoon())) {
    findings.push(finding('run-process-left', '', 'A process that the handler started still runs.'));
  }
  for (const name of await readdir(machine.hostPath(machine.libFolder))) {
    if (!before.has(name)) findings.push(finding('run-leftovers', name, "is left in the agent's folder."));
  }
}

/** The agent's own words about what failed last. */
function wordsOf(report: HandlerReport | undefined, ended: readonly OperationEnded[]): string {
  const failed = ended.findLast((one) => one.exitCode !== 0);
  if (report?.message != null && report.code !== 0) return shorten(report.message);
  if (failed === undefined) return 'The agent ran no such command.';
  const how = failed.timedOut ? 'timed out' : `ended with exit code ${failed.exitCode ?? 'none'}`;
  return shorten(`${failed.operation} ${how}: ${failed.output}`);
}

function shorten(text: string): string {
  const line = text.replaceAll(/\s*\n\s*/g, ' | ').trim();
  return line.length > LONGEST_WORDS ? `${line.slice(0, LONGEST_WORDS)} …` : line;
}

const LONGEST_WORDS = 600;

/** The same version with its last number raised. */
export function raiseVersion(version: string): string {
  const parts = version.split('.');
  const last = Number(parts.at(-1) ?? 0);
  return [...parts.slice(0, -1), String(last + 1)].join('.');
}
