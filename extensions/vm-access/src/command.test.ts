/** Programs of the system, run for real. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import type { TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRunCommand, findProgram } from './command.ts';

let machine: TestMachine;
let stop: AbortController;
beforeEach(() => {
  machine = createTestMachine();
  stop = new AbortController();
});
afterEach(() => machine.remove());

const SECRET = 'canary-31';
const run = (...args: Parameters<ReturnType<typeof createRunCommand>>) =>
  createRunCommand(machine.host, stop.signal, (text) => text.replaceAll(SECRET, '[hidden]'))(...args);
const shell = (script: string, options?: Parameters<typeof run>[1]) =>
  run(['/bin/sh', '-c', script], options);

describe('a program', () => {
  it('gets its input, the usual folders as its path, and the C locale, and nothing else of the environment', async () => {
    const { stdout } = await shell('cat; env', { stdin: 'input\n', env: { MORE: '1' } });
    const lines = stdout.trim().split('\n');
    expect(lines[0]).toBe('input');
    expect(lines.filter((line) => !/^(PWD|SHLVL|_|OLDPWD)=/.test(line)).sort()).toEqual([
      'LC_ALL=C',
      'MORE=1',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin',
      'input',
    ]);
  });

  it('that fails is an error with the end of what it said, and without secrets', async () => {
    await expect(shell(`echo out; echo "no ${SECRET}" >&2; exit 3`)).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      message: '/bin/sh failed with exit code 3: no [hidden]',
    });
    await expect(shell('echo out; exit 4')).rejects.toThrow('/bin/sh failed with exit code 4: out');
    await expect(shell('kill -9 $$')).rejects.toThrow('/bin/sh failed with signal SIGKILL');
  });

  it('that fails and said much leaves no half of a secret where that is cut', async () => {
    const failed = shell(`printf %s "${SECRET}" >&2; head -c 495 /dev/zero | tr '\\0' x >&2; exit 3`);
    await expect(failed).rejects.toMatchObject({
      message: `/bin/sh failed with exit code 3: dden]${'x'.repeat(495)}`,
    });
  });

  it('may end with the codes that are expected of it', async () => {
    expect((await shell('exit 3', { accept: [0, 3] })).exitCode).toBe(3);
    await expect(shell('exit 0', { accept: [3] })).rejects.toMatchObject({ code: 'COMMAND_FAILED' });
  });

  it('that does not end is ended', async () => {
    const limited = shell('exec sleep 60', { timeoutMs: 200 });
    await expect(limited).rejects.toThrow('/bin/sh did not end within 0.2 seconds');
  });

  it('is ended with the run, for the reason of the run', async () => {
    const ended = shell('exec sleep 60');
    stop.abort(new Error('newer settings'));
    await expect(ended).rejects.toThrow('newer settings');
    await expect(shell('true')).rejects.toThrow('newer settings');
  });

  it('is found in the folders of the system, in their order, and told when it is not there', async () => {
    const make = (folder: string, mode: number): void => {
      mkdirSync(machine.path(folder), { recursive: true });
      writeFileSync(machine.path(`${folder}/tool`), '');
      chmodSync(machine.path(`${folder}/tool`), mode);
    };
    expect(findProgram(machine.host, 'tool')).toBeUndefined();
    await expect(run(['tool'])).rejects.toMatchObject({
      code: 'PROGRAM_MISSING',
      message: 'this VM has no program tool; install it and try again',
    });
    make('/usr/local/bin', 0o755);
    expect(findProgram(machine.host, 'tool')).toBe('/usr/local/bin/tool');
    make('/usr/bin', 0o755);
    make('/usr/sbin', 0o755);
    expect(findProgram(machine.host, 'tool')).toBe('/usr/sbin/tool');
  });
});
