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
import { HandlerError, stateUnusable, toHandlerError } from './errors.ts';
import type { EnableContext, EnableResult, HandlerDefinition } from './handler.ts';
import { emptyOlderSettings } from './handler-files.ts';
import { isHandedOver } from './handover.ts';
import type { StopReason } from './journal.ts';
import type { Limits } from './limits.ts';
import { createLimits } from './limits.ts';
import { withLock } from './lock.ts';
import { readMachineIdentity } from './machine-identity.ts';
import type { OperationRun } from './operation-run.ts';
import { AGENT_MARGIN_SECONDS, operationContext, withLockIfPossible } from './operation-run.ts';
import { identifyProcess } from './process-identity.ts';
import type { RunStore } from './run-store.ts';
import { openRunStore } from './run-store.ts';
import { openSettings } from './settings-door.ts';
import { errorStatus, redactStatus, resultStatus, stoppedStatus } from './status-messages.ts';
import type { RunReporter } from './status-reporter.ts';
import { createRunReporter, isFinalOnDisk } from './status-reporter.ts';
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
    const { sequence: older, version } = decision.journal;
    log.info('another run is still working; it is ended', { sequence: older, version });
    await stopWorker(host, decision.journal.process);
  }
  return runClaimed(definition, run, store, sequence);
}

/** This process was started for what has been updated or uninstalled since. */
const TOO_LATE: EnableDecision = {
  kind: 'done',
  reason: 'this version was updated or uninstalled before this run had begun; nothing is run',
  exitCode: EXIT_CODES.done,
};

async function decide(run: OperationRun, store: RunStore, sequence: number): Promise<EnableDecision> {
  const { host, data, own } = run;
  if (isHandedOver(host, own)) return TOO_LATE;
  try {
    data.create();
    const decision = await withLock(host, data.path, () => {
      // Looked at again, as what wrote the note may have held the lock.
      if (isHandedOver(host, own)) return TOO_LATE;
      store.removeLeftovers();
      data.removeLeftovers();
      data.claim(own.version);
      return decideEnable({ run, store, sequence, claim: () => claim(run, store, sequence) });
    });
    if (decision === TOO_LATE) data.removeIfEmpty();
    return decision;
  } catch (thrown) {
    // Whoever holds the lock may be working on this sequence, and then reports it.
    if (thrown instanceof HandlerError && thrown.code === 'LOCKED') throw thrown;
    const error = stateUnusable(thrown);
    const status = redactStatus(run.redactor.redact, errorStatus('enable', error, host.now()));
    try {
      // Nothing has begun: should a power failure take it away, too, the next enable says it again.
      if (!isFinalOnDisk(store, sequence)) store.writeStatus(sequence, status, { durable: false });
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
  settleOlder(run, store, sequence);
  const own = identifyProcess(run.host, process.pid);
  store.writeJournal(
    {
      sequence,
      state: 'running',
      version: run.own.version,
      machine: readMachineIdentity(run.host),
      process: own ?? { pid: process.pid, startTicks: -1, bootId: '' },
      children: [],
      stop: undefined,
      status: undefined,
    },
    { durable: false },
  );
}

/**
 * Older sequences that the agent will not ask for any more: one whose result is in the journal, but was killed before that
 * was its status, and those that came to nothing and have no more than the launcher's placeholder.
 */
function settleOlder({ host }: OperationRun, store: RunStore, sequence: number): void {
  const journal = store.readJournal();
  const settle = (older: number, status: Status): void =>
    store.writeStatus(older, status, { durable: false });
  if (journal?.status !== undefined && journal.sequence < sequence) {
    const shown = store.readStatus(journal.sequence);
    if (shown !== undefined && !isFinal(shown.status)) settle(journal.sequence, journal.status);
  }
  const error = new HandlerError('SUPERSEDED', 'newer settings arrived before this run had begun');
  for (const skipped of store.unfinishedBetween(store.readSequence(), sequence)) {
    settle(skipped, errorStatus('enable', error, host.now()));
  }
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
  const limits = createLimits({
    host,
    outside: run.signal,
    seconds: limitSeconds(run),
    explain: (reason) => interruption(reason, readStopReason(store)),
  });
  const onUp = (): void => {
    limits.lift();
    scrubOlderSettings(run, sequence);
  };
  const reporter = createRunReporter({ run, store, sequence, onUp });
  reporter.begin();
  let status: Status;
  let exitCode: number = EXIT_CODES.done;
  try {
    status = await work(definition, run, store, { sequence, limits, reporter });
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
  status = redactStatus(run.redactor.redact, status);
  reporter.end(status.message);
  await finish(run, store, sequence, status);
  log.info('enable ended', { status: status.status, code: status.code, durationMs: durationMs() });
  if (exitCode === EXIT_CODES.done) log.event('Informational', 'enable', `enable ended: ${status.status}`);
  return exitCode;
}

/** Runs the author's code; gives the status of its result. A daemon that was asked to end, and ended, has not failed. */
async function work<Public, Protected>(
  definition: HandlerDefinition<Public, Protected>,
  run: OperationRun,
  store: RunStore,
  parts: Work,
): Promise<Status> {
  const { limits, reporter } = parts;
  const now = (): Date => run.host.now();
  const stopOfDaemon = (): StopReason | undefined =>
    reporter.isUp() && limits.wasEndedInOrder() ? readStopReason(store) : undefined;
  try {
    const result = await runAuthor(definition, run, store, parts);
    const stop = stopOfDaemon();
    if (stop !== undefined) return stoppedStatus('enable', stop, now());
    // Nobody wanted a daemon to end that ended for a signal from elsewhere.
    if (reporter.isUp()) limits.signal.throwIfAborted();
    return resultStatus('enable', result, now());
  } catch (thrown) {
    const stop = stopOfDaemon();
    if (stop !== undefined) return stoppedStatus('enable', stop, now());
    throw thrown;
  }
}

interface Work {
  readonly sequence: number;
  readonly limits: Limits;
  readonly reporter: RunReporter;
}

async function runAuthor<Public, Protected>(
  definition: HandlerDefinition<Public, Protected>,
  run: OperationRun,
  store: RunStore,
  { sequence, limits, reporter }: Work,
): Promise<EnableResult> {
  const { host, data, redactor, own, environment } = run;
  const children = trackChildren({ host, store, sequence, lockFolder: data.path, signal: limits.signal });
  try {
    const { extensionName } = run.variables;
    const settings = await openSettings(
      { host, own, environment, sequence, extensionName, redactor, log: run.log },
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
      status: reporter.status,
      redact: redactor.redact,
      addSecret: redactor.addSecret,
    };
    const result = await limits.guard(async () => {
      // The author's code begins here: from now on the sequence counts as taken on.
      try {
        store.writeSequence(sequence);
      } catch (thrown) {
        throw stateUnusable(thrown);
      }
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

/** Writes the final status, whatever state the author's code has left the disk in. Throws `STATE_UNUSABLE`. */
async function finish(run: OperationRun, store: RunStore, sequence: number, status: Status): Promise<void> {
  const { host } = run;
  for (let attempt = 1; ; attempt++) {
    // A disk that cannot say that it has written has mostly done so: that is better than no result.
    const isDurable = attempt < RECORD_ATTEMPTS;
    try {
      await withLockIfPossible(run, () => record(store, sequence, status, { durable: isDurable }));
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
  scrubOlderSettings(run, sequence);
}

function scrubOlderSettings(
  { host, data, own, environment, variables }: OperationRun,
  sequence: number,
): void {
  if (data.home().folder !== own.folder) return;
  emptyOlderSettings(host, environment, sequence, variables.extensionName);
}

/**
 * Journal first: a status that is lost afterwards is written again from it. A journal that cannot be written is removed,
 * which always works, so that it does not say of a finished run that it died.
 */
function record(
  store: RunStore,
  sequence: number,
  status: Status,
  options: { readonly durable: boolean },
): void {
  const journal = store.readJournal();
  // A newer sequence that took over has settled this one, and owns the journal now.
  if (journal !== undefined && journal.sequence !== sequence) return;
  let isJournalRight = true;
  try {
    if (journal !== undefined) {
      store.writeJournal({ ...journal, state: 'finished', children: [], status }, options);
    }
  } catch {
    isJournalRight = false;
  }
  store.writeStatus(sequence, status, options);
  if (!isJournalRight) store.removeJournal();
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
