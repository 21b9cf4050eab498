/**
 * Ends the processes of a user: asked first, killed then, and looked for again until none is left, so that none that
 * starts another in between is missed.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Host } from '@handlerkit/sdk';
import { findProgram } from './command.ts';
import { accessError } from './errors.ts';
import type { StepContext } from './step.ts';

/** Whose processes end. */
export interface ProcessOwner {
  readonly name: string;
  /** True for ids of the user, those of containers too. */
  readonly owns: (uid: number) => boolean;
}

/** Ends them; gives how many there were. Throws `USER_PROCESSES_LEFT` when some do not end. */
export async function endProcesses(context: StepContext, owner: ProcessOwner): Promise<number> {
  const { host, signal } = context;
  const ended = new Set<number>();
  await endSessions(context, owner);
  const start = host.elapsedMs();
  let asked = new Set<number>();
  for (;;) {
    const found = findProcesses(host, owner.owns);
    if (found.length === 0) return ended.size;
    for (const { pid } of found) ended.add(pid);
    const waited = host.elapsedMs() - start;
    const running = found.filter(({ isDead }) => !isDead).map(({ pid }) => pid);
    // Those that only wait for their parent to ask for their end do nothing any more.
    if (running.length === 0 && waited > REAP_MS) return ended.size;
    if (waited > LIMIT_MS) throw left(owner, running);
    const isGrace = waited < GRACE_MS;
    const targets = isGrace ? running.filter((pid) => !asked.has(pid)) : running;
    await send(context, isGrace ? 'TERM' : 'KILL', targets);
    // A stopped process hears of it only when it goes on.
    if (isGrace) await send(context, 'CONT', targets);
    asked = new Set([...asked, ...targets]);
    await host.sleep(POLL_MS, signal);
  }
}

/** Running processes with a real, effective or saved id for which `owns` is true. */
export function findProcesses(
  host: Host,
  owns: ProcessOwner['owns'],
): readonly { readonly pid: number; readonly isDead: boolean }[] {
  return readdirSync(host.path('/proc'))
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const status = readStatus(host, name);
      const uids = /^Uid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/).slice(0, 3) ?? [];
      if (!uids.some((uid) => owns(Number(uid)))) return [];
      return [{ pid: Number(name), isDead: /^State:\s*[ZX]/m.test(status) }];
    });
}

const GRACE_MS = 5_000;
const LIMIT_MS = 20_000;
const REAP_MS = 1_000;
const POLL_MS = 50;

function readStatus(host: Host, pid: string): string {
  try {
    return readFileSync(host.path(`/proc/${pid}/status`), 'utf8');
  } catch {
    // It has ended.
    return '';
  }
}

/** Where systemd keeps services of users, it would start them again. */
async function endSessions(context: StepContext, { name }: ProcessOwner): Promise<void> {
  const { host, log } = context;
  if (!existsSync(host.path('/run/systemd/system')) || findProgram(host, 'loginctl') === undefined) return;
  for (const verb of ['disable-linger', 'terminate-user']) {
    try {
      await context.run(['loginctl', verb, name], { timeoutMs: 20_000 });
    } catch (thrown) {
      // Who is not logged in has no session. What runs all the same is ended by its id.
      log.debug('loginctl did not do it', { verb, reason: thrown instanceof Error ? thrown.message : '' });
      context.signal.throwIfAborted();
    }
  }
}

/** The shell's own `kill`: not every VM has the program. */
async function send(context: StepContext, signal: string, pids: readonly number[]): Promise<void> {
  if (pids.length === 0) return;
  await context.run(['sh', '-c', 'kill -s "$@" 2>/dev/null; true', 'sh', signal, ...pids.map(String)]);
}

function left({ name }: ProcessOwner, pids: readonly number[]): Error {
  const shown = pids.slice(0, SHOWN).join(', ');
  return accessError(
    'USER_PROCESSES_LEFT',
    `${pids.length} processes of ${name} do not end (${shown}${pids.length > SHOWN ? '…' : ''}); end them and try again`,
  );
}

const SHOWN = 5;
