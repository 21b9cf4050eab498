/**
 * Update, install, disable and uninstall: what the SDK does around the author's functions so that nothing is lost and
 * nothing is left behind. None of them writes a status: it would replace the result of enable.
 * Source: agent-contract 7.4 (order), 7.5 (a downgrade runs `update` from the old folder); sdk-anchors 3, rows 1, 2, 6.
 */
import { join } from 'node:path';
import { OPERATION_TIMEOUT_SECONDS } from './contract/operations.ts';
import { CONFIG_FOLDER, parseHandlerFolder, parseSettingsFile } from './contract/package-layout.ts';
import { readHandlerState } from './data-folder.ts';
import { clearDead, settleDead } from './enable-decision.ts';
import { HandlerError, stateUnusable, toHandlerError } from './errors.ts';
import type { HandlerDefinition, OperationContext } from './handler.ts';
import type { HandlerFolder } from './handler-files.ts';
import { listFolder, siblingFolder } from './handler-files.ts';
import { noteHandover } from './handover.ts';
import type { Journal, StopReason } from './journal.ts';
import { isJournalFile, journalOwner, journalPath, readJournal } from './journal.ts';
import { createLimits } from './limits.ts';
import { withLock } from './lock.ts';
import type { OperationRun } from './operation-run.ts';
import { AGENT_MARGIN_SECONDS, operationContext, withLockIfPossible } from './operation-run.ts';
import { isRunning } from './process-identity.ts';
import type { RunStore } from './run-store.ts';
import { isSequenceFile, openRunStore, sequenceOwner } from './run-store.ts';
import { progressStatus } from './status-messages.ts';
import { isDaemon } from './status-reporter.ts';
import { stopWorker } from './stop-run.ts';
import { readTextIfThere, writeWholeFile } from './whole-file.ts';

type Definition = Pick<HandlerDefinition<never, never>, 'install' | 'disable' | 'update' | 'uninstall'>;

/** Makes the data folder, claims it for this version, and runs the author's `install`. */
export async function install(definition: Definition, run: OperationRun): Promise<void> {
  const { data, own, variables } = run;
  await withState(run, () => data.claim(own.version));
  await runLimited(run, definition.install, {
    ...operationContext(run),
    uninstallExitCode: variables.uninstallExitCode,
  });
}

/**
 * Carries the SDK's state over to the version that takes over, adopts a run that is still working, and runs the
 * author's `update`. When that fails the old version owns everything again.
 */
export async function update(definition: Definition, run: OperationRun): Promise<void> {
  const { data, host, variables, log } = run;
  const { source, target } = updateFolders(run);
  await withState(run, () => {
    carryState(run, source, target);
    data.claim(target.version);
    if (source.folder !== target.folder) noteEnd(run, source);
  });
  log.info('state carried over', { from: source.version, to: target.version });
  try {
    await runLimited(run, definition.update, {
      ...operationContext(run),
      fromVersion: source.version,
      toVersion: target.version,
      disableExitCode: variables.disableExitCode,
      disableExitCodes: variables.disableExitCodes,
    });
  } catch (thrown) {
    await withLock(host, data.path, () => data.claim(source.version));
    throw thrown;
  }
}

/**
 * Ends a daemon (`rerun: "always"`) and runs the author's `disable`. A run that works through its settings goes on, but
 * for that of one of several configurations: outside an update its `disable` is its removal, as no `uninstall` follows.
 */
export async function disable(definition: Definition, run: OperationRun): Promise<void> {
  const { extensionName } = run.variables;
  const isRemoval = extensionName !== undefined && !isUpdatePending(run);
  if (run.description.enable.rerun === 'always' || isRemoval) {
    await stopRuns(run, 'disabled', [extensionName]);
  }
  if (extensionName !== undefined) await noteDisabled(run, extensionName);
  await runLimited(run, definition.disable, operationContext(run));
}

/**
 * Ends what runs, runs the author's `uninstall` and removes the data folder, unless a newer version has adopted them:
 * then this is the old version's uninstall in the middle of an update, and everything stays.
 */
export async function uninstall(definition: Definition, run: OperationRun): Promise<void> {
  const { data, log } = run;
  if (data.isAdopted()) {
    log.info('another version has taken the data over; nothing is removed', { owner: data.owner() });
    return;
  }
  await withLockIfPossible(run, () => noteEnd(run, run.own));
  const journals = listFolder(run.host.path(run.own.folder)).filter(isJournalFile);
  await stopRuns(run, 'uninstalled', journals.map(journalOwner));
  await runLimited(run, definition.uninstall, operationContext(run));
  data.remove();
}

/** Changes what the SDK keeps, under the lock. A disk that takes nothing is not the fault of the author's code. */
async function withState({ data, host }: OperationRun, change: () => void): Promise<void> {
  try {
    data.create();
    await withLock(host, data.path, change);
  } catch (thrown) {
    throw thrown instanceof HandlerError ? thrown : stateUnusable(thrown);
  }
}

/** From here on no run of `version` begins that was asked for before. */
function noteEnd({ host, log }: OperationRun, version: HandlerFolder): void {
  try {
    noteHandover(host, version);
  } catch (thrown) {
    // What ends is not kept from ending by a disk that takes nothing, or by a folder that is gone already.
    log.warn('the end of this version cannot be noted', { reason: toHandlerError(thrown).message });
  }
}

/**
 * Which folder the state comes from and which it goes to. In a downgrade the agent runs the old, higher version's
 * `update` and names the new, lower one in both variables.
 */
function updateFolders(run: OperationRun): { source: HandlerFolder; target: HandlerFolder } {
  const { own, variables } = run;
  if (variables.targetVersion !== undefined && variables.targetVersion !== own.version) {
    return { source: own, target: siblingFolder(own, variables.targetVersion) };
  }
  if (variables.updatingFromVersion === undefined) {
    throw new HandlerError('ENVIRONMENT_INVALID', 'the agent does not say which version is being updated');
  }
  return { source: siblingFolder(own, variables.updatingFromVersion), target: own };
}

/** Copies `mrseq` and the journal of every configuration that was not removed before. Throws when one cannot be copied. */
function carryState(run: OperationRun, source: HandlerFolder, target: HandlerFolder): void {
  if (source.folder === target.folder) return;
  const { host } = run;
  const names = listFolder(host.path(source.folder));
  const removed = new Set(
    names
      .filter(isJournalFile)
      .map(journalOwner)
      .filter((owner) => isRemoved(openStoreAt(run, source, owner))),
  );
  for (const name of names.filter(isSequenceFile)) {
    if (removed.has(sequenceOwner(name))) continue;
    const text = readTextIfThere(host.path(join(source.folder, name)));
    if (text !== undefined) writeWholeFile(host.path(join(target.folder, name)), text);
  }
  for (const owner of names.filter(isJournalFile).map(journalOwner)) {
    const journal = readJournal(host.path(journalPath(source.folder, owner)));
    if (journal === undefined || removed.has(owner)) continue;
    const store = openStoreAt(run, target, owner);
    // Here it is certain that `disable` belonged to an update.
    store.writeJournal({ ...journal, disabled: false });
    const { sequence, state, stop } = journal;
    const isStopped = isDaemon(run.description) && state === 'finished' && stop === 'disabled';
    // The agent copied "stopped"; until the new version's daemon works, that would be its result.
    if (isStopped && store.readStatus(sequence) !== undefined) {
      store.writeStatus(sequence, progressStatus('enable', 'the new version is started', [], host.now()));
    }
  }
}

/** The state of a configuration in another version's folder than the one that owns the extension. */
function openStoreAt(run: OperationRun, place: HandlerFolder, extensionName: string | undefined): RunStore {
  return openRunStore(run.host, run.own, run.environment, () => place, extensionName);
}

/** True after `disable` of a configuration whose statuses the agent has deleted since: it does that after a removal only. */
function isRemoved(store: RunStore): boolean {
  return store.readJournal()?.disabled === true && !store.hasResult(undefined);
}

/** True while the agent prepares another version: it has unpacked it and written its settings, and not installed it. */
function isUpdatePending({ host, own }: OperationRun): boolean {
  return listFolder(host.path(own.libFolder)).some((name) => {
    const found = parseHandlerFolder(name);
    if (found?.handlerName !== own.handlerName || found.version === own.version) return false;
    const place = siblingFolder(own, found.version);
    if (readHandlerState(host, place) !== 'NotInstalled') return false;
    const config = listFolder(host.path(join(place.folder, CONFIG_FOLDER)));
    return config.some((file) => parseSettingsFile(file) !== undefined);
  });
}

/** Notes for the next `enable` that `disable` was called, and forgets configurations that were removed before. */
async function noteDisabled(run: OperationRun, extensionName: string): Promise<void> {
  const { host, own, data, log } = run;
  data.create();
  await withLock(host, data.path, () => {
    for (const owner of listFolder(host.path(own.folder)).filter(isJournalFile).map(journalOwner)) {
      const store = openStoreAt(run, own, owner);
      const journal = store.readJournal();
      if (owner === extensionName) {
        if (journal !== undefined) store.writeJournal({ ...journal, disabled: true });
      } else if (owner !== undefined && journal?.state === 'finished' && isRemoved(store)) {
        log.info('the state of a removed configuration is deleted', { removed: owner });
        store.forget();
      }
    }
  });
}

/** Ends the running workers of these configurations, and says so in the status of one that could not say it itself. */
async function stopRuns(
  run: OperationRun,
  stop: StopReason,
  extensionNames: readonly (string | undefined)[],
): Promise<void> {
  const { host, own, data, log } = run;
  const stopOne = async (extensionName: string | undefined): Promise<void> => {
    const store = openStoreAt(run, own, extensionName);
    if (store.readJournal()?.state !== 'running') return;
    let journal: Journal | undefined;
    // Somebody else who ends it may remove the lock's folder at any moment.
    await withLockIfPossible(run, () => {
      const read = store.readJournal();
      journal = read?.state === 'running' ? read : undefined;
      if (journal === undefined || !isRunning(host, journal.process)) return;
      store.writeJournal({ ...journal, stop }, { durable: false });
    });
    if (journal === undefined) return;
    await stopWorker(host, journal.process);
    const left = store.readJournal();
    if (left?.state !== 'running' || isRunning(host, left.process)) return;
    clearDead(run, left);
    try {
      await withLock(host, data.path, () => settleDead(run, store, left));
      // A worker that did not even end in order could not say that it is gone.
      if (run.description.manifest.reportHeartbeat) {
        store.writeHeartbeat({ status: 'NotReady', code: 0, message: `The extension was ${stop}` });
      }
    } catch (thrown) {
      // What ends is not kept from ending by a status that cannot be written.
      log.warn('the end of a run cannot be recorded', { reason: toHandlerError(thrown).message });
    }
  };
  await Promise.all(extensionNames.map(stopOne));
}

/** Runs the author's function with a signal and a time limit that leaves the time to say so. */
async function runLimited<Context extends OperationContext>(
  run: OperationRun,
  author: ((context: Context) => Promise<void>) | undefined,
  context: Context,
): Promise<void> {
  if (author === undefined) return;
  const limits = createLimits({
    host: run.host,
    outside: run.signal,
    seconds: OPERATION_TIMEOUT_SECONDS[run.operation] - AGENT_MARGIN_SECONDS,
    explain: (reason) => toHandlerError(reason, 'INTERNAL'),
  });
  try {
    await limits.guard(() => author({ ...context, signal: limits.signal }));
  } finally {
    limits.release();
  }
}
