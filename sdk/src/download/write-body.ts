/**
 * Writes the body of an answer to the temporary file and tells how it comes on. Where the runtime can save a body by
 * itself it does, which is faster and holds next to nothing in memory; this program then looks at the file's growth.
 */
import { diskFailure } from './failed-attempt.ts';
import type { PartFile } from './part-file.ts';

/** What goes on while a body is written. */
export interface BodyWatch {
  /** Host of the URL and path of the file as the VM sees it, for texts. */
  readonly host: string;
  readonly target: string;
  readonly signal: AbortSignal;
  /** Called when the body has brought enough not to count as silent. */
  readonly onSteady: () => void;
  /** Called when the file has grown. */
  readonly onGrowth: (length: number) => void;
  /** Milliseconds that a body may be silent. */
  readonly idleMs: number;
}

/** A body that brings less than this in an idle limit counts as silent. */
export const STEADY_BYTES = 1024;

/**
 * Writes the whole body. `checkPiece` is called with the file's length before each piece is written and may throw; give it
 * only where it is needed, as the runtime then cannot save the body by itself. Throws what the body throws, and a
 * `FailedAttempt` for the disk.
 */
export async function writeBody(
  response: Response,
  part: PartFile,
  watch: BodyWatch,
  checkPiece: ((length: number) => void) | undefined,
): Promise<void> {
  if (response.body === null) return;
  if (part.receive !== undefined && checkPiece === undefined) {
    await receiveBody(part.receive, response, part, watch);
    return;
  }
  const reader = response.body.getReader();
  // An abort that the runtime does not pass on to an open body ends the read all the same.
  const onAbort = (): void => void reader.cancel().catch(() => undefined);
  watch.signal.addEventListener('abort', onAbort, { once: true });
  const steady = countSteady(part.length, watch);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      watch.signal.throwIfAborted();
      if (done) return;
      checkPiece?.(part.length + value.byteLength);
      try {
        await part.append(value);
      } catch (thrown) {
        throw diskFailure(thrown, watch.host, watch.target);
      }
      steady(part.length);
    }
  } finally {
    watch.signal.removeEventListener('abort', onAbort);
  }
}

/** Often enough for a progress that a person looks at. */
const LOOK_MS = 250;

async function receiveBody(
  receive: (response: Response) => Promise<void>,
  response: Response,
  part: PartFile,
  watch: BodyWatch,
): Promise<void> {
  const steady = countSteady(part.length, watch);
  const timer = setInterval(() => steady(part.length), Math.min(LOOK_MS, watch.idleMs / 4));
  try {
    await receive(response);
  } catch (thrown) {
    // The body's own errors are those of a connection, which name no call of the system.
    const isDisk = thrown instanceof Error && 'syscall' in thrown && thrown.syscall === 'write';
    throw isDisk ? diskFailure(thrown, watch.host, watch.target) : thrown;
  } finally {
    clearInterval(timer);
  }
  steady(part.length);
}

function countSteady(start: number, { onSteady, onGrowth }: BodyWatch): (length: number) => void {
  let told = start;
  let steadyAt = start;
  return (length) => {
    if (length === told) return;
    told = length;
    if (length - steadyAt >= STEADY_BYTES) {
      steadyAt = length;
      onSteady();
    }
    onGrowth(length);
  };
}
