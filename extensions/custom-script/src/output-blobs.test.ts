/** The output of a run in append blobs of a real Azurite: round by round, and when the service or the network fails. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { BlobSASPermissions } from '@azure/storage-blob';
import { HandlerError } from '@handlerkit/sdk';
import { LIB_FOLDER } from '@handlerkit/sdk/contract';
import type { OperationOutcome, TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import extension from '../extension.json' with { type: 'json' };
import { APPEND_LIMIT_BYTES, describeStorageProblem } from './append-blob.ts';
import type { Azurite } from './fixtures/azurite.ts';
import { startAzurite } from './fixtures/azurite.ts';
import { handler } from './handler.ts';
import { COPY_INTERVAL_MS, REST_INTERRUPTED_MS, REST_MS } from './output-blobs.ts';

type Fetch = typeof globalThis.fetch;
let azurite: Azurite;
let machine: TestMachine;
/** What stands between the run and the service. */
let between: (send: Fetch, ...input: Parameters<Fetch>) => ReturnType<Fetch>;
let blobs = 0;

beforeAll(async () => {
  azurite = await startAzurite();
  await azurite.service.getContainerClient('logs').create();
}, 60_000);
afterAll(() => azurite.stop());
beforeEach(async () => {
  between = (send, ...input) => send(...input);
  machine = createTestMachine({ extension, fetch: (...input) => between(azurite.fetch, ...input) });
  await machine.advance(Date.now() - machine.host.now().getTime());
  azurite.requests.length = 0;
  name = `out-${blobs++}.txt`;
});
afterEach(() => machine.remove());

/** Of the blob of this test. */
let name: string;
const client = () => azurite.service.getContainerClient('logs').getAppendBlobClient(name);
const sas = (permissions = 'acw'): Promise<string> =>
  client().generateSasUrl({
    permissions: BlobSASPermissions.parse(permissions),
    expiresOn: new Date(Date.now() + 600_000),
  });
const content = async (): Promise<string> => {
  const response = await azurite.fetch(await sas('r'));
  return response.ok ? response.text() : '(none)';
};
const folder = (file: string): string => machine.path(join(LIB_FOLDER, 'custom-script/download/0', file));

interface Running {
  readonly outcome: Promise<OperationOutcome>;
  isDone(): boolean;
}
function start(commandToExecute: string, hidden: object, signal = new AbortController().signal): Running {
  let isDone = false;
  const outcome = machine
    .enable(handler, { public: { commandToExecute }, protected: { ...hidden } }, { signal })
    .finally(() => {
      isDone = true;
    });
  return { outcome, isDone: () => isDone };
}
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
/** Moves the clock by rounds until the run has ended; gives the time that it took on that clock. */
async function runClock(running: Running, stepMs: number): Promise<number> {
  const since = machine.host.elapsedMs();
  while (!running.isDone()) {
    await machine.advance(stepMs);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return machine.host.elapsedMs() - since;
}
const isAppend = (input: Parameters<Fetch>[0]): boolean => String(input).includes('comp=appendblock');
const appends = () => azurite.requests.filter(({ url }) => url.search.includes('comp=appendblock'));
/** A command that prints the name of each file as soon as it is there, and then ends. */
const echoes = (...files: readonly string[]): string =>
  files.map((file) => `while [ ! -e ${file} ]; do sleep 0.02; done; echo ${file}`).join('; ');
const resetConnection = (): Error => Object.assign(new Error('reset'), { code: 'ECONNRESET' });
const never = (signal: AbortSignal | null | undefined): Promise<never> =>
  new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason));
  });

describe('while the command runs', () => {
  it('what is new is appended every 15 seconds, and the rest at the end', async () => {
    const running = start(echoes('one', 'two', 'three'), { outputBlobUri: await sas() });
    await until(() => existsSync(folder('stdout')));
    for (const [file, expected] of [
      ['one', 'one\n'],
      ['two', 'one\ntwo\n'],
    ] as const) {
      writeFileSync(folder(file), '');
      await until(() => readFileSync(folder('stdout'), 'utf8') === expected);
      await until(async () => {
        await machine.advance(COPY_INTERVAL_MS);
        return (await content()) === expected;
      });
    }
    expect(running.isDone()).toBe(false);
    expect(appends()).toHaveLength(2);
    writeFileSync(folder('three'), '');
    const { status } = await running.outcome;
    expect(status?.message).toBe('Enable succeeded: \n[stdout]\none\ntwo\nthree\n\n[stderr]\n');
    expect(await content()).toBe('one\ntwo\nthree\n');
    expect(appends()).toHaveLength(3);
  });

  it('nothing is sent before the next round', async () => {
    const running = start(echoes('one', 'two'), { outputBlobUri: await sas() });
    await until(() => existsSync(folder('stdout')));
    writeFileSync(folder('one'), '');
    await until(async () => {
      await machine.advance(COPY_INTERVAL_MS);
      return (await content()) === 'one\n';
    });
    const sent = azurite.requests.length;
    await machine.advance(COPY_INTERVAL_MS - 1_000);
    writeFileSync(folder('two'), '');
    await running.outcome;
    // Only the rest at the end.
    expect(azurite.requests.slice(sent).filter(({ method }) => method === 'PUT')).toHaveLength(1);
  });

  it('a network that is gone for some rounds delays the copy only, and is in the log', async () => {
    let isGone = true;
    between = (send, ...input) =>
      isGone && isAppend(input[0])
        ? Promise.reject(new TypeError('fetch failed', { cause: resetConnection() }))
        : send(...input);
    const running = start(echoes('one', 'two'), { outputBlobUri: await sas() });
    await until(() => existsSync(folder('stdout')));
    writeFileSync(folder('one'), '');
    await until(async () => {
      await machine.advance(COPY_INTERVAL_MS);
      return machine.readLog().includes('the output could not be copied; trying again');
    });
    isGone = false;
    writeFileSync(folder('two'), '');
    expect((await running.outcome).status?.message).toBe(
      'Enable succeeded: \n[stdout]\none\ntwo\n\n[stderr]\n',
    );
    expect(await content()).toBe('one\ntwo\n');
  });
});

describe('each byte is in the blob once', () => {
  it('when the answer to an append is lost', async () => {
    let lost = 0;
    between = async (send, ...input) => {
      const response = await send(...input);
      if (!isAppend(input[0]) || lost > 0) return response;
      lost++;
      throw new TypeError('fetch failed', { cause: resetConnection() });
    };
    const { status } = await start('echo once', { outputBlobUri: await sas() }).outcome;
    expect(status?.message).toBe('Enable succeeded: \n[stdout]\nonce\n\n[stderr]\n');
    expect(await content()).toBe('once\n');
    expect([lost, appends().length]).toEqual([1, 2]);
  });

  it('when the answers of a whole round are lost, and more output has come since', async () => {
    let lost = 0;
    between = async (send, ...input) => {
      const response = await send(...input);
      if (!isAppend(input[0]) || lost === 2) return response;
      lost++;
      throw new TypeError('fetch failed', { cause: resetConnection() });
    };
    const running = start(echoes('one', 'two'), { outputBlobUri: await sas() });
    await until(() => existsSync(folder('stdout')));
    writeFileSync(folder('one'), '');
    await until(async () => {
      await machine.advance(COPY_INTERVAL_MS);
      return lost === 2;
    });
    writeFileSync(folder('two'), '');
    const { status } = await running.outcome;
    expect(status?.message).toBe('Enable succeeded: \n[stdout]\none\ntwo\n\n[stderr]\n');
    expect(await content()).toBe('one\ntwo\n');
  });

  it('and a blob that something else writes to is told', async () => {
    between = async (send, ...input) => {
      if (isAppend(input[0]) && (await content()) === '') await client().appendBlock(Buffer.from('alien'), 5);
      return send(...input);
    };
    const { status } = await start('echo mine', { outputBlobUri: await sas() }).outcome;
    expect(status?.status).toBe('success');
    expect(status?.message).toMatch(
      /the service answered 412 \(AppendPositionConditionNotMet\); something else wrote to it; give each output a blob of its own$/,
    );
    expect(await content()).toBe('alien');
  });

  it('when it is more than one request may hold', async () => {
    const { status } = await start('head -c 13000001 /dev/zero | tr "\\000" x', {
      outputBlobUri: await sas(),
    }).outcome;
    expect(status?.status).toBe('success');
    expect((await client().getProperties()).contentLength).toBe(13_000_001);
    expect((await content()) === readFileSync(folder('stdout'), 'utf8')).toBe(true);
    const { blobCommittedBlockCount } = await client().getProperties();
    expect(blobCommittedBlockCount).toBeGreaterThanOrEqual(Math.ceil(13_000_001 / APPEND_LIMIT_BYTES));
  });
});

it('a network that is gone is told after some tries at the end', async () => {
  between = () => Promise.reject(new TypeError('fetch failed', { cause: resetConnection() }));
  const running = start('echo done', { outputBlobUri: await sas() });
  const took = await runClock(running, 500);
  const { status } = await running.outcome;
  expect(status?.status).toBe('success');
  expect(status?.message).toMatch(
    /does not hold the whole output: cannot connect \(ECONNRESET\); check the network of the VM$/,
  );
  expect(took).toBeGreaterThanOrEqual(35_000);
});

describe('a service that does not answer any more', () => {
  beforeEach(() => {
    between = (send, input, init) => (isAppend(input) ? never(init?.signal) : send(input, init));
  });
  it('for a moment is asked again after a minute, while the command runs', async () => {
    let stalled = 0;
    between = (send, input, init) =>
      isAppend(input) && stalled++ === 0 ? never(init?.signal) : send(input, init);
    const running = start(echoes('one', 'two'), { outputBlobUri: await sas() });
    await until(() => existsSync(folder('stdout')));
    writeFileSync(folder('one'), '');
    await until(async () => {
      await machine.advance(COPY_INTERVAL_MS);
      return (await content()) === 'one\n';
    });
    expect([running.isDone(), stalled]).toEqual([false, 2]);
    writeFileSync(folder('two'), '');
    expect((await running.outcome).status?.message).toMatch(/\[stderr\]\n$/);
    expect(await content()).toBe('one\ntwo\n');
  });

  const NO_TIME =
    "[outputBlobUri]\nthe blob of 'outputBlobUri' on hkaccount.blob.core.windows.net does not hold the whole output: there was no time left";

  it('is given up five minutes after the end of the command, however short that was', async () => {
    const running = start('echo done', { outputBlobUri: await sas() });
    await until(() => appends().length === 0 && machine.commands.length > 0);
    const took = await runClock(running, 10_000);
    const { status } = await running.outcome;
    expect(status?.status).toBe('success');
    expect(status?.message).toBe(`Enable succeeded: \n[stdout]\ndone\n\n[stderr]\n\n${NO_TIME}`);
    expect(took).toBeGreaterThanOrEqual(REST_MS);
    expect(took).toBeLessThan(2 * REST_MS);
  });

  it('is given up in seconds when the run is ended from outside', async () => {
    const stop = new AbortController();
    const command = 'trap ": >ended; exit" TERM; echo begun; while :; do sleep 0.02; done';
    const running = start(command, { outputBlobUri: await sas() }, stop.signal);
    await until(() => existsSync(folder('stdout')) && readFileSync(folder('stdout'), 'utf8') !== '');
    const since = machine.host.elapsedMs();
    stop.abort(new HandlerError('INTERRUPTED', 'ended by the test'));
    await until(() => existsSync(folder('ended')));
    await until(async () => {
      // Slowly, and not so far that the handler itself is given up.
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (machine.host.elapsedMs() < since + 9_000) await machine.advance(100);
      return running.isDone();
    });
    const took = machine.host.elapsedMs() - since;
    const { status } = await running.outcome;
    expect(status?.status).toBe('error');
    expect(status?.message).toContain('Enable failed: ended by the test\n[stdout]\nbegun\n');
    // The shell may tell on stderr that its `sleep` was ended.
    expect(status?.message.endsWith(`\n${NO_TIME}`)).toBe(true);
    expect(took).toBeGreaterThanOrEqual(REST_INTERRUPTED_MS);
  });
});

describe('the blob', () => {
  const PROBLEM = `the blob of 'outputBlobUri' on hkaccount.blob.core.windows.net does not hold the whole output: `;
  const apply = async (permissions?: string): Promise<string> => {
    const { status } = await start('echo new', { outputBlobUri: await sas(permissions) }).outcome;
    expect(status?.status).toBe('success');
    expect(status?.message).not.toContain('sig=');
    return status?.message ?? '';
  };

  it('that is there already is replaced', async () => {
    await client().create();
    await client().appendBlock(Buffer.from('what an earlier run left'), 24);
    expect(await apply()).not.toContain(PROBLEM);
    expect(await content()).toBe('new\n');
  });

  it.each([
    ['r', 'nothing'],
    ['c', 'making it only'],
    ['a', 'appending only'],
  ])('whose SAS allows %s (%s) is told with what is missing', async (permissions) => {
    const message = await apply(permissions);
    expect(message).toContain(
      `${PROBLEM}the service answered 403 (AuthorizationPermissionMismatch); check that`,
    );
    expect(message).toContain('allows to create, write and append');
  });

  it('in a container that is not there is told', async () => {
    const url = new URL(await sas());
    url.pathname = '/none/out.txt';
    const container = azurite.service.getContainerClient('none').getAppendBlobClient('out.txt');
    const outputBlobUri = await container.generateSasUrl({
      permissions: BlobSASPermissions.parse('acw'),
      expiresOn: new Date(Date.now() + 600_000),
    });
    const { status } = await start('echo new', { outputBlobUri }).outcome;
    expect(status?.message).toContain(
      `${PROBLEM}the service answered 404 (ContainerNotFound); check that the container exists`,
    );
  });

  it.each([
    ['InvalidBlobType', 'check that no blob of another type has this name'],
    ['BlockCountExceedsLimit', 'an append blob takes 50,000 blocks, and the output has more'],
  ])('that the service refuses with 409 (%s) is told, and the run goes on', async (code, advice) => {
    // Azurite replaces blobs of other types, and knows no limit of blocks.
    const body = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>m</Message></Error>`;
    const headers = { 'x-ms-error-code': code, 'content-type': 'application/xml' };
    const isRefused = (input: Parameters<Fetch>[0]): boolean =>
      isAppend(input) === (code !== 'InvalidBlobType');
    between = async (send, ...input) =>
      isRefused(input[0]) ? new Response(body, { status: 409, headers }) : send(...input);
    expect(await apply()).toContain(`${PROBLEM}the service answered 409 (${code}); ${advice}`);
  });
});

it.each([
  [403, 'UnauthorizedBlobOverwrite', 'allows to create, write and append'],
  [500, 'InternalError', 'check the blob'],
])('an answer %i (%s) says what to do', (statusCode, code, advice) => {
  const problem = describeStorageProblem(Object.assign(new Error('secret?sig=x'), { statusCode, code }));
  expect(problem).toContain(`the service answered ${statusCode} (${code}); `);
  expect(problem).toContain(advice);
  expect(problem).not.toContain('sig');
});

it('a link or a pipe in the place of the output is not copied, and the run ends', async () => {
  const secret = join(mkdtempSync(join(tmpdir(), 'custom-script-secret-')), 'secret');
  writeFileSync(secret, 'of root alone');
  try {
    const [outputBlobUri, errorBlobUri] = [await sas(), (await sas()).replace(name, `err-${name}`)];
    const command = `ln -sf ${secret} stdout; rm stderr; mkfifo stderr`;
    const { status } = await start(command, { outputBlobUri, errorBlobUri }).outcome;
    expect(status?.message).toContain('is not what the command was given for its output');
    expect(status?.message).not.toContain('of root alone');
    expect(await content()).not.toContain('of root alone');
  } finally {
    rmSync(dirname(secret), { recursive: true });
  }
});

it('one blob that cannot be written does not keep the other from its output', async () => {
  const [outputBlobUri, errorBlobUri] = [await sas(), (await sas()).replace(name, `err-${name}`)];
  const { status } = await start('echo out; echo err >&2', { outputBlobUri, errorBlobUri }).outcome;
  expect(status?.message).toContain("[errorBlobUri]\nthe blob of 'errorBlobUri'");
  expect(status?.message).not.toContain('[outputBlobUri]');
  expect(await content()).toBe('out\n');
});
