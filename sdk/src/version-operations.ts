/**
 * Update, install, disable and uninstall: what the SDK does around the author's functions so that nothing is lost and
 * nothing is left behind. None of them writes a status: it would replace the result of enable.
 * Source: agent-contract 7.4 (order), 7.5 (a downgrade runs `update` from the old folder); sdk-anchors 3, rows 1, 2, 6.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { OPERATION_TIMEOUT_SECONDS } from './contract/operations.ts';
import { settleDead } from './enable-decision.ts';
import { HandlerError, toHandlerError } from './errors.ts';
import type { HandlerDefinition, OperationContext } from './handler.ts';
import type { HandlerFolder } from './handler-files.ts';
import { listFolder, siblingFolder } from './handler-files.ts';
import type { StopReason } from './journal.ts';
import { isJournalFile, journalOwner } from './journal.ts';
import { createLimits } from './limits.ts';
import { withLock } from './lock.ts';
import type { OperationRun } from './operation-run.ts';
import { AGENT_MARGIN_SECONDS, operationContext } from './operation-run.ts';
import { isRunning } from './process-identity.ts';
import { isSequenceFile, openRunStore } from './run-store.ts';
import { killChildren, stopWorker } from './stop-run.ts';

type Definition = Pick<HandlerDefinition<never, never>, 'install' | 'disable' | 'update' | 'uninstall'>;

/** Makes the data folder, claims it for this version, and runs the author's `install`. */
export async function install(definition: Definition, run: OperationRun): Promise<void> {
  const { data, host, own, variables } = run;
  data.create();
  await withLock(host, data.path, () => data.claim(own.version));
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
  data.create();
  await withLock(host, data.path, () => {
    carryState(run, source, target);
    data.claim(target.version);
  });
  log.info('state carried over', { from: source.version, to: target.version });
  try {
    await runLimited(run, definition.update, {
      ...operationContext(run),
      fromVersion: source.version,
      toVersion: target.version,
      disableExitCode: variables.disableExitCode,
    });
  } catch (thrown) {
    await withLock(host, data.path, () => data.claim(source.version));
    throw thrown;
  }
}

/** Ends a daemon (`rerun: "always"`) and runs the author's `disable`. A run that works through its settings goes on. */
export async function disable(definition: Definition, run: OperationRun): Promise<void> {
  if (run.description.enable.rerun === 'always') {
    await stopRuns(run, 'disabled', [run.variables.extensionName]);
  }
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
  const journals = listFolder(run.host.path(run.own.folder)).filter(isJournalFile);
  await stopRuns(run, 'uninstalled', journals.map(journalOwner));
  await runLimited(run, definition.uninstall, operationContext(run));
  data.remove();
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

function carryState(run: OperationRun, source: HandlerFolder, target: HandlerFolder): void {
  if (source.folder === target.folder) return;
  for (const name of listFolder(run.host.path(source.folder))) {
    if (!isJournalFile(name) && !isSequenceFile(name)) continue;
    copyFileSync(run.host.path(join(source.folder, name)), run.host.path(join(target.folder, name)));
  }
}

/** Ends the running workers of these configurations, and says so in the status of one that could not say it itself. */
async function stopRuns(
  run: OperationRun,
  stop: StopReason,
  extensionNames: readonly (string | undefined)[],
): Promise<void> {
  const { host, own, environment, data, log } = run;
  const stopOne = async (extensionName: string | undefined): Promise<void> => {
    const store = openRunStore(host, own, environment, () => own, extensionName);
    if (store.readJournal()?.state !== 'running') return;
    data.create();
    const journal = await withLock(host, data.path, () => {
      const read = store.readJournal();
      if (read?.state !== 'running') return undefined;
      if (isRunning(host, read.process)) store.writeJournal({ ...read, stop }, { durable: false });
      return read;
    });
    if (journal === undefined) return;
    await stopWorker(host, journal.process);
    const left = store.readJournal();
    if (left?.state !== 'running' || isRunning(host, left.process)) return;
    killChildren(host, left);
    try {
      await withLock(host, data.path, () => settleDead(run, store, left));
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
