/**
 * Enable, step by step: decide under the lock whether this sequence is to run, read the settings, run the author's code
 * under its limits, and leave exactly one final status.
 */

import { EXIT_CODES } from './contract/exit-codes.ts';
import { OPERATION_TIMEOUT_SECONDS } from './contract/operations.ts';
import type { Status } from './contract/status.ts';
import { isFinal } from './contract/status.ts';
import { decideEnable } from './enable-decision.ts';
import { HandlerError, toHandlerError } from './errors.ts';
import type { EnableContext, EnableResult, HandlerDefinition } from './handler.ts';
import { emptyOlderSettings } from './handler-files.ts';
import type { Host } from './host.ts';
import type { Journal, StopReason } from './journal.ts';
import { withLock } from './lock.ts';
import type { OperationRun } from './operation-run.ts';
import { operationContext } from './operation-run.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { identifyProcess } from './process-identity.ts';
import type { RunStore } from './run-store.ts';
import { openRunStore } from './run-store.ts';
import { openSettings } from './settings-door.ts';
import { errorStatus, progressStatus, resultStatus } from './status-messages.ts';
import { stopWorker } from './stop-run.ts';

/** Milliseconds that the author's code has, after its signal was aborted, to clean up and report. */
export const ABORT_GRACE_MS = 10_000;
/** Seconds before the agent's own limit at which an enable that is not detached ends by itself, to be able to report. */
const AGENT_MARGIN_SECONDS = 20;

/** What a failure says about another try with the same settings: none of these was the settings' own fault. */
const HEALABLE = new Set(['SETTINGS_UNREADABLE', 'CERTIFICATE_NOT_FOUND', 'PROTECTED_SETTINGS_UNREADABLE']);

/** Runs enable for one sequence; gives the exit code. Throws only when the sequence is unknown or no status can be written. */
export async function enable<Public, Protected>(
  definition: HandlerDefinition<Public, Protected>,
  run: OperationRun,
): Promise<number> {
  const { host, data, log, own, sequence } = run;
  if (sequence === undefined) {
    throw new HandlerError(
      'SEQUENCE_UNKNOWN',
      `neither the agent nor ${run.environment.configFolder} gives a sequence number; apply the settings again`,
    );
  }
  data.create();
  const store = openRunStore(host, own, run.environment, data.home, run.variables.extensionName);
  for (;;) {
    const decision = await withLock(host.path(data.path), () => {
      data.claim(own.version);
      return decideEnable({ run, store, sequence, claim: () => claim(run, store, sequence) });
    });
    if (decision.kind === 'done') {
      log.info(decision.reason);
      return decision.exitCode;
    }
    if (decision.kind === 'run') break;
    log.info('an older sequence is still running; it is ended', { older: decision.journal.sequence });
    await stopWorker(host, decision.journal);
  }
  const result = await runClaimed(definition, run, store, sequence);
  return result;
}

/** Writes down that this process has taken the sequence on. Called under the lock. */
function claim(run: OperationRun, store: RunStore, sequence: number): void {
  const own = identifyProcess(run.host, process.pid);
  store.writeJournal({
    sequence,
    state: 'running',
    version: run.own.version,
    process: own ?? { pid: process.pid, startTicks: -1, bootId: '' },
    children: [],
    stop: undefined,
    status: undefined,
  });
}

async function runClaimed<Public, Protected>(
  definition: HandlerDefinition<Public, Protected>,
  run: OperationRun,
  store: RunStore,
  sequence: number,
): Promise<number> {
  const { host, log } = run;
  const started = host.elapsedMs();
  log.info('enable started');
  let status: Status;
  let exitCode: number = EXIT_CODES.done;
  try {
    const result = await runAuthor(definition, run, store, sequence);
    status = resultStatus('enable', result, host.now());
  } catch (thrown) {
    const error = toHandlerError(thrown);
    log.error(error.message, { code: error.code, durationMs: Math.round(host.elapsedMs() - started) });
    log.event('Error', 'enable', `${error.code}: ${error.message}`);
    status = errorStatus('enable', error, host.now());
    exitCode = error.exitCode === EXIT_CODES.done ? EXIT_CODES.handlerError : error.exitCode;
  }
  await finish(run, store, sequence, redactStatus(run, status));
  const durationMs = Math.round(host.elapsedMs() - started);
  log.info('enable ended', { status: status.status, code: status.code, durationMs });
  if (exitCode === EXIT_CODES.done) log.event('Informational', 'enable', `enable ended: ${status.status}`);
  return exitCode;
}

async function runAuthor<Public, Protected>(
  definition: HandlerDefinition<Public, Protected>,
  run: OperationRun,
  store: RunStore,
  sequence: number,
): Promise<EnableResult> {
  const { host, description, redactor, own, environment } = run;
  const report = (detail: string, substatus: readonly Status['substatus'][number][] = []): void => {
    if (isFinalOnDisk(store, sequence)) return;
    const status = redactStatus(run, progressStatus('enable', detail, substatus, host.now()));
    store.writeStatus(sequence, status, { durable: false });
  };
  report('');
  let settings: { readonly public: Public; readonly protected: Protected };
  try {
    const extensionName = run.variables.extensionName;
    settings = await openSettings({ host, own, environment, sequence, extensionName, redactor }, definition);
  } catch (thrown) {
    const error = toHandlerError(thrown, 'INTERNAL');
    // Settings that can never be right count as processed; a missing certificate may be there at the next try.
    if (!HEALABLE.has(error.code)) store.writeSequence(sequence);
    throw error;
  }
  store.writeSequence(sequence);
  const limits = createLimits(run, store, description.enable);
  try {
    const context: EnableContext<Public, Protected> = {
      ...operationContext(run),
      sequence,
      settings,
      host: trackChildren(host, store, sequence),
      signal: limits.signal,
      status: { transitioning: async (message, substatus) => report(message, substatus) },
      redact: redactor.redact,
      addSecret: redactor.addSecret,
    };
    return await limits.guard(callEnable(definition, context));
  } finally {
    limits.release();
  }
}

async function callEnable<Public, Protected>(
  definition: HandlerDefinition<Public, Protected>,
  context: EnableContext<Public, Protected>,
): Promise<EnableResult | undefined> {
  const result = await definition.enable(context);
  return result ?? undefined;
}

function isFinalOnDisk(store: RunStore, sequence: number): boolean {
  const status = store.readStatus(sequence);
  return status !== undefined && isFinal(status.status);
}

/** Journal first: a status that is lost afterwards is written again from it. */
async function finish(run: OperationRun, store: RunStore, sequence: number, status: Status): Promise<void> {
  const { host, data } = run;
  await withLock(host.path(data.path), () => {
    const journal = store.readJournal();
    // A newer sequence that took over has settled this one, and owns the journal now.
    if (journal !== undefined && journal.sequence !== sequence) return;
    if (journal !== undefined) store.writeJournal({ ...journal, state: 'finished', children: [], status });
    store.writeStatus(sequence, status);
  });
  if (data.home().folder === run.own.folder) {
    emptyOlderSettings(host, run.environment, sequence, run.variables.extensionName);
  }
}

function redactStatus(run: OperationRun, status: Status): Status {
  const { redact } = run.redactor;
  return {
    ...status,
    message: redact(status.message),
    substatus: status.substatus.map((item) => ({
      ...item,
      name: redact(item.name),
      message: redact(item.message),
    })),
  };
}

interface Limits {
  readonly signal: AbortSignal;
  /** The author's result; an error once the signal was aborted and the author's code has ended or its grace is over. */
  guard(author: Promise<EnableResult | undefined>): Promise<EnableResult>;
  release(): void;
}

function createLimits(
  run: OperationRun,
  store: RunStore,
  enableDescription: { readonly detached: boolean; readonly timeoutMinutes: number },
): Limits {
  const { host } = run;
  const controller = new AbortController();
  const done = new AbortController();
  const onOutside = (): void => controller.abort(interruption(run.signal.reason, store.readJournal()?.stop));
  if (run.signal.aborted) onOutside();
  else run.signal.addEventListener('abort', onOutside, { once: true });
  const seconds = enableDescription.detached
    ? enableDescription.timeoutMinutes * 60
    : Math.min(
        enableDescription.timeoutMinutes * 60,
        OPERATION_TIMEOUT_SECONDS.enable - AGENT_MARGIN_SECONDS,
      );
  host.sleep(seconds * 1000, done.signal).then(
    () =>
      controller.abort(
        new HandlerError('TIMED_OUT', `the time limit of ${formatLimit(seconds)} was reached`),
      ),
    () => undefined,
  );
  const abandoned = new Promise<never>((_, reject) => {
    controller.signal.addEventListener('abort', () => {
      host.sleep(ABORT_GRACE_MS, done.signal).then(
        () => reject(controller.signal.reason),
        () => undefined,
      );
    });
  });
  return {
    signal: controller.signal,
    guard: async (author) => {
      try {
        return (await Promise.race([author, abandoned])) ?? {};
      } catch (thrown) {
        const { reason } = controller.signal;
        if (!controller.signal.aborted || !(reason instanceof HandlerError)) throw thrown;
        // The author's code may say more about the same end, such as the output so far.
        throw thrown instanceof HandlerError && thrown.code === reason.code ? thrown : reason;
      }
    },
    release: () => {
      done.abort();
      run.signal.removeEventListener('abort', onOutside);
    },
  };
}

function interruption(reason: unknown, stop: StopReason | undefined): HandlerError {
  if (stop === 'superseded')
    return new HandlerError('SUPERSEDED', 'newer settings arrived while this run was working');
  if (stop !== undefined)
    return new HandlerError('INTERRUPTED', `the extension was ${stop} while this run was working`);
  return toHandlerError(reason, 'INTERRUPTED');
}

function formatLimit(seconds: number): string {
  return seconds % 60 === 0 ? `${seconds / 60} minutes` : `${seconds} seconds`;
}

/** Notes in the journal which process groups the author's code has started, so that none goes on unseen after a crash. */
function trackChildren(host: Host, store: RunStore, sequence: number): Host {
  const running = new Map<number, ProcessIdentity>();
  const note = (): void => {
    const journal = store.readJournal();
    if (journal?.sequence !== sequence || journal.state !== 'running') return;
    const next: Journal = { ...journal, children: [...running.values()] };
    store.writeJournal(next, { durable: false });
  };
  return {
    ...host,
    exec: async (argv, options = {}) => {
      let started: number | undefined;
      try {
        return await host.exec(argv, {
          ...options,
          onStart: (pid) => {
            const identity = identifyProcess(host, pid);
            started = pid;
            if (identity !== undefined) running.set(pid, identity);
            note();
            options.onStart?.(pid);
          },
        });
      } finally {
        if (started !== undefined) running.delete(started);
      }
    },
  };
}
