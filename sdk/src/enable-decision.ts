/**
 * Whether a sequence is to run: the rules of "at most once, and never silent". Called under the lock.
 * Source: agent-contract 4.4, 7.2 (the agent never skips a repeated number); docs-and-reliability 3.3.
 *
 * - a number that was processed before does not run again, and keeps its finished status;
 * - a run that is alive is left alone by its own number, and ended by a newer one;
 * - a run that died ends as an error that says so, or runs again where the author allows it or it is a daemon;
 * - no status stays `transitioning`: what is known is written again, what is not known is said;
 * - what another machine did counts for nothing here: a disk or an image may bring the folders of one along.
 */
import { EXIT_CODES } from './contract/exit-codes.ts';
import { isProcessed } from './contract/sequence.ts';
import { isFinal } from './contract/status.ts';
import { removeUnfinishedDownloads } from './download/part-file.ts';
import { HandlerError } from './errors.ts';
import type { Journal } from './journal.ts';
import type { OperationRun } from './operation-run.ts';
import { identifyProcess, isRunning, readBootId } from './process-identity.ts';
import type { RunStore } from './run-store.ts';
import { errorStatus } from './status-messages.ts';
import { isDaemon } from './status-reporter.ts';
import { killChildren } from './stop-run.ts';

export type EnableDecision =
  | { readonly kind: 'run' }
  /** Nothing to do; `reason` is for the log. */
  | { readonly kind: 'done'; readonly reason: string; readonly exitCode: number }
  /** The journal's worker has been asked to end; wait for it and decide again. */
  | { readonly kind: 'stop'; readonly journal: Journal };

export interface EnableQuestion {
  readonly run: OperationRun;
  readonly store: RunStore;
  readonly sequence: number;
  /** Takes the sequence on: writes the journal for this process. */
  claim(): void;
}

/** Decides, and writes down what follows from it: claim, stop request, or the final status of a run that died. */
export function decideEnable(question: EnableQuestion): EnableDecision {
  const { run, store, sequence } = question;
  forgetIfLeftover(question);
  forgetIfRemoved(question);
  const journal = store.readJournal();
  const stored = store.readSequence();
  if (journal?.state === 'running') {
    const decision = decideRunning(question, journal, stored);
    if (decision !== undefined) return decision;
  }
  if (run.description.enable.rerun === 'once-per-sequence' && isProcessed(sequence, stored)) {
    return settleProcessed(question, store.readJournal(), stored);
  }
  question.claim();
  return { kind: 'run' };
}

/**
 * A disk or an image that was made without removing the extensions brings the state of another machine along. Its journal
 * says so. A number alone does so only when it is higher than the one asked for and nothing else of it is there: on one
 * machine numbers grow, and the agent keeps status and settings of the last one, also through an update from a version
 * that wrote no journal and through a power failure. In case of doubt nothing runs twice.
 * Source: sdk-anchors 4, number 16; agent-contract 4.3, 4.4.
 */
function forgetIfLeftover({ run, store, sequence }: EnableQuestion): void {
  const stored = store.readSequence();
  if (store.isOfOtherMachine()) {
    run.log.info('the state of this extension comes from another machine; it is forgotten', { stored });
    store.forget();
    store.forgetResults(sequence);
    return;
  }
  if (stored === undefined || stored <= sequence || store.hasJournal()) return;
  if (store.readStatus(stored) !== undefined || store.hasSettings(stored)) return;
  const own = store.readStatus(sequence);
  if (own !== undefined && isFinal(own.status)) return;
  run.log.info('a number that nothing else on this machine knows of is forgotten', { stored });
  store.forget();
}

/**
 * The agent tells a handler that one of its configurations was removed only by `disable`, which it also calls in an
 * update and before an uninstall that may fail. What tells them apart is what it does afterwards: with a removal it
 * deletes every status and settings file of the name, otherwise it keeps or copies the statuses. So `disable` only makes
 * a note, which `update` takes away, and here it is looked whether the name begins anew. A number that was processed
 * and has neither status nor settings any more says the same without the note.
 * Source: agent-contract 7.4, 7.7; sdk-anchors 3, row 2.
 */
function forgetIfRemoved({ run, store, sequence }: EnableQuestion): void {
  if (run.variables.extensionName === undefined) return;
  const journal = store.readJournal();
  if (journal !== undefined && isRunning(run.host, journal.process) && journal.state === 'running') return;
  const stored = store.readSequence() ?? journal?.sequence;
  if (stored === undefined) return;
  if (!store.hasResult(sequence)) {
    const isGone = stored !== sequence && !store.hasSettings(stored);
    if (journal?.disabled === true || isGone) {
      run.log.info('this configuration was removed before; it begins anew', { stored });
      store.forget();
    }
    return;
  }
  if (journal?.disabled === true) store.writeJournal({ ...journal, disabled: false });
}

/** The journal says that a run works: alive it is left or stopped, dead it is settled. `undefined`: go on deciding. */
function decideRunning(
  question: EnableQuestion,
  journal: Journal,
  stored: number | undefined,
): EnableDecision | undefined {
  const { run, store, sequence } = question;
  if (isRunning(run.host, journal.process)) {
    if (sequence < journal.sequence) return settleProcessed(question, journal, journal.sequence);
    // A daemon of another version that its `disable` could not stop is no worker of this version.
    const isForeign = isDaemon(run.description) && journal.version !== run.own.version;
    if (sequence === journal.sequence && !isForeign) {
      if (journal.status !== undefined && store.readStatus(sequence) === undefined) {
        store.writeStatus(sequence, journal.status);
      }
      return done(`sequence ${sequence} is running in process ${journal.process.pid}`);
    }
    store.writeJournal({ ...journal, stop: 'superseded' });
    return { kind: 'stop', journal };
  }
  clearDead(run, journal);
  // Claimed, but `mrseq` was never written: the author's code had not begun, so the run may simply begin now.
  if (!isProcessed(journal.sequence, stored)) return undefined;
  const isOwn = journal.sequence === sequence;
  if (isOwn && (run.description.enable.onInterrupted === 'rerun' || isDaemon(run.description))) {
    run.log.warn('the process that worked on this sequence has died; it is started again', {
      pid: journal.process.pid,
    });
    question.claim();
    return { kind: 'run' };
  }
  const error = settleDead(run, store, journal);
  if (isOwn && run.description.enable.rerun === 'once-per-sequence') {
    return { kind: 'done', reason: error.message, exitCode: error.exitCode };
  }
  return undefined;
}

/** Ends the processes of a run that has died, and removes the files that they had not finished. */
export function clearDead({ host, data }: OperationRun, journal: Journal): void {
  killChildren(host, journal);
  const isRunningPid = (pid: number): boolean => identifyProcess(host, pid) !== undefined;
  removeUnfinishedDownloads(host.path(data.path), isRunningPid);
}

/** Ends a run whose process has died with a final status that says so. Called under the lock. */
export function settleDead(run: OperationRun, store: RunStore, journal: Journal): HandlerError {
  const error = deathOf(run, journal);
  const status = errorStatus('enable', error, run.host.now());
  store.writeJournal({ ...journal, state: 'finished', children: [], status });
  store.writeStatus(journal.sequence, status);
  return error;
}

function deathOf(run: OperationRun, journal: Journal): HandlerError {
  if (journal.stop === 'superseded') {
    return new HandlerError('SUPERSEDED', 'newer settings arrived, and the run did not end in time');
  }
  if (journal.stop !== undefined) {
    return new HandlerError(
      'INTERRUPTED',
      `the extension was ${journal.stop}, and the run did not end in time`,
    );
  }
  const isSameBoot = journal.process.bootId === readBootId(run.host);
  const cause = isSameBoot ? 'its process was killed' : 'the machine was restarted';
  const death = `the run of sequence ${journal.sequence} was interrupted: ${cause} before it finished`;
  const advice = isDaemon(run.description)
    ? ''
    : '; it is not repeated by itself: change the settings or set another forceUpdateTag to run it again';
  return new HandlerError('INTERRUPTED', `${death}${advice}`);
}

/** A number that was processed: its finished status stays, and is put back where it is missing. */
function settleProcessed(
  question: EnableQuestion,
  journal: Journal | undefined,
  stored: number | undefined,
): EnableDecision {
  const { run, store, sequence } = question;
  const status = store.readStatus(sequence);
  if (status !== undefined && isFinal(status.status))
    return done(`sequence ${sequence} was processed before`);
  if (journal?.sequence === sequence && journal.status !== undefined) {
    store.writeStatus(sequence, journal.status);
    return done(`sequence ${sequence} was processed before; its status was missing and is restored`);
  }
  // After a power failure `mrseq` may be there without its journal: that, too, is a run that died.
  if (sequence === stored && run.description.enable.onInterrupted === 'rerun') {
    question.claim();
    return { kind: 'run' };
  }
  const text =
    stored !== undefined && sequence < stored
      ? `sequence ${sequence} is older than ${stored}, which was taken on already; change the settings or set another forceUpdateTag`
      : `sequence ${sequence} was processed before, but its result is lost; change the settings or set another forceUpdateTag to run it again`;
  const error = new HandlerError('INTERRUPTED', text);
  store.writeStatus(sequence, errorStatus('enable', error, run.host.now()));
  return done(text);
}

function done(reason: string): EnableDecision {
  return { kind: 'done', reason, exitCode: EXIT_CODES.done };
}
