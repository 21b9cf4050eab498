/**
 * What the author's code says while enable works: progress, and of a daemon that it works, or how badly.
 */
import { REPORT_HEARTBEAT_KEY } from './contract/handler-manifest.ts';
import { HEARTBEAT_INTERVAL_SECONDS } from './contract/heartbeat.ts';
import type { Status } from './contract/status.ts';
import { isFinal } from './contract/status.ts';
import { HandlerError, toHandlerError } from './errors.ts';
import type { ExtensionDescription } from './extension-description.ts';
import type { StatusReporter } from './handler.ts';
import { startHeartbeat } from './heartbeat.ts';
import type { OperationRun } from './operation-run.ts';
import { withLockIfPossible } from './operation-run.ts';
import type { RunStore } from './run-store.ts';
import { problemStatus, progressStatus, redactStatus, resultStatus } from './status-messages.ts';

export interface RunReporter {
  /** What the author's code gets. */
  readonly status: StatusReporter;
  /** Says that enable has begun. */
  begin(): void;
  /** True since the author's code said that it works as a daemon. */
  isUp(): boolean;
  /** Nothing is reported any more; the heartbeat's last words are `message`. */
  end(message: string): void;
}

export interface RunReporterInput {
  readonly run: OperationRun;
  readonly store: RunStore;
  readonly sequence: number;
  /** Called when the author's code says for the first time that it works as a daemon. */
  onUp(): void;
}

/** True for an extension whose enable goes on: the agent has its answer, and each enable finds the worker or starts one. */
export function isDaemon({ enable }: ExtensionDescription): boolean {
  return enable.detached && enable.rerun === 'always';
}

export function createRunReporter(input: RunReporterInput): RunReporter {
  const { run, store, sequence, onUp } = input;
  const { host, log, description, redactor } = run;
  const done = new AbortController();
  let isUp = false;
  let isWaiting = false;
  /** The last final status of a daemon, until it is on disk. */
  let unsaved: Status | undefined;
  const heartbeat = description.manifest.reportHeartbeat
    ? startHeartbeat({ host, store, log, redact: redactor.redact })
    : undefined;

  const progress = (detail: string, substatus: Status['substatus'] = []): void => {
    try {
      // A daemon is started when none works, so a finished status speaks of one that has ended.
      if (isUp || (!isDaemon(description) && isFinalOnDisk(store, sequence))) return;
      const status = progressStatus('enable', detail, substatus, host.now());
      store.writeStatus(sequence, redactStatus(redactor.redact, status), { durable: false });
    } catch (thrown) {
      // Work does not end because its progress cannot be told; whether the result can is found out at the end.
      log.warn('the status cannot be written', { reason: toHandlerError(thrown).message });
    }
  };

  const save = async (): Promise<void> => {
    try {
      await withLockIfPossible(run, () => {
        if (done.signal.aborted || unsaved === undefined) return;
        const journal = store.readJournal();
        const isOurs = journal?.sequence === sequence && journal.state === 'running';
        if (isOurs) store.writeJournal({ ...journal, status: unsaved }, { durable: false });
        if (isOurs || journal === undefined) store.writeStatus(sequence, unsaved);
        unsaved = undefined;
      });
    } catch (thrown) {
      log.warn('the status cannot be written', { reason: toHandlerError(thrown).message });
      if (isWaiting) return;
      isWaiting = true;
      host.sleep(HEARTBEAT_INTERVAL_SECONDS * 1000, done.signal).then(
        () => {
          isWaiting = false;
          return save();
        },
        () => undefined,
      );
    }
  };

  const settle = async (status: Status): Promise<void> => {
    if (done.signal.aborted) return;
    unsaved = redactStatus(redactor.redact, status);
    if (!isUp) {
      isUp = true;
      log.info('the daemon works', { status: status.status });
      onUp();
    }
    await save();
  };

  return {
    begin: () => progress(''),
    isUp: () => isUp,
    end: (message) => {
      done.abort();
      heartbeat?.end(message);
    },
    status: {
      transitioning: async (message, substatus) => progress(message, substatus),
      ready: async (message, substatus = []) => {
        requireDaemon(description, 'status.ready');
        heartbeat?.say({ status: 'Ready', message });
        await settle(resultStatus('enable', { message, substatus }, host.now()));
      },
      degraded: async (problem) => {
        requireDaemon(description, 'status.degraded');
        const status = problem.status === 'error' ? 'NotReady' : 'Ready';
        heartbeat?.say({ status, message: problem.message });
        await settle(problemStatus('enable', problem, host.now()));
      },
      heartbeat: async (health) => {
        if (heartbeat === undefined) {
          const advice = `set manifest.${REPORT_HEARTBEAT_KEY} to true in extension.json`;
          throw new HandlerError('HANDLER_FAILED', `status.heartbeat has no effect: ${advice}`);
        }
        heartbeat.say(health);
      },
    },
  };
}

export function isFinalOnDisk(store: RunStore, sequence: number): boolean {
  const status = store.readStatus(sequence);
  return status !== undefined && isFinal(status.status);
}

function requireDaemon(description: ExtensionDescription, what: string): void {
  if (isDaemon(description)) return;
  throw new HandlerError(
    'HANDLER_FAILED',
    `${what} is for a daemon: set enable.detached to true and enable.rerun to "always" in extension.json, or return from enable when the work is done`,
  );
}
