/**
 * Files and folders as the agent makes them. A file that a handler reads meanwhile is written under a temporary name,
 * synced and renamed. Modes are set whatever the umask of the tool is, because they are part of what the agent does.
 */
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { isSystemError } from '@handlerkit/sdk';

/** Mode of a file that the agent writes. */
export const AGENT_FILE_MODE = 0o644;

/** Replaces `path` by `text`. An existing file keeps its mode. Throws the system's error; then the former file stays. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  const mode = await modeOf(path);
  const file = await open(temporary, 'wx', mode);
  try {
    try {
      await file.chmod(mode);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
}

/** The text of a file, `undefined` when there is none. Throws the system's error for anything else. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  }
}

/** Makes a folder, and those above it, and gives it its mode; one that exists is left as it is. */
export async function makeFolder(path: string, mode: number): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first !== undefined) await chmod(path, mode);
}

/** True when a name on the path does not exist, or is a file where a folder is needed. */
export function isMissing(thrown: unknown): boolean {
  return isSystemError(thrown, 'ENOENT') || isSystemError(thrown, 'ENOTDIR');
}

async function modeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).mode & 0o777;
  } catch (thrown) {
    if (isMissing(thrown)) return AGENT_FILE_MODE;
    throw thrown;
  }
}
