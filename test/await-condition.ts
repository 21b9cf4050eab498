/** Waits for something that another process brings about. */

const POLL_MS = 10;
const LIMIT_MS = 60_000;

/** Waits until `condition` gives something else than `undefined` or false, and gives that. Throws after a minute. */
export async function until<T>(what: string, condition: () => T | undefined | false): Promise<T> {
  const since = performance.now();
  for (;;) {
    const found = condition();
    if (found !== undefined && found !== false) return found;
    if (performance.now() - since > LIMIT_MS) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
