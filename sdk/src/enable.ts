/**
 * Enable, step by step: decide under the lock whether this sequence is to run, read the settings, run the author's code
 * under its limits, and leave exactly one final status.
 */
import { trackChildren } from './child-tracker.ts';
import { EXIT_CODES } from './contract/exit-codes.ts';
import { OPERATION_TIMEOUT_SECONDS } from './contract/operations.ts';
import type { Status } from './contract/status.ts';
import { cutText, isFinal } from './contract/status.ts';
import type { EnableDecision } from './enable-decision.ts';
import { decideEnable } from './enable-decision.ts';
import { HandlerError, toHandlerError } from './errors.ts';
import type { EnableContext, EnableResult, HandlerDefinition } from './handler.ts';
import { emptyOlderSettings } from './handler-files.ts';
import type { StopReason } from './journal.ts';
import { createLimits } from './limits.ts';
import { withLock } from './lock.ts';
import type { OperationRun } from './operation-run.ts';
import { AGENT_MARGIN_SECONDS, operationContext } from './operation-run.ts';
import { identifyProcess } from './process-identity.ts';
import type { RunStore } from './run-store.ts';
import { openRunStore } from './run-store.ts';
import { openSettings } from './settings-door.ts';
import { errorStatus, progressStatus, resultStatus } from './status-messages.ts';
import { stopWorker } from './stop-run.ts';

/** How often, and after how many milliseconds, the final status is tried again on a disk that takes nothing. */
const RECORD_ATTEMPTS = 10;
const RECORD_PAUSE_MS = 500;
/** Characters of a result that are told on stderr when it cannot be written. */
const LOST_RESULT_CHARACTERS = 600;

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
  const store = openRunStore(host, own, run.environment, data.home, run.variables.extensionName);
  for (;;) {
    const decision = await decide(run, store, sequence);
    if (decision.kind === 'done') {
      log.info(decision.reason);
      return decision.exitCode;
    }
    if (decision.kind === 'run') break;
    log.info('an older sequence is still running; it is ended', { older: decision.journal.sequence });
    await stopWorker(host, decision.journal.process);
  }
  return runClaimed(definition, run, store, sequence);
}

async function decide(run: OperationRun, store: RunStore, sequence: number): Promise<EnableDecision> {
  const { host, data, own } = run;
  try {
    data.create();
    return await withLock(host, data.path, () => {
      data.claim(own.version);
      return decideEnable({ run, store, sequence, claim: () => claim(run, store, sequence) });
    });
  } catch (thrown) {
    // Whoever holds the lock may be working on this sequence, and then reports it.
    if (thrown instanceof HandlerError && thrown.code === 'LOCKED') throw thrown;
    const error = new HandlerError(
      'STATE_UNUSABLE',
      `the handler's state: ${toHandlerError(thrown).message}`,
    );
    const status = redactStatus(run, errorStatus('enable', error, host.now()));
    try {
      if (!isFinalOnDisk(store, sequence)) store.writeStatus(sequence, status);
    } catch {
      // The exit code and stderr tell it, too.
    }
    throw error;
  }
}

/**
 * Writes down that this process has taken the sequence on. Called under the lock. Not durable: nothing has begun yet, and
 * `mrseq`, which is written when it does, is.
 */
function claim(run: OperationRun, store: RunStore, sequence: number): void {
  store.removeLeftovers();
  const own = identifyProcess(run.host, process.pid);
  store.writeJournal(
    {
      sequence,
      state: 'running',
      version: run.own.version,
      process: own ?? { pid: process.pid, startTicks: -1, bootId: '' },
      children: [],
      stop: undefined,
      status: undefined,
    },
    { durable: false },
  );
}

async function runClaimed<Public, Protected>(
  definition: HandlerDefinition<Public, Protected>,
  run: OperationRun,
  store: RunStore,
  sequence: number,
): Promise<number> {
  const { host, log } = run;
  const started = host.elapsedMs();
  const durationMs = (): number => Math.round(host.elapsedMs() - started);
  log.info('enable started');
  let status: Status;
  let exitCode: number = EXIT_CODES.done;
  try {
    const result = await runAuthor(definition, run, store, sequence);
    status = resultStatus('enable', result, host.now());
  } catch (thrown) {
    const error = toHandlerError(thrown);
    // What follows the first line may be a program's output, which belongs to the VM's owner: it stays in the status.
    const [summary = ''] = error.message.split('\n', 1);
    log.error(summary, { code: error.code, durationMs: durationMs() });
    log.event('Error', 'enable', `${error.code}: ${summary}`);
    status = errorStatus('enable', error, host.now());
    exitCode = error.exitCode === EXIT_CODES.done ? EXIT_CODES.handlerError : error.exitCode;
    // The agent shows stderr beside the exit code, before it shows the status.
    run.sayError(error);
  }
  await finish(run, store, sequence, redactStatus(run, status));
  log.info('enable ended', { status: status.status, code: status.code, durationMs: durationMs() });
  if (exitCode === EXIT_CODES.done) log.event('Informational', 'enable', `enable ended: ${status.status}`);
  return exitCode;
}

async function runAuthor<Public, Protected>(
  definition: HandlerDefinition<Public, Protected>,
  run: OperationRun,
  store: RunStore,
  sequence: number,
): Promise<EnableResult> {
  const { host, data, redactor, own, environment, log } = run;
  const report = (detail: string, substatus: readonly Status['substatus'][number][] = []): void => {
    try {
      if (isFinalOnDisk(store, sequence)) return;
      const status = redactStatus(run, progressStatus('enable', detail, substatus, host.now()));
      store.writeStatus(sequence, status, { durable: false });
    } catch (thrown) {
      // Work does not end because its progress cannot be told; whether the result can is found out at the end.
      log.warn('the status cannot be written', { reason: toHandlerError(thrown).message });
    }
  };
  report('');
  const limits = createLimits({
    host,
    outside: run.signal,
    seconds: limitSeconds(run),
    explain: (reason) => interruption(reason, readStopReason(store)),
  });
  const children = trackChildren({ host, store, sequence, lockFolder: data.path, signal: limits.signal });
  try {
    const { extensionName } = run.variables;
    const settings = await openSettings(
      { host, own, environment, sequence, extensionName, redactor },
      definition,
    ).catch((thrown: unknown) => {
      const error = toHandlerError(thrown, 'INTERNAL');
      // Settings that can never be right count as processed; a missing certificate may be there at the next try.
      if (!HEALABLE.has(error.code)) store.writeSequence(sequence);
      throw error;
    });
    const context: EnableContext<Public, Protected> = {
      ...operationContext(run),
      sequence,
      settings,
      host: children.host,
      signal: limits.signal,
      status: { transitioning: async (message, substatus) => report(message, substatus) },
      redact: redactor.redact,
      addSecret: redactor.addSecret,
    };
    const result = await limits.guard(async () => {
      // The author's code begins here: from now on the sequence counts as taken on.
      store.writeSequence(sequence);
      return definition.enable(context);
    });
    return result ?? {};
  } finally {
    // After an abort nothing goes on: neither what ignored it nor what was started to clean up.
    if (limits.signal.aborted) children.kill();
    limits.release();
  }
}

function limitSeconds({ description }: OperationRun): number {
  const { detached, timeoutMinutes } = description.enable;
  const ofAuthor = timeoutMinutes * 60;
  return detached ? ofAuthor : Math.min(ofAuthor, OPERATION_TIMEOUT_SECONDS.enable - AGENT_MARGIN_SECONDS);
}

function isFinalOnDisk(store: RunStore, sequence: number): boolean {
  const status = store.readStatus(sequence);
  return status !== undefined && isFinal(status.status);
}

/** Writes the final status, whatever state the author's code has left the disk in. Throws `STATE_UNUSABLE`. */
async function finish(run: OperationRun, store: RunStore, sequence: number, status: Status): Promise<void> {
  const { host, data } = run;
  for (let attempt = 1; ; attempt++) {
    try {
      await withLockIfPossible(run, () => record(store, sequence, status));
      break;
    } catch (thrown) {
      if (attempt === RECORD_ATTEMPTS) {
        throw new HandlerError(
          'STATE_UNUSABLE',
          `the result cannot be written: ${toHandlerError(thrown).message}; make room or repair the disk. The result was: ${cutText(status.message, LOST_RESULT_CHARACTERS)}`,
        );
      }
      await host.sleep(RECORD_PAUSE_MS);
    }
  }
  if (data.home().folder === run.own.folder) {
    emptyOlderSettings(host, run.environment, sequence, run.variables.extensionName);
  }
}

/** A result is worth more than the lock: a data folder that was removed or cannot be written must not lose it. */
async function withLockIfPossible({ host, data }: OperationRun, work: () => void): Promise<void> {
  try {
    data.create();
    await withLock(host, data.path, work);
  } catch {
    work();
  }
}

/**
 * Journal first: a status that is lost afterwards is written again from it. A journal that cannot be written is removed,
 * which always works, so that it does not say of a finished run that it died.
 */
function record(store: RunStore, sequence: number, status: Status): void {
  const journal = store.readJournal();
  // A newer sequence that took over has settled this one, and owns the journal now.
  if (journal !== undefined && journal.sequence !== sequence) return;
  let isJournalRight = true;
  try {
    if (journal !== undefined) store.writeJournal({ ...journal, state: 'finished', children: [], status });
  } catch {
    isJournalRight = false;
  }
  store.writeStatus(sequence, status);
  if (!isJournalRight) store.removeJournal();
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

function readStopReason(store: RunStore): StopReason | undefined {
  try {
    return store.readJournal()?.stop;
  } catch {
    // Called while the signal is being aborted: the end must not fail because its reason cannot be read.
    return undefined;
  }
}

function interruption(reason: unknown, stop: StopReason | undefined): HandlerError {
  if (stop === 'superseded')
    return new HandlerError('SUPERSEDED', 'newer settings arrived while this run was working');
  if (stop !== undefined)
    return new HandlerError('INTERRUPTED', `the extension was ${stop} while this run was working`);
  return toHandlerError(reason, 'INTERNAL');
}
