/**
 * The real Azure Linux Agent behind the interface of the embedded one. A goal state is put where the fabric serves it; the
 * agent in the VM works on it by itself, and its status blob says when it has done so. What it does meanwhile is told
 * from its log.
 * Source: fabric.md 4, 6, 7.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError, readTextIfThere, writeWholeFile } from '@handlerkit/sdk';
import {
  DEPENDENCY_LIMIT_MINUTES,
  formatCertificateFiles,
  formatHandlerFolder,
  formatStatusFile,
  HANDLER_READY,
  judgeStatus,
  OPERATION_TIMEOUT_SECONDS,
  STATUS_FOLDER,
} from '@handlerkit/sdk/contract';
import type { Agent, AgentEvent, GoalState, GoalStateExtension, HandlerReport } from '../agent/agent.ts';
import { sequenceOf } from '../agent/goal-state.ts';
import type { ExtensionReport } from '../agent/handler-report.ts';
import { ToolError } from '../errors.ts';
import { FABRIC_FILES, readGoalState, readStatusBlob, writeGoalState } from '../fabric/fabric-files.ts';
import type { FabricCertificate, FabricGoalState } from '../fabric/goal-state-file.ts';
import { laterTime } from '../fabric/goal-state-file.ts';
import { agentLogPath } from '../vm/agent-records.ts';
import type { FabricServiceDeps } from '../vm/fabric-service.ts';
import type { LogTail } from '../vm/log-tail.ts';
import { openLogTail } from '../vm/log-tail.ts';
import { readStore } from '../vm/store.ts';
import type { StatusBlob } from './status-blob-report.ts';
import { parseStatusBlob, reportsFor } from './status-blob-report.ts';
import { installWaagent } from './waagent-files.ts';
import type { LogReader } from './waagent-log.ts';
import { createLogReader } from './waagent-log.ts';
import type { AgentPackages } from './waagent-package.ts';
import type { AgentVm } from './waagent-services.ts';
import { ensureServices, requireRunning, stopDaemon } from './waagent-services.ts';

export interface WaagentOptions extends AgentVm {
  readonly onEvent?: (event: AgentEvent) => void;
  /** Gets the status blob as it is when a goal state is done, for whoever wants to see more. */
  readonly onDetail?: (text: string) => void;
}

export interface WaagentDeps extends FabricServiceDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  now(): Date;
  /** Called when the VM does not hold the agent yet. */
  fetchPackages(signal: AbortSignal | undefined): Promise<AgentPackages>;
}

/**
 * The agent of one VM. Besides what the interface says, its calls throw `WAAGENT_NEEDS_NETWORK` for a VM that shares this
 * machine's network, `WAAGENT_ENDED`, `WAAGENT_SLOW`, and the errors of its packages and of the fabric. When a call is
 * aborted, the agent goes on with the goal state, as it does in Azure when somebody stops looking.
 */
export function createWaagent(options: WaagentOptions, deps: WaagentDeps): Agent {
  const vm: AgentVm = { machine: options.machine, folder: options.folder };
  const prepare = async (signal: AbortSignal | undefined): Promise<void> => {
    requireOwnNetwork(vm);
    await installWaagent(vm.machine, () => deps.fetchPackages(signal), deps.env);
  };
  return {
    async start() {
      if (readGoalState(vm.folder) === undefined) return;
      await prepare(undefined);
      await stopDaemon(vm);
      await ensureServices(vm, deps);
    },
    async processGoalState(goalState, signal) {
      await prepare(signal);
      const incarnation = incarnationOf(goalState);
      const watch: Watch = {
        tail: openLogTail(agentLog(vm), 0),
        reader: createLogReader(),
        onEvent: options.onEvent ?? (() => {}),
      };
      publishGoalState(vm, goalState, incarnation, deps.now());
      await ensureServices(vm, deps, signal);
      await awaitGoalState(vm, goalState, incarnation, watch, deps, signal);
      const error = readBlob(vm)?.goalStateError;
      if (error !== undefined) {
        const text = `The agent refused the goal state: ${error}`;
        watch.onEvent({ kind: 'note', handlerName: '', text });
      }
      options.onDetail?.(`Status blob: ${readStatusBlob(vm.folder) ?? 'none'}`);
    },
    async report(goalState) {
      const blob = readBlob(vm);
      const silence = findSilence(vm);
      if (silence === undefined) {
        return reportsFor(goalState, blob ?? NOTHING).map((report) => explain(vm, goalState, report));
      }
      return goalState.extensions.map((extension) => silentReport(vm, extension, silence));
    },
  };
}

const NOTHING: StatusBlob = {
  agentVersion: '',
  incarnation: undefined,
  goalStateError: undefined,
  handlers: [],
};

const POLL_MS = 50;
/** The agent reports every second, and up to eight later for each status file that is missing. */
const REPORT_PATIENCE_MS = 120_000;
/** Failed reports of one goal state after which none is waited for; a crash counts as many, as the agent begins anew then. */
const SILENT_REPORTS = 2;
/** The same for an agent that crashes before it has processed the goal state. */
const FUTILE_REPORTS = 8;
const LOG_BACK_BYTES = 64 * 1024;

interface Watch {
  readonly tail: LogTail;
  readonly reader: LogReader;
  readonly onEvent: (event: AgentEvent) => void;
}

function requireOwnNetwork({ machine }: AgentVm): void {
  if (machine.network === 'loopback') return;
  throw new ToolError(
    'WAAGENT_NEEDS_NETWORK',
    "The real agent cannot run on this machine's network: it talks to addresses of Azure, which are put on the VM's own.",
    {
      hint: 'Add --network loopback. For an extension that needs a network, make another VM with --agent embedded.',
    },
  );
}

/** The number in the goal state's name. */
function incarnationOf(goalState: GoalState): number {
  const number = /_(\d+)$/.exec(goalState.id)?.[1];
  if (number !== undefined) return Number(number);
  throw new ToolError('VM_STATE_INVALID', `The goal state "${goalState.id}" has no number.`, {
    hint: 'Run handlerkit vm reset, and set the extensions again.',
  });
}

function agentLog({ machine }: AgentVm): string {
  return machine.hostPath(agentLogPath(machine));
}

/** The same goal state again stays as it is: its time is what tells the agent that it is the same. */
function publishGoalState(vm: AgentVm, goalState: GoalState, incarnation: number, now: Date): void {
  const former = readGoalState(vm.folder);
  const isSame = former?.incarnation === incarnation;
  const next: FabricGoalState = {
    ...goalState,
    incarnation,
    createdOn: isSame ? former.createdOn : laterTime(now, former),
    certificate: keepCertificate(vm),
    statusBlobType: 'BlockBlob',
    requiredFeatures: goalState.requiredFeatures ?? [],
  };
  writeGoalState(vm.folder, next);
}

/** The fabric sees this machine's files, not the VM's: it gets a copy of the key in the VM's folder, which is root's alone. */
function keepCertificate({ machine, folder }: AgentVm): FabricCertificate | null {
  const { certificate } = readStore(folder);
  if (certificate === null) return null;
  const files = formatCertificateFiles(certificate.thumbprint);
  const privateKeyFile = join(folder, files.privateKey);
  const key = readTextIfThere(machine.hostPath(`${machine.libFolder}/${files.privateKey}`));
  if (key !== undefined && key !== readTextIfThere(privateKeyFile)) writeWholeFile(privateKeyFile, key);
  return { certificatePem: certificate.pem, privateKeyFile };
}

function readBlob({ folder }: AgentVm): StatusBlob | undefined {
  const text = readStatusBlob(folder);
  return text === undefined ? undefined : parseStatusBlob(text, join(folder, FABRIC_FILES.statusBlob));
}

/** Waits until the status blob is about this goal state, or the agent has failed to make one. */
async function awaitGoalState(
  vm: AgentVm,
  goalState: GoalState,
  incarnation: number,
  watch: Watch,
  deps: WaagentDeps,
  signal: AbortSignal | undefined,
): Promise<void> {
  const limitMs = timeLimitMs(goalState);
  const deadline = deps.elapsedMs() + limitMs;
  let isProcessed = false;
  let failedReports = 0;
  for (let isPause = false; ; isPause = true) {
    const text = watch.tail.read();
    for (const news of watch.reader.read(text, isPause && text === '')) {
      if (news.kind === 'event') watch.onEvent(news.event);
      else if (news.kind === 'processed') isProcessed ||= news.incarnation === incarnation;
      else failedReports += news.isCrash ? SILENT_REPORTS : 1;
    }
    if (readBlob(vm)?.incarnation === incarnation && text === '') return;
    if (isProcessed && failedReports >= SILENT_REPORTS) return;
    requireRunning(vm, failedReports >= FUTILE_REPORTS);
    if (deps.elapsedMs() > deadline) {
      throw new ToolError(
        'WAAGENT_SLOW',
        `The Azure Linux Agent has not reported on goal state ${incarnation} within ${Math.round(limitMs / 60_000)} minutes.`,
        { hint: 'Look into its log with handlerkit vm logs, or start anew with handlerkit vm reset.' },
      );
    }
    await deps.sleep(POLL_MS, signal);
  }
}

/** What the agent allows for the operations of all handlers, and for its waits between them. */
function timeLimitMs(goalState: GoalState): number {
  const { install, update, enable, disable, uninstall } = OPERATION_TIMEOUT_SECONDS;
  const operationsMs = (install + update + enable + disable + uninstall) * 1000;
  const isOrdered = goalState.extensions.some((extension) => extension.dependencyLevel > 0);
  const waitMs = isOrdered ? DEPENDENCY_LIMIT_MINUTES * 60_000 : 0;
  return Math.max(1, goalState.extensions.length) * operationsMs + waitMs + REPORT_PATIENCE_MS;
}

/** Why the agent has uploaded nothing since the last status blob; `undefined` when nothing says that it failed to. */
function findSilence(vm: AgentVm): string | undefined {
  const tail = openLogTail(agentLog(vm), LOG_BACK_BYTES);
  const failures = createLogReader()
    .read(tail.read(), true)
    .filter((news) => news.kind === 'unreported');
  const last = failures.at(-1);
  const uploadedMs = modifiedMs(join(vm.folder, FABRIC_FILES.statusBlob));
  if (last === undefined || last.atMs < uploadedMs) return undefined;
  const consequence = last.isCrash ? ', crashes, and starts over with every enable' : '';
  return `the agent uploads no status of this VM: it fails to make its report${consequence} (${last.reason})`;
}

function modifiedMs(file: string): number {
  try {
    return statSync(file).mtimeMs;
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return 0;
    throw thrown;
  }
}

function silentReport(vm: AgentVm, extension: GoalStateExtension, silence: string): HandlerReport {
  const { handlerName, version, extensionName } = extension;
  return {
    handlerName,
    handlerVersion: version,
    extensionName,
    status: HANDLER_READY,
    code: 0,
    message: null,
    extension:
      extension.settings === undefined
        ? undefined
        : {
            name: extensionName ?? handlerName,
            sequence: sequenceOf(extension),
            verdict: judgeFile(vm, extension, version),
          },
    silencesVm: silence,
  };
}

/** Adds to a report why it is what it is, as far as the status file on the disk still gives this report. */
function explain(vm: AgentVm, goalState: GoalState, report: HandlerReport): HandlerReport {
  const extension = goalState.extensions.find(
    (one) => one.handlerName === report.handlerName && one.extensionName === report.extensionName,
  );
  if (extension === undefined || report.extension === undefined) return report;
  const judged = judgeFile(vm, extension, report.handlerVersion);
  const { reported } = report.extension.verdict;
  const isSame = judged.reported.status === reported.status && judged.reported.code === reported.code;
  if (!isSame) return report;
  const verdict = { ...report.extension.verdict, explanation: judged.explanation };
  return { ...report, extension: { ...report.extension, verdict } };
}

function judgeFile(
  { machine }: AgentVm,
  extension: GoalStateExtension,
  version: string,
): ExtensionReport['verdict'] {
  const { handlerName, extensionName } = extension;
  const handlerFolder = formatHandlerFolder(handlerName, version);
  const sequence = sequenceOf(extension);
  const file = `${machine.libFolder}/${handlerFolder}/${STATUS_FOLDER}/${formatStatusFile(sequence, extensionName)}`;
  const text = readTextIfThere(machine.hostPath(file));
  return judgeStatus({ text, file, extension: extensionName ?? handlerName, handlerFolder, sequence });
}
