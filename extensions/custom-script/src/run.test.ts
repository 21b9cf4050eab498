import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createHost, HandlerError } from '@handlerkit/sdk';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { quotePath, READ_COMMAND, runCommand, SHOWN_BYTES } from './run.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'custom-script-run-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const run = (command: string, more: Partial<Parameters<typeof runCommand>[0]> = {}): Promise<string> =>
  runCommand({
    host: createHost(),
    command,
    isProtected: false,
    folder,
    outputFolder: folder,
    signal: new AbortController().signal,
    redact: (text) => text,
    ...more,
  });

describe.each([false, true])('a command (protected: %s)', (isProtected) => {
  it('shows its output, runs in the folder of the run, reads nothing', async () => {
    const block = await run('pwd; cat; echo problem >&2', { isProtected });
    expect(block).toBe(`\n[stdout]\n${folder}\n\n[stderr]\nproblem\n`);
    expect(readFileSync(join(folder, 'stderr'), 'utf8')).toBe('problem\n');
    for (const name of ['stdout', 'stderr']) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder).sort()).toEqual(['stderr', 'stdout']);
  });

  it('fails with its exit code and the output of both streams', async () => {
    await expect(run('echo out; echo err >&2; exit 42', { isProtected })).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      statusCode: 42,
      clarificationCode: 2,
      exitCode: 1,
      message:
        'failed to execute command: command terminated with exit status=42\n[stdout]\nout\n\n[stderr]\nerr\n',
    });
  });

  it('that is ended by a signal has exit status -1 and names the signal', async () => {
    await expect(run('kill -9 $$', { isProtected })).rejects.toThrow('exit status=-1 (ended by SIGKILL)\n');
  });

  it('does not wait for what it leaves in the background', async () => {
    expect(await run('sleep 30 & echo $!', { isProtected })).toMatch(/^\n\[stdout\]\n\d+\n/);
    const pid = Number(readFileSync(join(folder, 'stdout'), 'utf8'));
    expect(() => process.kill(pid, 'SIGKILL')).not.toThrow();
  });

  it('that is aborted shows the reason and the output so far', async () => {
    const stop = new AbortController();
    const running = run('echo begun; sleep 60; echo never', { isProtected, signal: stop.signal });
    const failure = expect(running).rejects.toMatchObject({
      code: 'TIMED_OUT',
      statusCode: 4,
      message: 'the time limit was reached\n[stdout]\nbegun\n\n[stderr]\n',
    });
    await until(() => existsSync(join(folder, 'stdout')) && statSync(join(folder, 'stdout')).size > 0);
    stop.abort(new HandlerError('TIMED_OUT', 'the time limit was reached'));
    await failure;
  });
});

it('a command that is not found prints what the shell prints', async () => {
  const error = await run('ech').catch((thrown: unknown) => thrown);
  const expected = spawnSync('/bin/sh', ['-c', 'ech'], { encoding: 'utf8' }).stderr;
  expect(error).toMatchObject({
    message: `failed to execute command: command terminated with exit status=127\n[stdout]\n\n[stderr]\n${expected}`,
  });
});

it('a public command is the argument of sh, a protected one is in no process', async () => {
  const canary = 'canary-5f2c';
  const command = `: ${canary}; sleep 60 & wait`;
  const hold = new AbortController();
  const pids: number[] = [];
  const host = createHost();
  const watching = {
    ...host,
    exec: (argv: readonly string[], options = {}) =>
      host.exec(argv, { ...options, graceMs: 100, onStart: (pid: number) => pids.push(pid) }),
  };
  const running = run(command, { isProtected: true, host: watching, signal: hold.signal }).catch(
    () => undefined,
  );
  const group = (): string[] =>
    readdirSync('/proc').filter((entry) => /^\d+$/.test(entry) && groupOf(entry) === pids[0]);
  await until(() => group().some((pid) => readProc(pid, 'cmdline').startsWith('sleep')));
  const members = group();
  expect(members.length).toBeGreaterThanOrEqual(2);
  for (const pid of members) {
    expect(readProc(pid, 'cmdline') + readProc(pid, 'environ')).not.toContain(canary);
  }
  hold.abort(new HandlerError('INTERRUPTED', 'ended'));
  await running;
});

it('an output file that cannot be opened has a code of its own', async () => {
  writeFileSync(join(folder, 'target'), '');
  symlinkSync(join(folder, 'target'), join(folder, 'stderr'));
  await expect(run('true')).rejects.toMatchObject({ code: 'STDERR_NOT_OPENED', statusCode: -52 });
});

it('secrets are hidden before the output is cut, so that no end of one is left', async () => {
  const redact = (text: string) => text.replaceAll('password-of-the-database', '[hidden]');
  const tail = 'x'.repeat(SHOWN_BYTES - 9);
  const block = await run(`printf %s 'password-of-the-database${tail}'`, { redact });
  expect(block).not.toContain('database');
  expect(readFileSync(join(folder, 'stdout'), 'utf8')).toContain('password-of-the-database');
});

it.each<[boolean, string, number]>([
  [false, 'as short as it is shown', SHOWN_BYTES],
  [true, 'longer than what is read of it', 5 * SHOWN_BYTES],
])(
  'that output has a beginning that was cut off is told: %s for one that is %s',
  async (isTail, _, bytes) => {
    const seen: boolean[] = [];
    const redact = (text: string, options: { readonly isTail: boolean }): string => {
      seen.push(options.isTail);
      return text;
    };
    await run(`head -c ${bytes} /dev/zero | tr '\\0' ä`, { redact });
    expect(seen).toEqual([isTail, false]);
  },
);

it.each<[string, string]>([
  ['/var/lib/custom-script/download/1/script.sh', '/var/lib/custom-script/download/1/script.sh'],
  ["/tmp/a b's/x", "'/tmp/a b'\\''s/x'"],
])('the path %s is written %s', (path, expected) => {
  expect(quotePath(path)).toBe(expected);
});

const CASES: readonly string[] = [
  'ech',
  'true',
  'echo a; exit 7',
  'echo $0 $# "$@"',
  'cat; echo done',
  'read x; echo "r=$x $?"',
  'cat <<E\nhi $0\nE\necho x',
  'cat <<E\nno end',
  'set -e\nfalse\necho no',
  'set -u; echo $nope',
  'echo a\necho )\necho b',
  'echo a\n\nech',
  '\n\nech\n\n',
  'echo "unterminated',
  '{ echo a',
  '}',
  'echo a }',
  'if',
  'then',
  '&& x',
  '; x',
  '# only a comment',
  '#!/bin/sh\necho s',
  'exit',
  '(exit 3)',
  'return 4; echo z',
  'f() {\n ech\n}\nf',
  'alias q="echo aliased"\nq',
  'unalias -a; echo ok\necho 2',
  'handlerkit_command',
  'x=1 handlerkit_command; echo $x',
  'trap "echo bye" EXIT; echo hi',
  'sleep 0.1 & wait; echo w',
  'kill -9 $$',
  'kill -TERM $$',
  'cd /nonexistent',
  '. /nonexistent; echo after',
  'exec 3</nonexistent',
  'exec ech',
  'eval ech',
  'echo $((1/0)); echo x',
  '${x?bad}',
  '! true',
  'false || ech && echo',
  'echo "$(ech)"',
  'sh -c "cat; echo inner"',
  'i=0; while [ $i -lt 3 ]; do i=$((i+1)); cat; done; echo $i',
  'readlink /proc/self/fd/0',
  'echo "a\nb" \\',
  'echo a\\',
  'echo $LINENO\necho $LINENO',
  '/etc/passwd',
  '/',
  `echo '${'x'.repeat(70_000)}' | wc -c`,
  'echo ä€😀',
  'echo \'single\' "double" `echo back`',
];
/** bash says `eval` in a syntax error where it would say `-c`, and busybox counts lines from 0 after `-c`; the rest is the same. */
const withoutSource = (shell: string, text: string): string =>
  shell.endsWith('busybox')
    ? text.replace(/: line \d+: /g, ': ')
    : text.replace(/^(\/bin\/sh: )(?:-c|eval): /gm, '$1');

/** The shells of this machine, each once. */
const SHELLS = new Set(
  ['/bin/sh', '/bin/dash', '/bin/bash', '/bin/busybox']
    .filter((path) => existsSync(path))
    .map((path) => realpathSync(path)),
);

describe.each([...SHELLS])('a protected command in %s as sh', (shell) => {
  it.each(CASES.filter((command) => !(shell.endsWith('busybox') && command.includes('LINENO'))))(
    '%j prints and ends as sh -c does',
    (command) => {
      const program = join(folder, 'sh');
      symlinkSync(shell, program);
      const input = join(folder, 'command');
      writeFileSync(input, command);
      const stdin = openSync(input, 'r');
      rmSync(input);
      const options = { argv0: '/bin/sh', cwd: folder, encoding: 'utf8' } as const;
      const plain = spawnSync(program, ['-c', command], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
      const hidden = spawnSync(program, ['-s', '-c', READ_COMMAND], {
        ...options,
        stdio: [stdin, 'pipe', 'pipe'],
      });
      closeSync(stdin);
      const seen = ({ status, signal, stdout, stderr }: typeof plain) => ({
        status,
        signal,
        stdout,
        stderr: withoutSource(shell, stderr),
      });
      expect(seen(hidden)).toEqual(seen(plain));
    },
  );
});

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await delay(5);
}

function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

/** The process group of a pid, the fifth field of its stat. */
function groupOf(pid: string): number {
  return Number(
    readProc(pid, 'stat')
      .replace(/^.*\) /s, '')
      .split(' ')[2],
  );
}
