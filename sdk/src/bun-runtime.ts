/**
 * What bun has and Node has not, read once at the door: options of its `fetch`, and the call that frees memory. A packed
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
 * Frees memory that is no longer used. Bun holds the pieces of a body until its next collection, which a long download
 * puts off; Node needs nothing of it.
 */
export function releaseMemory(): void {
  const bun: unknown = Reflect.get(globalThis, 'Bun');
  if (typeof bun !== 'object' || bun === null || !('gc' in bun) || typeof bun.gc !== 'function') return;
  bun.gc(true);
}
