/**
 * Paths of a VM as paths of this machine. A plain join would be wrong: an absolute symlink inside the VM
 * (`/var/run -> /run`) would lead out of it, to the machine's own files.
 */
import { readlinkSync } from 'node:fs';
import { posix } from 'node:path';

/** As the kernel: more links than this on the way are a loop. */
const MAX_LINKS = 40;

/**
 * The place of the absolute `path` under `root`, with every symlink on the way (the last name too) taken as a process
 * whose root is `root` takes it. Names that do not exist are kept. A link that changes during the walk is not noticed.
 */
export function resolveUnder(root: string, path: string): string {
  const waiting = posix.normalize(path).split('/').filter(Boolean);
  let at = '/';
  let links = 0;
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    if (name === '..') {
      at = posix.dirname(at);
      continue;
    }
    const next = posix.join(at, name);
    const target = readLink(root + next);
    if (target === undefined || ++links > MAX_LINKS) {
      at = next;
      continue;
    }
    if (target.startsWith('/')) at = '/';
    waiting.unshift(...target.split('/').filter((part) => part !== '' && part !== '.'));
  }
  return at === '/' ? root : root + at;
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
