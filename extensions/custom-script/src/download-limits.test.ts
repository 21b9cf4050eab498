import { createHash } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LIB_FOLDER } from '@handlerkit/sdk/contract';
import type { OperationOutcome, TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import extension from '../extension.json' with { type: 'json' };
import { handler } from './handler.ts';

let machine: TestMachine;
let server: Server;
let base: string;
let answer: RequestListener;
let requests = 0;

beforeEach(async () => {
  machine = createTestMachine({ extension });
  requests = 0;
  server = createServer((request, response) => {
    requests++;
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  vi.useRealTimers();
  machine.remove();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const enable = (fileUris: readonly unknown[]): Promise<OperationOutcome> =>
  machine.enable(handler, { public: { fileUris, commandToExecute: 'echo ran' } });
const files = (): readonly string[] => readdirSync(machine.path(`${LIB_FOLDER}/custom-script/download/0`));
async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await delay(5);
}

it('a body that stalls is given up within two minutes', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  // Each answer brings another number of bytes, so that the test sees which one is being written.
  answer = (_, response) =>
    void response.writeHead(200, { 'content-length': 10 }).write('x'.repeat(requests));
  const running = enable([`${base}/a`]);
  const folder = machine.path(`${LIB_FOLDER}/custom-script/download/0`);
  const written = (bytes: number): boolean =>
    existsSync(folder) && readdirSync(folder).some((name) => statSync(join(folder, name)).size === bytes);
  await until(() => written(1));
  await vi.advanceTimersByTimeAsync(55_000);
  await until(() => machine.readLog().includes('"attempt":2'));
  await machine.advance(3_000);
  await until(() => written(2));
  await vi.advanceTimersByTimeAsync(55_000);
  const { status } = await running;
  expect(status).toMatchObject({ status: 'error', code: 56 });
  expect(status?.message).toContain('http request timed out: 127.0.0.1');
  expect(requests).toBe(2);
  expect(files()).toEqual([]);
});

it('a server that takes connections but never answers is given up within two minutes', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  answer = () => undefined;
  const running = enable([`${base}/a`]);
  await until(() => requests === 1);
  await vi.advanceTimersByTimeAsync(50_000);
  await until(() => machine.readLog().includes('"attempt":2'));
  await machine.advance(3_000);
  await until(() => requests === 2);
  await vi.advanceTimersByTimeAsync(50_000);
  const { status } = await running;
  expect(status).toMatchObject({ status: 'error', code: 56 });
  expect(status?.message).toMatch(/http request timed out: 127\.0\.0\.1:\d+: no answer in time/);
  expect(requests).toBe(2);
  expect(files()).toEqual([]);
});

it('a server that answers after forty-five seconds is waited for', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  let release = (): void => undefined;
  answer = (_, response) => {
    release = () => void response.end('late');
  };
  const running = enable([`${base}/a`]);
  await until(() => requests === 1);
  await vi.advanceTimersByTimeAsync(45_000);
  release();
  const { status } = await running;
  expect(status?.status).toBe('success');
  expect(requests).toBe(1);
});

it('a refusal whose explanation never comes is the refusal, within a minute', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  answer = (_, response) => void response.writeHead(403, { 'content-length': 100 }).write('x');
  let outcome: OperationOutcome | undefined;
  const running = enable([`${base}/a`]).then((ended) => {
    outcome = ended;
  });
  await until(() => requests === 1);
  // Slowly, so that the headers, which take real time, are there long before their own limit.
  while (outcome === undefined) {
    await delay(5);
    await vi.advanceTimersByTimeAsync(100);
  }
  await running;
  expect(outcome.status).toMatchObject({ status: 'error', code: 54 });
  expect(outcome.status?.message).toContain('403 Forbidden');
  expect(requests).toBe(1);
});

// The clock of the machine stands still: a pause before another try would never end.
it.each<[string, number, RequestListener]>([
  ['403', 54, (_, response) => response.writeHead(403).end()],
  ['410', 54, (_, response) => response.writeHead(410).end()],
  ['206 that nobody asked for', 54, (_, response) => response.writeHead(206).end('part')],
  ['204', 54, (_, response) => response.writeHead(204).end()],
  ['a loop', -40, (request, response) => response.writeHead(302, { location: request.url }).end()],
  ['another scheme', -40, (_, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end()],
])('%s cannot heal and is an error at once, code %i', async (_, code, listener) => {
  answer = listener;
  const { status } = await enable([`${base}/a`]);
  expect(status).toMatchObject({ status: 'error', code });
  expect(files()).toEqual([]);
});

it('a file that the disk cannot hold is an error before its first byte is written', async () => {
  answer = (_, response) => void response.writeHead(200, { 'content-length': 9e14 }).write('x');
  const { status } = await enable([`${base}/a`]);
  expect(status).toMatchObject({ status: 'error', code: -40 });
  expect(status?.message).toMatch(
    /not enough free space .* it needs 900000000000000 bytes, and its disk has \d+;/,
  );
  expect(files()).toEqual([]);
});

it.each([408, 429, 500, 502, 503, 504])('%i heals', async (code) => {
  answer = (_, response) => response.writeHead(requests === 1 ? code : 200).end('whole');
  const running = enable([`${base}/a`]);
  await until(() => requests === 1);
  await until(() => machine.readLog().includes('"attempt":2'));
  await machine.advance(3_000);
  expect((await running).status?.message).toContain('ran');
});

it('a file that is not the one that was asked for is an error at once, is not there, and nothing runs', async () => {
  answer = (_, response) => response.end('other');
  const sha256 = createHash('sha256').update('wanted').digest('hex');
  const { status, exitCode } = await enable([{ uri: `${base}/a?sig=canary`, sha256 }]);
  expect([status?.status, status?.code, exitCode]).toEqual(['error', 57, 1]);
  expect(status?.message).toContain('does not have the SHA-256 that was asked for');
  expect(status?.message).not.toContain('canary');
  expect(files()).toEqual([]);
  expect(machine.commands).toEqual([]);
});

it('a file with the right checksum is taken, as it came from the server', async () => {
  answer = (_, response) => response.end('echo a\r\n');
  const sha256 = createHash('sha256').update('echo a\r\n').digest('hex').toUpperCase();
  expect((await enable([{ uri: `${base}/a.sh`, sha256 }])).status?.message).toContain('ran');
  expect(files()).toContain('a.sh');
});
