/**
 * Runs the programs that change users and groups (`useradd`, `usermod`, `chpasswd`…). They take turns with locks; a lock
 * that does not go away in a while becomes an error that says who holds it and what to do.
 */
import { accessSync, constants, statfsSync } from 'node:fs';
import type { ExecResult } from '@handlerkit/sdk';
import { HandlerError, readTextIfThere } from '@handlerkit/sdk';
import { accessError } from './errors.ts';
import type { StepContext } from './step.ts';

/** How such a program is run. */
export interface AccountToolOptions {
  /** What it reads. */
  readonly stdin?: string;
  /** Exit codes that are no error; default: 0 only. */
  readonly accept?: readonly number[];
  /** Milliseconds to wait for others who change users. */
  readonly lockWaitMs?: number;
}

/**
 * Runs it, again and again while the files are locked. Throws `ACCOUNT_FILES_LOCKED` when they stay so, and at once
 * `COMMAND_FAILED` when no lock can be made, because the disk is full or read-only.
 */
export async function runAccountTool(
  context: StepContext,
  argv: readonly string[],
  { lockWaitMs = LOCK_WAIT_MS, ...options }: AccountToolOptions = {},
): Promise<ExecResult> {
  const { host, signal } = context;
  const deadline = host.elapsedMs() + lockWaitMs;
  for (;;) {
    try {
      return await context.run(argv, options);
    } catch (thrown) {
      if (!(thrown instanceof HandlerError) || !LOCKED.test(thrown.message)) throw thrown;
      const obstacle = findObstacle(context);
      if (obstacle !== undefined) {
        const text = `${argv[0]} cannot change the users of the VM: ${obstacle}`;
        throw accessError('COMMAND_FAILED', text, { cause: thrown });
      }
      if (host.elapsedMs() >= deadline) {
        throw accessError('ACCOUNT_FILES_LOCKED', describeLock(context, argv[0] ?? ''), { cause: thrown });
      }
    }
    await host.sleep(LOCK_POLL_MS, signal);
  }
}

const LOCK_WAIT_MS = 15_000;
const LOCK_POLL_MS = 500;
/** As the shadow suite and PAM say it in the C locale. */
const LOCKED = /cannot lock|unable to lock|lock busy|existing lock file/i;
/** Made by the shadow suite, with the pid of who holds the lock. */
const LOCK_FILES = ['passwd', 'shadow', 'group', 'gshadow', 'subuid', 'subgid'].map(
  (name) => `/etc/${name}.lock`,
);

/** Why nobody can write to `/etc`, which the programs call a lock, too. */
function findObstacle({ host }: StepContext): string | undefined {
  const folder = host.path('/etc');
  try {
    accessSync(folder, constants.W_OK);
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'EROFS') {
      return '/etc is read-only; look into the log of the kernel for errors of its disk, mount it writable and try again';
    }
  }
  const { bfree, files, ffree } = statfsSync(folder);
  const isFull = bfree === 0 || (files > 0 && ffree === 0);
  return isFull ? 'the disk with /etc is full; make room on it and try again' : undefined;
}

function describeLock({ host }: StepContext, program: string): string {
  const held = LOCK_FILES.flatMap((path) => {
    const text = readTextIfThere(host.path(path));
    if (text === undefined) return [];
    const pid = /^\d+/.exec(text)?.[0];
    const name = pid === undefined ? undefined : readTextIfThere(host.path(`/proc/${pid}/comm`))?.trim();
    return [name === undefined ? path : `${path} (of the process ${pid}, ${name})`];
  });
  if (held.length === 0) {
    return `${program} cannot change the users of the VM: another program holds /etc/.pwd.lock; end it and try again`;
  }
  return (
    `${program} cannot change the users of the VM, because of ${held.join(', ')}; ` +
    'when no program is changing users, this was left behind: remove it and try again'
  );
}
