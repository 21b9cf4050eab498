import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { HandlerError } from '@handlerkit/sdk';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { KeyMachine } from './fixtures/key-machine.ts';
import { ALICE, BOB, createKeyMachine } from './fixtures/key-machine.ts';
import { createUndoList } from './undo.ts';

const SECONDS = 60;
/** Far above what a run takes, far below what a run that waits for somebody would. */
const LONGEST_RUN_MS = 15_000;
const DATA = 'AAAAC3NzaC1lZDI1NTE5AAAAIAzMYRvC786Z7+ifP4B/2pBgFge0pjQgM5IN+oQJzU+';
const KEYS = [`ssh-ed25519 ${DATA}o one\n`, `ssh-ed25519 ${DATA}p two\n`];
const SECRET = 'canary: of root alone\n';
/** Files of others that the user can put in the way, of each kind: some get lost on the way. */
const STOCK = 50;
const SWAPPER = fileURLToPath(new URL('fixtures/swap-files.py', import.meta.url));
/** What a run may say when it is attacked. */
const CLEAR_ERRORS = ['PATH_UNSAFE', 'PATH_UNUSABLE', 'FILE_BUSY', 'SSH_KEY_NOT_VERIFIED'];

let vm: KeyMachine;
beforeAll(async () => {
  vm = await createKeyMachine({ programs: ['dd', 'cp'] });
});
afterAll(() => vm.machine.remove());

it.runIf(process.getuid?.() === 0)(
  'a user who swaps folders and files for a minute changes nothing outside of the home, gains nothing and holds nothing up (W22) (W23) (W24)',
  async () => {
    const { held, victim } = prepare();
    const before = [...held, victim].map(look);
    const openBefore = readdirSync('/proc/self/fd').length;
    const attacker = startSwapper();
    const outcomes = new Map<string, number>();
    let longestMs = 0;
    let run = 0;
    while (!attacker.hasEnded()) {
      const started = performance.now();
      const outcome = await runOnce(KEYS[run % 2] ?? '');
      const took = performance.now() - started;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      longestMs = Math.max(longestMs, took);
      run += 1;
      // Other tests want the processor, too.
      await delay(2 * took);
    }
    const counts = await attacker.result;
    expect([...held, victim].map(look)).toEqual(before);
    expect(readdirSync('/proc/self/fd').length).toBeLessThan(openBefore + 10);
    for (const path of held) closeSync(Number(path.split('/').at(-1)));
    expect(counts.leaks).toBe(0);
    expect(longestMs).toBeLessThan(LONGEST_RUN_MS);
    // Neither side was idle.
    expect(counts.swaps).toBeGreaterThan(500);
    expect(outcomes.get('done') ?? 0).toBeGreaterThan(5);
    expect(outcomes.get('PATH_UNSAFE') ?? 0).toBeGreaterThan(5);
    expect([...outcomes.keys()].filter((name) => name !== 'done' && !CLEAR_ERRORS.includes(name))).toEqual(
      [],
    );
    expect(lstatSync(vm.home()).uid).toBe(ALICE);
    rmSync(vm.home('.ssh'), { recursive: true });
    expect(await runOnce(KEYS[0] ?? '')).toBe('done');
    expect(vm.readKeys()).toBe(KEYS[0]);
  },
  120_000,
);

/** Fills the home with everything that somebody could put in the way, and gives what must stay as it is. */
function prepare(): { readonly held: readonly string[]; readonly victim: string } {
  const victim = vm.machine.path('/etc/victim');
  mkdirSync(victim, { recursive: true });
  for (const [name, uid, mode] of [
    ['authorized_keys', 0, 0o600],
    ['root', 0, 0o600],
    ['bob', BOB, 0o600],
  ] as const) {
    writeFileSync(`${victim}/${name}`, SECRET);
    chownSync(`${victim}/${name}`, uid, uid);
    chmodSync(`${victim}/${name}`, mode);
  }
  // As open as can be, so that nothing but the walk keeps a run out of it.
  chmodSync(victim, 0o755);
  vm.write('/home/alice/.ssh/authorized_keys', KEYS[0] ?? '');
  vm.write('/home/alice/decoy/authorized_keys', KEYS[1] ?? '', 0o640);
  vm.makeFolder('/home/alice/empty', 0o770);
  vm.write('/home/alice/roots/authorized_keys', SECRET, 0o600, 0);
  vm.write('/home/alice/roots/other', SECRET, 0o600, 0);
  vm.makeFolder('/home/alice/roots', 0o700, 0);
  symlinkSync(victim, vm.home('link'));
  vm.makeFolder('/home/alice/bait');
  vm.makeFolder('/home/alice/stock');
  const held = [hold('roots')];
  for (let number = 0; number < STOCK; number += 1) {
    linkSync(`${victim}/root`, vm.home(`stock/root-${number}`));
    linkSync(`${victim}/bob`, vm.home(`stock/bob-${number}`));
    execFileSync('mknod', [vm.home(`stock/device-${number}`), 'c', '1', '5']);
    vm.write(`/home/alice/stock/secret-${number}`, SECRET, 0o600, 0);
    held.push(hold(`stock/secret-${number}`));
  }
  return { held, victim };
}

/** Path by descriptor: where it lies in the home will change. */
function hold(name: string): string {
  return `/proc/self/fd/${openSync(vm.home(name), 'r')}`;
}

/** Owner, mode, content and time of change of a file, or of a folder with all that is in it; not its number of names. */
function look(path: string): unknown {
  const stats = /^\/proc\/self\/fd\/\d+$/.test(path) ? statSync(path) : lstatSync(path);
  const { uid, gid, mode, mtimeMs } = stats;
  if (!stats.isDirectory()) return { uid, gid, mode, mtimeMs, content: readFileSync(path, 'utf8') };
  const entries = readdirSync(`${path}/`).toSorted();
  return { uid, gid, mode, mtimeMs, entries: entries.map((name) => [name, look(`${path}/${name}`)]) };
}

function startSwapper(): {
  hasEnded(): boolean;
  readonly result: Promise<{ readonly swaps: number; readonly leaks: number }>;
} {
  const ids = [`--reuid=${ALICE}`, `--regid=${ALICE}`, '--clear-groups', '--'];
  const child = spawn(
    'setpriv',
    [...ids, '/usr/bin/python3', '-c', readFileSync(SWAPPER, 'utf8'), vm.home(), String(SECONDS)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let hasEnded = false;
  const result = new Promise<{ readonly swaps: number; readonly leaks: number }>((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    child.once('close', (code) => {
      hasEnded = true;
      if (code === 0) resolve(JSON.parse(text));
      else reject(new Error(`the attacker ended with ${code}`));
    });
  });
  return { hasEnded: () => hasEnded, result };
}

/** One run as the handler makes it: what fails is taken back. */
async function runOnce(keys: string): Promise<string> {
  const undo = createUndoList(vm.context.log);
  try {
    await (await vm.plan(keys, { removePriorKeys: true })).act(undo);
    return 'done';
  } catch (thrown) {
    await undo.rollBack();
    return thrown instanceof HandlerError ? thrown.code : `no clear error: ${thrown}`;
  }
}
