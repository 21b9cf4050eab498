/**
 * The heartbeat of a daemon: what it says of itself is written at once and again each minute, as long as this process
 * lives and gets to run. It is never written for a process that has ended, so the agent sees by the file's age that
 * nobody is there.
 * Source: agent-contract 9; `contract/heartbeat.ts`.
 */
import type { HeartbeatStatus } from './contract/heartbeat.ts';
import { HEARTBEAT_INTERVAL_SECONDS } from './contract/heartbeat.ts';
import { toHandlerError } from './errors.ts';
import type { HandlerHealth, Logger } from './handler.ts';
import type { Host } from './host.ts';
import type { RunStore } from './run-store.ts';

export interface HeartbeatWriter {
  /** Replaces what the heartbeat says. A file that cannot be written is no error: the next minute tries again. */
  say(health: HandlerHealth): void;
  /** Says `NotReady` for the last time. */
  end(message: string): void;
}

export interface HeartbeatInput {
  readonly host: Host;
  readonly store: RunStore;
  readonly log: Logger;
  /** Hides secrets in a message. */
  readonly redact: (text: string) => string;
}

const NOT_READY: HeartbeatStatus = 'NotReady';

/** Begins with `NotReady`, and beats until {@link HeartbeatWriter.end}. */
export function startHeartbeat({ host, store, log, redact }: HeartbeatInput): HeartbeatWriter {
  const done = new AbortController();
  let health: HandlerHealth = { status: NOT_READY, message: 'The extension is starting' };
  const beat = (): void => {
    try {
      store.writeHeartbeat({
        status: health.status,
        code: health.code ?? 0,
        message: redact(health.message),
      });
    } catch (thrown) {
      log.warn('the heartbeat cannot be written', { reason: toHandlerError(thrown).message });
    }
  };
  const beatOn = async (): Promise<void> => {
    for (;;) {
      await host.sleep(HEARTBEAT_INTERVAL_SECONDS * 1000, done.signal);
      beat();
    }
  };
  const say = (next: HandlerHealth): void => {
    if (done.signal.aborted) return;
    health = next;
    beat();
  };
  beat();
  beatOn().catch(() => undefined);
  return {
    say,
    end: (message) => {
      say({ status: NOT_READY, message });
      done.abort();
    },
  };
}
