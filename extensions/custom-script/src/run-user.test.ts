import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { LIB_FOLDER } from '@handlerkit/sdk/contract';
import type { TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import extension from '../extension.json' with { type: 'json' };
import { handler } from './handler.ts';

const NOBODY = 65534;
const RUNS = '/var/lib/handlerkit-custom-script';

let machine: TestMachine;
beforeEach(() => {
  machine = createTestMachine({ extension });
  // As on a VM: everybody reaches /var/lib, and only root the agent's folder.
  for (const open of ['/', '/var', '/var/lib']) chmodSync(machine.path(open), 0o755);
  chmodSync(machine.path(LIB_FOLDER), 0o700);
});
afterEach(() => machine.remove());

const work = (...name: readonly string[]): string => machine.path(join(RUNS, '0', ...name));
const output = (name: string): string => machine.path(`${LIB_FOLDER}/custom-script/download/0/${name}`);

describe.runIf(process.getuid?.() === 0)('runAsUser, as root', () => {
  const asNobody = (settings: object, hidden: object | null = null, sequence = 0) =>
    machine.enable(
      handler,
      { public: { runAsUser: 'nobody', ...settings }, protected: hidden === null ? null : { ...hidden } },
      { sequence },
    );

  it('the command has the ids and variables of the user, in a folder that is the user’s alone', async () => {
    const commandToExecute =
      'id -un; id -u; id -G; echo $USER $LOGNAME $HOME $SHELL; pwd; echo new >made; cd /; cd -';
    const { status } = await asNobody({ commandToExecute });
    const home = (await machine.host.exec(['getent', 'passwd', 'nobody'])).stdout.trim().split(':');
    expect(status?.message).toBe(
      `Enable succeeded: \n[stdout]\nnobody\n${NOBODY}\n${NOBODY}\nnobody nobody ${home[5]} ${home[6]}\n${work()}\n${work()}\n\n[stderr]\n`,
    );
    expect(statSync(work('made')).uid).toBe(NOBODY);
    expect(statSync(work()).uid).toBe(NOBODY);
    expect(statSync(work()).mode & 0o777).toBe(0o700);
    expect(statSync(machine.path(RUNS)).mode & 0o777).toBe(0o711);
    expect(statSync(machine.path(LIB_FOLDER)).mode & 0o777).toBe(0o700);
    expect(statSync(output('stdout')).mode & 0o777).toBe(0o600);
  });

  it('downloaded files and the script can be run by the user', async () => {
    const server = createServer((_, response) =>
      response.end('#!/bin/sh\r\nid -un; echo problem >/dev/stderr\r\n'),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const { status } = await asNobody({ fileUris: [`${base}/a.sh`], commandToExecute: './a.sh' });
      expect(status?.message).toBe('Enable succeeded: \n[stdout]\nnobody\n\n[stderr]\nproblem\n');
      expect(statSync(work('a.sh'))).toMatchObject({ uid: NOBODY });
      expect(statSync(work('a.sh')).mode & 0o777).toBe(0o500);
      expect(existsSync(output('a.sh'))).toBe(false);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
    const script = Buffer.from('#!/bin/sh\nid -un\n').toString('base64');
    expect((await asNobody({ script }, null, 1)).status?.message).toContain('[stdout]\nnobody\n');
    expect(existsSync(work())).toBe(false);
  });

  it('a protected command is in no argument, and the user cannot reach the settings', async () => {
    const { status } = await asNobody(
      {},
      { commandToExecute: `: canary-77; id -un; ls ${machine.path(LIB_FOLDER)}` },
    );
    expect(status?.message).toContain('[stdout]\nnobody\n');
    expect(status?.message).toContain('Permission denied');
    expect(JSON.stringify(machine.commands)).not.toContain('canary');
  });

  it('has the variables of both halves, and the protected ones are hidden in the status', async () => {
    const { status } = await asNobody(
      { commandToExecute: 'echo "$ROLE $TOKEN"', environment: { ROLE: 'web' } },
      { environment: { TOKEN: 'canary-token' } },
    );
    expect(status?.message).toBe('Enable succeeded: \n[stdout]\nweb [hidden]\n\n[stderr]\n');
    expect(readFileSync(output('stdout'), 'utf8')).toBe('web canary-token\n');
    expect(JSON.stringify(machine.commands) + machine.readLog()).not.toContain('canary');
  });

  it('a link that the user leaves is not followed when the run is removed, and uninstall removes all runs', async () => {
    mkdirSync(machine.path('/kept'));
    writeFileSync(machine.path('/kept/file'), '');
    await asNobody({ commandToExecute: `ln -s '${machine.path('/kept')}' link` });
    await asNobody({ commandToExecute: 'true' }, null, 1);
    expect([existsSync(work()), existsSync(machine.path('/kept/file'))]).toEqual([false, true]);
    expect(existsSync(machine.path(join(RUNS, '1')))).toBe(true);
    await machine.run(handler, 'uninstall');
    expect(existsSync(machine.path(RUNS))).toBe(false);
  });

  it('a folder that is not root’s alone is not used', async () => {
    mkdirSync(machine.path('/elsewhere'));
    symlinkSync(machine.path('/elsewhere'), machine.path(RUNS));
    const { status } = await asNobody({ commandToExecute: 'true' });
    expect(status).toMatchObject({ status: 'error', code: 50 });
    expect(status?.message).toContain(`${RUNS} is no folder that only root can write to`);
  });
});

describe('runAsUser', () => {
  it.each(['0', '+0', 'no-such-user-7', 'root:x', '-u', '../root'])('%j is no user', async (runAsUser) => {
    const { status, exitCode } = await machine.enable(handler, {
      public: { runAsUser, commandToExecute: 'true' },
    });
    expect([status?.status, status?.code, exitCode]).toEqual(['error', 11, 53]);
    expect(status?.message).toContain("there is no user with the name that 'runAsUser' gives");
    expect(machine.commands.filter(([program]) => program === '/bin/sh')).toEqual([]);
  });

  it('takes no password', async () => {
    const { status } = await machine.enable(handler, {
      public: { runAsUser: 'nobody', commandToExecute: 'true' },
      protected: { runAsPassword: 'canary-password' },
    });
    expect(status).toMatchObject({ status: 'error', code: 10 });
    expect(status?.message).toContain("'runAsPassword' is not supported: root needs no password");
    expect(status?.message).not.toContain('canary');
  });

  it('does not go with variables that the program which changes the user would heed', async () => {
    const { status } = await machine.enable(handler, {
      public: { runAsUser: 'nobody', commandToExecute: 'true', environment: { LD_PRELOAD: './canary.so' } },
    });
    expect(status).toMatchObject({ status: 'error', code: -21 });
    expect(status?.message).toContain("'environment.LD_PRELOAD' cannot be given with 'runAsUser'");
    expect(status?.message).not.toContain('canary');
  });
});

describe('environment', () => {
  it('reaches a protected command whatever its PATH', async () => {
    const { status } = await machine.enable(handler, {
      public: { environment: { PATH: '/nonexistent', ROLE: 'web' } },
      protected: { commandToExecute: 'echo $ROLE' },
    });
    expect(status?.message).toBe('Enable succeeded: \n[stdout]\nweb\n\n[stderr]\n');
  });

  it.each<[unknown, string]>([
    [{ A: 1 }, 'environment.A: Invalid type. Expected: string, given: integer'],
    [{ A: null }, 'environment.A: Invalid type. Expected: string, given: null'],
    [[], 'environment: Invalid type. Expected: object, given: array'],
    [{ 'A=B': '' }, "'environment' has a name that is no name of a variable"],
  ])('%j is refused', async (environment, text) => {
    const { status } = await machine.enable(handler, { public: { commandToExecute: 'true', environment } });
    expect(status).toMatchObject({ status: 'error', code: -21 });
    expect(status?.message).toContain(text);
  });
});
