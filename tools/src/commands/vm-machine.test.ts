/** `vm exec` and `vm reboot` on real VMs; an overlay is skipped with the reason in the title where there can be none. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LIB_FOLDER } from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';
import type { CliOptions, CliResult } from '../fixtures/run-cli.ts';
import { runCli } from '../fixtures/run-cli.ts';
import { writeScriptExtension } from '../fixtures/script-extension.ts';
import { TOOL_COMMAND } from '../fixtures/tool-command.ts';
import { useVmFolder } from '../fixtures/vm-folder.ts';
import { quote, until, whyNoOverlay } from '../vm/fixtures/machine-rig.ts';
import { isAlive } from '../vm/linux-process.ts';
import { findState, readKeeper } from '../vm/machine-state.ts';

let folder: string;
useVmFolder((made) => {
  folder = made;
});

const noOverlay = await whyNoOverlay();
const test = it.skipIf(noOverlay !== undefined);
const because = noOverlay === undefined ? '' : ` (skipped: ${noOverlay})`;

const vm = (words: readonly string[], options: CliOptions = {}): Promise<CliResult> =>
  runCli(['vm', ...words], { cwd: folder, ...options });

/** Without secrets of the tests. */
const env = { PATH: process.env.PATH, HOME: '/nowhere', SECRET: 'S3CRET', TERM: 'xterm' };

/** Neither keeper nor command of the VM is left. */
async function isAsleep(): Promise<boolean> {
  const state = findState(join(folder, '.handlerkit/vm'));
  const keeper = state === undefined ? undefined : readKeeper(state);
  return keeper === undefined || !isAlive(keeper);
}

// Should a command read a stdin that never ends, the test is to fail soon.
describe('vm exec', { timeout: 60_000 }, () => {
  test(`runs a command as root in the agent's folder, with a login's environment and its exit code${because}`, () => {
    const [program = '', ...args] = [...TOOL_COMMAND, 'vm', 'exec', '--', '/bin/sh', '-c'];
    const line = 'pwd; id -u; env | sort; tr a-z A-Z; echo careful >&2; exit 3';
    const { status, stdout, stderr } = spawnSync(program, [...args, line], {
      cwd: folder,
      env,
      input: 'given\n',
      encoding: 'utf8',
    });
    expect(stdout).toMatch(`${LIB_FOLDER}\n0\n`);
    expect(stdout).toMatch(/^HOME=\/root$/m);
    expect(stdout).toMatch(/GIVEN\n$/);
    expect(stdout).not.toContain('S3CRET');
    expect(stderr).toBe('careful\n');
    expect(status).toBe(3);
  });

  test(`gives a shell that reads its commands from a pipe${because}`, async () => {
    const [program = '', ...args] = [...TOOL_COMMAND, 'vm', 'exec'];
    const { status, stdout } = spawnSync(program, args, {
      cwd: folder,
      env,
      input: 'echo $((6*7))\nexit 5\n',
      encoding: 'utf8',
    });
    expect([stdout, status]).toEqual(['42\n', 5]);
    await until(isAsleep);
  });

  test(`gives a shell on a terminal, where Ctrl-C reaches what runs in it and not the tool${because}`, async () => {
    const line = [...TOOL_COMMAND, 'vm', 'exec'].map(quote).join(' ');
    const child = spawn('script', ['--quiet', '--return', '--command', line, '/dev/null'], {
      cwd: folder,
      env,
    });
    let shown = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      shown += chunk;
    });
    const see = (text: string): Promise<void> => until(() => shown.includes(text));
    child.stdin.write('echo up$((1+1))\n');
    await see('up2');
    child.stdin.write('sh -c "echo run$((1+2)); exec sleep 60"\n');
    await see('run3');
    child.stdin.write('\u0003');
    child.stdin.write('echo after=$?\n');
    await see('after=130');
    child.stdin.write('exit 7\n');
    const [code] = await once(child, 'close');
    expect(code).toBe(7);
    await until(isAsleep);
  });

  test(`leaves nothing behind when the tool is killed or interrupted${because}`, async () => {
    for (const signal of ['SIGKILL', 'SIGINT'] as const) {
      const [program = '', ...args] = [
        ...TOOL_COMMAND,
        'vm',
        'exec',
        '--',
        '/bin/sh',
        '-c',
        'echo up; exec sleep 60',
      ];
      const child = spawn(program, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'ignore'] });
      await once(child.stdout, 'data');
      const ended = once(child, 'exit');
      child.kill(signal);
      expect((await ended)[0]).toBe(signal === 'SIGINT' ? 130 : null);
      await until(isAsleep);
    }
  });

  it('says in its own words why a program cannot be run, with the exit code of a shell', async () => {
    const missing = (name: string) => `error COMMAND_NOT_FOUND: There is no program "${name}" in the VM.`;
    const rows = [
      ['nosuchprog', 127, missing('nosuchprog')],
      ['./nosuchprog', 127, missing('./nosuchprog')],
      ['/etc', 127, missing('/etc')],
      ['/etc/passwd', 126, 'error COMMAND_NOT_EXECUTABLE: /etc/passwd in the VM is not executable.'],
    ] as const;
    for (const isolation of noOverlay === undefined ? ['overlay', 'relocated'] : ['relocated']) {
      for (const [name, code, words] of rows) {
        const result = await vm(['exec', '--isolation', isolation, '--vm', isolation, '--', name]);
        expect(result.stderr).toContain(words);
        expect(result.stderr).not.toMatch(/nsenter|setpriv/);
        expect(result.exitCode).toBe(code);
      }
      await vm(['reset', '--vm', isolation]);
    }
  });

  it('prints the output as a document, for a relocated VM too', async () => {
    const result = await vm([
      'exec',
      '--isolation',
      'relocated',
      '--json',
      '--',
      '/bin/sh',
      '-c',
      'echo out; echo err >&2; exit 4',
    ]);
    expect(JSON.parse(result.stdout)).toEqual({ exitCode: 4, stdout: 'out\n', stderr: 'err\n' });
    expect(result.exitCode).toBe(4);
  });

  it.each([
    ['true', 0],
    ['/no/such/program', 127],
    ['/etc/passwd', 126],
  ])('answers %j with exit code %i', async (program, exitCode) => {
    expect((await vm(['exec', '--isolation', 'relocated', '--json', '--', program])).exitCode).toBe(exitCode);
  });
});

describe('vm reboot', () => {
  const settings = (value: unknown): string[] => ['--settings', JSON.stringify(value)];

  test(`kills what runs, gives another boot, and enables every extension again${because}`, async () => {
    const zip = await writeScriptExtension(folder, { version: '1.0.0' });
    await vm(['set', zip, ...settings({ mode: 'slow', until: '/run/go' }), '--no-wait']);
    const boot = async (): Promise<string> =>
      JSON.parse((await vm(['exec', '--json', '--', 'cat', '/proc/sys/kernel/random/boot_id'])).stdout)
        .stdout;
    const before = await boot();
    const result = await vm(['reboot', '--no-wait']);
    expect(result.exitCode).toBe(0);
    expect(result.stderr.match(/enable +bin\/handler/g)).toHaveLength(1);
    expect(JSON.parse(result.stdout)[0].statuses[0].code).toBe('ProvisioningState/transitioning');
    expect(await boot()).not.toBe(before);
    await vm(['exec', '--json', '--', 'touch', '/run/go']);
    const view = async (): Promise<string> => (await vm(['instance-view'])).stdout;
    await until(async () => (await view()).includes('late'));
    expect(JSON.parse((await vm(['show', 'Greeter'])).stdout).sequenceNumber).toBe(0);
  });

  it('says what it cannot do for a relocated VM, and fails when an extension does', async () => {
    const zip = await writeScriptExtension(folder, { version: '1.0.0' });
    await vm(['set', zip, '--isolation', 'relocated', ...settings({ mode: 'crash' })]);
    const result = await vm(['reboot', '--json']);
    expect(result.stderr).toContain('handlers see no other boot');
    expect(result.stderr).toContain('EXTENSION_FAILED');
    expect(JSON.parse(result.stdout)[0].statuses[0].code).toBe('ProvisioningState/failed/1009');
    expect(result.exitCode).toBe(1);
  });

  it('says so when there is no VM, and makes none', async () => {
    const result = await vm(['reboot', '--json']);
    expect(JSON.parse(result.stdout).error).toMatchObject({ code: 'NOT_FOUND' });
    expect(findState(join(folder, '.handlerkit/vm'))).toBeUndefined();
  });

  test(`leaves nothing behind when the tool is killed in the middle, and can be done again${because}`, async () => {
    const zip = await writeScriptExtension(folder, { version: '1.0.0' });
    await vm(['set', zip]);
    const [program = '', ...args] = [...TOOL_COMMAND, 'vm', 'reboot'];
    const child = spawn(program, args, { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
    await once(child.stderr, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    await until(isAsleep);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(folder);
    expect((await vm(['reboot'])).exitCode).toBe(0);
  });
});
