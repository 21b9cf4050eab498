/**
 * The folder of one run of the tests, in which all their temporary folders are: it is TMPDIR for the workers and for what they
 * start. A guard, a process of its own, removes it with all VMs that are still in it when the run is over, also when the run
 * was killed: a local VM is made to live on without the command that started it.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Several projects of one run share the folder: the first makes it. */
export function setup(): (() => Promise<void>) | undefined {
  if (process.env[FOLDER_VARIABLE] !== undefined) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-run-'));
  // As /tmp is: some tests run as another user.
  chmodSync(folder, 0o1777);
  const guard = startGuard(folder);
  const { TMPDIR: former } = process.env;
  process.env.TMPDIR = folder;
  process.env[FOLDER_VARIABLE] = folder;
  return async () => {
    delete process.env[FOLDER_VARIABLE];
    if (former === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = former;
    const ended = new Promise((resolve) => guard.once('close', resolve));
    guard.stdin?.end('over');
    await ended;
  };
}

const FOLDER_VARIABLE = 'HANDLERKIT_TEST_RUN_FOLDER';

/** In a session of its own, so that it outlives what ends the run. It learns of that by the end of its input. */
function startGuard(folder: string): ChildProcess {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const program = fileURLToPath(new URL('run-guard.ts', import.meta.url));
  const args = ['--conditions=@handlerkit/source', '--import', tsx, program, folder];
  const guard = spawn(process.execPath, args, { detached: true, stdio: ['pipe', 'inherit', 'inherit'] });
  guard.stdin?.on('error', () => {});
  guard.unref();
  return guard;
}
