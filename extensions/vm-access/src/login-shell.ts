/** Which login shells let somebody in, and which one an account gets that has none. */
import { accessSync, constants, statSync } from 'node:fs';
import { posix } from 'node:path';
import type { Host } from '@handlerkit/sdk';

/** The shell of a new account, and of one whose shell lets nobody in. */
export function chooseShell(host: Host): string {
  return ['/bin/bash', '/usr/bin/bash'].find((path) => isProgram(host, path)) ?? '/bin/sh';
}

/** False for a program that only says no, and for one that cannot be run. An empty text stands for `/bin/sh`. */
export function isUsableShell(host: Host, shell: string): boolean {
  return !REFUSERS.includes(posix.basename(shell)) && isProgram(host, shell === '' ? '/bin/sh' : shell);
}

/** Programs that stand in the place of a shell so that nobody logs in. */
const REFUSERS: readonly string[] = ['nologin', 'false', 'true', 'sync', 'halt', 'shutdown'];

function isProgram(host: Host, path: string): boolean {
  try {
    accessSync(host.path(path), constants.X_OK);
    return statSync(host.path(path)).isFile();
  } catch {
    return false;
  }
}
