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
  const bun: unknown = Reflect.get(globalThis, 'Bun');
  if (typeof bun === 'object' && bun !== null && 'gc' in bun && typeof bun.gc === 'function') bun.gc(true);
}

/** What is around the pieces is small, but waits for a collection too, which takes a few milliseconds. */
const COLLECT_BYTES = 16 * 1024 * 1024;
let unreleased = 0;
