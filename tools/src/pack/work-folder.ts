/**
 * A folder for work that is large: made beside the result, so that a rename is enough, and deleted when the work is over.
 * A process that was killed cannot delete its own, so the next work in the same place does. The name says whose it is.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { nameProcess, pidNamespace, readProcess } from '../vm/linux-process.ts';

/**
 * Runs `work` with an empty folder in `parent`, and deletes that afterwards whatever happens. First deletes those that
 * processes left which have ended. Throws the system's error when `parent` is missing or cannot be written.
 */
export async function withWorkFolder<T>(parent: string, work: (folder: string) => Promise<T>): Promise<T> {
  await removeAbandoned(parent);
  const started = readProcess(process.pid)?.startTicks ?? '0';
  const folder = await mkdtemp(join(parent, `${PREFIX}${namespaceKey()}.${process.pid}.${started}.`));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const PREFIX = '.handlerkit-work.';
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

async function removeAbandoned(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(parent, name);
    if (await isAbandoned(name, path)) await rm(path, { recursive: true, force: true });
  }
}

async function isAbandoned(name: string, path: string): Promise<boolean> {
  const [key, pid, startTicks] = name.slice(PREFIX.length).split('.');
  if (key === namespaceKey()) {
    const isRunning =
      nameProcess(Number(pid)) !== undefined && readProcess(Number(pid))?.startTicks === startTicks;
    return !isRunning;
  }
  // Of a container, another machine or an earlier boot: its processes cannot be seen, but none works for a day.
  const stats = await stat(path).catch(() => undefined);
  return stats !== undefined && Date.now() - stats.mtimeMs > ABANDONED_AFTER_MS;
}

/** Short, and the same for all processes that see each other's numbers. */
function namespaceKey(): string {
  return createHash('sha256').update(pidNamespace()).digest('hex').slice(0, 12);
}
