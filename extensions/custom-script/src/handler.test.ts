import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { HandlerError } from '@handlerkit/sdk';
import {
  agentHandlerEnvironment,
  ERROR_CLARIFICATION,
  formatStatusFile,
  LIB_FOLDER,
} from '@handlerkit/sdk/contract';
import type { OperationOutcome, TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import extension from '../extension.json' with { type: 'json' };
import { handler } from './handler.ts';

const DATA = `${LIB_FOLDER}/custom-script`;

let machine: TestMachine;
let server: Server;
let base: string;
let answer: RequestListener;
let requests: IncomingMessage[];

beforeEach(async () => {
  machine = createTestMachine({ extension });
  requests = [];
  answer = (_, response) => response.end('#!/bin/sh\r\necho "from the file"\r\n');
  server = createServer((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  base = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
});
afterEach(async () => {
  machine.remove();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const enable = (
  open: object | null,
  hidden: object | null = null,
  sequence = 0,
  signal = new AbortController().signal,
): Promise<OperationOutcome> =>
  machine.enable(
    handler,
    { public: { ...open }, protected: hidden === null ? null : { ...hidden } },
    { sequence, signal },
  );
const folder = (sequence = 0): string => machine.path(`${DATA}/download/${sequence}`);
/** The agent's folders for the handler. */
const folders = () => agentHandlerEnvironment(machine.handlerFolder(), '/var/log');
const mode = (path: string): number => statSync(path).mode & 0o777;
const base64 = (text: string | Uint8Array): string => Buffer.from(text).toString('base64');

describe('a command', () => {
  it('runs, and the status shows its output in the published form', async () => {
    const { exitCode, status } = await enable({ commandToExecute: 'echo out; echo err >&2' });
    expect(exitCode).toBe(0);
    expect(status).toMatchObject({
      operation: 'Enable',
      status: 'success',
      code: 0,
      message: 'Enable succeeded: \n[stdout]\nout\n\n[stderr]\nerr\n',
    });
    expect(mode(folder())).toBe(0o700);
    expect(mode(join(folder(), 'stdout'))).toBe(0o600);
    expect(readFileSync(join(folder(), 'stderr'), 'utf8')).toBe('err\n');
  });

  it('that is misspelt fails in the published form, protected or not', async () => {
    const expected = machine.host.exec(['/bin/sh', '-c', 'ech']);
    for (const [sequence, halves] of [
      [{ commandToExecute: 'ech' }, null],
      [{}, { commandToExecute: 'ech' }],
    ].entries()) {
      const { exitCode, status } = await enable(halves[0] ?? null, halves[1] ?? null, sequence);
      expect(exitCode).toBe(1);
      expect(status).toMatchObject({
        status: 'error',
        code: 127,
        message: `Enable failed: failed to execute command: command terminated with exit status=127\n[stdout]\n\n[stderr]\n${(await expected).stderr}`,
        substatus: [{ name: ERROR_CLARIFICATION, status: 'error', code: 2 }],
      });
    }
  });

  it('that is protected is in no argument, and its lines are hidden in the status but not in the file', async () => {
    const line = "password='canary-42'";
    const { status } = await enable(null, { commandToExecute: `${line}\necho "${line}"\necho done` });
    expect(JSON.stringify(machine.commands)).not.toContain('canary');
    expect(machine.readLog()).not.toContain('canary');
    expect(status?.status).toBe('success');
    expect(status?.message).toMatch(/^Enable succeeded: \n\[stdout\]\n.*\ndone\n\n\[stderr\]\n$/);
    expect(status?.message).not.toContain('canary');
    expect(readFileSync(join(folder(), 'stdout'), 'utf8')).toBe(`${line}\ndone\n`);
  });

  it('shows the last 4096 bytes of each output, and never half a character', async () => {
    const { status } = await enable({
      commandToExecute: "printf 'x%.0s' $(seq 1 5001); printf 'ä%.0s' $(seq 1 2047); printf z",
    });
    const shown = /\[stdout\]\n(.*)\n\[stderr\]/s.exec(status?.message ?? '')?.[1] ?? '';
    expect(shown).toBe(`x${'ä'.repeat(2047)}z`);
  });

  it('says in the status what it is doing', async () => {
    const file = machine.path(join(folders().statusFolder, formatStatusFile(0)));
    const { status } = await enable({ commandToExecute: `cat '${file}'` });
    expect(status?.message).toContain('Enable in progress: running the command');
  });
});

describe('a script', () => {
  const SCRIPT = '#!/bin/sh\necho "run as $0"\n';
  it.each<[string, string]>([
    ['base64', base64(SCRIPT)],
    ['gzip in base64', base64(gzipSync(SCRIPT))],
    ['base64 with CR LF inside', base64(SCRIPT.replaceAll('\n', '\r\n'))],
  ])('in %s runs from its file', async (_, script) => {
    const { status } = await enable({ script });
    expect(status?.message).toBe(`Enable succeeded: \n[stdout]\nrun as ${folder()}/script.sh\n\n[stderr]\n`);
    expect(readFileSync(join(folder(), 'script.sh'), 'utf8')).toBe(SCRIPT);
    expect(mode(join(folder(), 'script.sh'))).toBe(0o500);
  });

  it('without a first line is a shell script', async () => {
    const { status } = await enable(null, { script: base64('echo plain; exit 3') });
    expect(status?.message).toContain('exit status=3\n[stdout]\nplain\n');
  });

  it.each<[string, string]>([
    ['not base64 at all!', "'script' is not valid base64"],
    [base64(gzipSync(SCRIPT).subarray(0, -4)), "'script' holds gzip data that is damaged"],
    ['QUFB'.repeat(65_537), "'script' has 262148 characters"],
  ])('%.20s is an error, and nothing runs', async (script, text) => {
    const { status, exitCode } = await enable({ script });
    expect(exitCode).toBe(53);
    expect(status).toMatchObject({ status: 'error', code: -21 });
    expect(status?.message).toContain(`Enable failed: ${text}`);
    expect(machine.commands).toEqual([]);
  });

  it('that is protected stays hidden in the status, but not in its file', async () => {
    const script = '#!/bin/sh\nTOKEN=canary-token-1\ncat "$0"\n';
    const { status } = await enable(null, { script: base64(script) });
    expect(status?.message).not.toContain('canary');
    expect(machine.readLog()).not.toContain('canary');
    expect(readFileSync(join(folder(), 'stdout'), 'utf8')).toBe(script);
  });
});

describe('files', () => {
  it('are downloaded, converted and can be run', async () => {
    const { status } = await enable({
      fileUris: [`${base}/dir/run.sh`, `${base}/data.bin`],
      commandToExecute: './run.sh',
    });
    expect(status?.message).toBe('Enable succeeded: \n[stdout]\nfrom the file\n\n[stderr]\n');
    expect(readFileSync(join(folder(), 'run.sh'), 'utf8')).not.toContain('\r');
    expect(mode(join(folder(), 'run.sh'))).toBe(0o500);
    expect(readdirSync(folder()).sort()).toEqual(['data.bin', 'run.sh', 'stderr', 'stdout']);
  });

  it('are named in the status while they are downloaded', async () => {
    const said: (string | undefined)[] = [];
    answer = (_, response) => {
      said.push(machine.readStatus(0)?.message);
      response.end('x');
    };
    await enable({ fileUris: [`${base}/a`], commandToExecute: 'true' });
    expect(said).toEqual(['Enable in progress: downloading 1 file: 0 complete, 0 seconds so far']);
  });

  it('stay byte for byte as they are with skipDos2Unix', async () => {
    const { status } = await enable({
      fileUris: [`${base}/a.txt`],
      commandToExecute: 'cat a.txt',
      skipDos2Unix: true,
    });
    expect(status?.message).toContain('\r\n');
  });

  it('that are missing end the run with a code, and the URL’s secret is nowhere', async () => {
    answer = (_, response) => response.writeHead(404).end();
    const { status, exitCode } = await enable({
      fileUris: [`${base}/a?sig=canary-sig`],
      commandToExecute: 'echo never',
    });
    expect(exitCode).toBe(1);
    expect(status).toMatchObject({ status: 'error', code: 53, substatus: [{ code: 53 }] });
    expect(status?.message).toContain(
      `Enable failed: processing file downloads failed: failed to download file[0]: failed to download response and write to file: ${DATA}/download/0/a: CustomScript failed`,
    );
    expect(machine.readLog() + status?.message).not.toContain('canary');
    expect(machine.commands).toEqual([]);
  });

  it('that cannot be named are refused before any is downloaded', async () => {
    const { status } = await enable({ fileUris: [`${base}/a`, `${base}/a?x`], commandToExecute: 'true' });
    expect(status).toMatchObject({ status: 'error', code: 25 });
    expect(requests).toEqual([]);
  });

  it('of a signed URL: the signature is hidden when the command prints it alone', async () => {
    const sig = 'canary%2Bsignature%3D';
    const { status } = await enable({
      fileUris: [`${base}/a?sv=1&sig=${sig}`],
      commandToExecute: `echo ${sig}; echo canary+signature=`,
    });
    expect(status?.status).toBe('success');
    expect(status?.message).not.toContain('canary');
  });
});

describe('settings that are refused', () => {
  it.each<[object, object, number, string]>([
    [{}, {}, 23, "invalid configuration: 'commandToExecute' is not specified"],
    [{ commandToExecute: 'touch ran' }, { script: base64('touch ran') }, 29, 'invalid configuration: '],
    [
      { commandToExecute: 5 },
      {},
      -21,
      'json validation error: invalid public settings JSON: commandToExecute: Invalid type.',
    ],
    [
      { commandToExecute: 'a', fileUris: [null] },
      {},
      24,
      'json validation error: invalid public settings JSON: fileUris.0',
    ],
    [{ commandToExecute: 'a' }, { storageAccountName: 'account' }, 30, 'invalid configuration: both'],
    [
      { commandToExecute: 'a' },
      { storageAccountName: 'acc', storageAccountKey: 'a2V5', managedIdentity: {} },
      26,
      "invalid configuration: 'storageAccountName' or 'storageAccountKey' must not be specified",
    ],
  ])('%j and protected %j end with code %i before anything is done', async (open, hidden, code, text) => {
    const { status, exitCode } = await enable(open, hidden);
    expect(exitCode).toBe(53);
    expect(status).toMatchObject({
      status: 'error',
      code,
      substatus: [{ name: ERROR_CLARIFICATION, code }],
    });
    expect(status?.message).toContain(`Enable failed: ${text}`);
    expect(existsSync(folder())).toBe(false);
    expect(machine.commands).toEqual([]);
  });
});

describe('folders of other runs', () => {
  it.each(['true', 'false'])('are removed after `%s`, and nothing else is', async (commandToExecute) => {
    await enable({ commandToExecute: 'true' }, null, 0);
    writeFileSync(machine.path(`${DATA}/download/note`), 'a file');
    mkdirSync(machine.path(`${DATA}/download/other/deep`), { recursive: true });
    await enable({ commandToExecute }, null, 1);
    expect(readdirSync(machine.path(`${DATA}/download`)).sort()).toEqual(['1', 'note']);
  });

  it('of the same number, left by an image, are no part of the run', async () => {
    mkdirSync(join(folder(), 'stdout'), { recursive: true });
    const { status } = await enable({ commandToExecute: 'ls' });
    expect(status?.message).toBe('Enable succeeded: \n[stdout]\nstderr\nstdout\n\n[stderr]\n');
  });

  it('that cannot be made are an error with its own code', async () => {
    mkdirSync(machine.path(DATA), { recursive: true });
    writeFileSync(machine.path(`${DATA}/download`), 'in the way');
    const { status } = await enable({ commandToExecute: 'true' });
    expect(status).toMatchObject({ status: 'error', code: 50 });
    expect(status?.message).toContain(`cannot create the folder ${DATA}/download/0`);
  });
});

it('a run that is ended from outside says why, and shows the output so far', async () => {
  const stop = new AbortController();
  const stdout = join(folder(), 'stdout');
  const running = enable({ commandToExecute: 'echo begun; sleep 60' }, null, 0, stop.signal);
  while (!existsSync(stdout) || statSync(stdout).size === 0) await delay(5);
  stop.abort(new HandlerError('INTERRUPTED', 'ended by the test'));
  expect((await running).status).toMatchObject({
    status: 'error',
    code: 3,
    message: 'Enable failed: ended by the test\n[stdout]\nbegun\n\n[stderr]\n',
  });
});
