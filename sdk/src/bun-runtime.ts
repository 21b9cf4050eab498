/**
 * What bun has and Node has not, read once at the door: options of its `fetch`, and when memory is freed. A packed
 * handler runs on bun by default, everything in development on Node.
 */

/** Options that bun's `fetch` takes besides the usual ones. */
export interface BunFetchInit extends RequestInit {
  /** The proxy's URL; `false` for none, whatever the environment says. */
  readonly proxy: string | false;
  readonly tls?: { readonly ca: readonly string[] };
}

export const IS_BUN = process.versions.bun !== undefined;

/**
 * Saves a body to an empty file that was opened for it and not to append: to one that appends, bun 1.4.5 writes a body
 * that is there already twice. The runtime does it piece by piece without a copy in this program's memory, and keeps the
 * reader waiting while the disk is slow. It writes through a copy of the handle, so `fd` stays the caller's to close.
 * Gives the number of bytes; throws what the body throws, and the system's error of `write`. `undefined` on Node, which
 * has nothing of the kind.
 */
export const saveBody: ((response: Response, fd: number) => Promise<unknown>) | undefined = findSaveBody();

/**
 * Frees a piece of a body that was read and is no longer used: it is empty afterwards. Bun would keep it until the next
 * collection, which a long download puts off; Node needs nothing of it, and there a piece may share its memory with others.
 */
export function releaseChunk(chunk: Uint8Array): void {
  const { buffer } = chunk;
  if (!IS_BUN || !(buffer instanceof ArrayBuffer) || buffer.byteLength !== chunk.byteLength) return;
  unreleased += buffer.byteLength;
  buffer.transfer(0);
  if (unreleased < COLLECT_BYTES) return;
  unreleased = 0;
  const bun = readBun();
  if (bun !== undefined && 'gc' in bun && typeof bun.gc === 'function') bun.gc(true);
}

/** What is around the pieces is small, but waits for a collection too, which takes a few milliseconds. */
const COLLECT_BYTES = 16 * 1024 * 1024;
let unreleased = 0;

function readBun(): object | undefined {
  const bun: unknown = Reflect.get(globalThis, 'Bun');
  return typeof bun === 'object' && bun !== null ? bun : undefined;
}

function findSaveBody(): typeof saveBody {
  const bun = readBun();
  if (bun === undefined || !('write' in bun && 'file' in bun)) return undefined;
  const { file, write } = bun;
  if (typeof file !== 'function' || typeof write !== 'function') return undefined;
  return async (response, fd): Promise<unknown> => write(file(fd), response);
}
