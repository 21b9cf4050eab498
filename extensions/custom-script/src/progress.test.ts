import { appendFileSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HandlerError } from '@handlerkit/sdk';
import { LIB_FOLDER } from '@handlerkit/sdk/contract';
import type { TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import extension from '../extension.json' with { type: 'json' };
import { handler } from './handler.ts';
import { PROGRESS_INTERVAL_MS } from './progress.ts';

let machine: TestMachine;
beforeEach(() => {
  machine = createTestMachine({ extension });
});
afterEach(() => machine.remove());

const inRun = (name: string): string => machine.path(join(LIB_FOLDER, 'custom-script/download/0', name));
const message = (): string => machine.readStatus(0)?.message ?? '';
async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await delay(5);
}
/** Moves the clock, and waits for what that brings about. */
async function passes(ms: number, shown: string): Promise<void> {
  await machine.advance(ms);
  await until(() => message().includes(shown));
}

it('while a command runs, the status shows elapsed time and last whole lines every 15 seconds, without secrets', async () => {
  const stop = new AbortController();
  const canary = 'canary-token-5';
  const running = machine.enable(
    handler,
    {
      protected: {
        commandToExecute: `echo ${canary}; echo problem >&2; sleep 60`,
        environment: { T: canary },
      },
    },
    { signal: stop.signal },
  );
  await until(() => existsSync(inRun('stderr')) && statSync(inRun('stderr')).size > 0);
  expect(message()).toBe('Enable in progress: running the command');
  await machine.advance(PROGRESS_INTERVAL_MS - 1);
  expect(message()).toBe('Enable in progress: running the command');
  await passes(1, '15 seconds');
  expect(message()).toBe(
    'Enable in progress: running the command, 15 seconds so far\n[stdout]\n[hidden]\n[stderr]\nproblem',
  );
  appendFileSync(inRun('stdout'), 'second\nhalf of a li');
  await passes(PROGRESS_INTERVAL_MS, '30 seconds');
  expect(message()).toContain('[stdout]\n[hidden]\nsecond\n[stderr]\nproblem');
  stop.abort(new HandlerError('INTERRUPTED', 'ended by the test'));
  const { status } = await running;
  expect(status?.message).toContain('Enable failed: ended by the test');
  await machine.advance(10 * PROGRESS_INTERVAL_MS);
  expect(message()).toBe(status?.message);
});

it('while files are downloaded, the status names those that are open and how far they are', async () => {
  const held: ServerResponse[] = [];
  const server = createServer((request, response) => {
    if (request.url === '/a') {
      response.end('whole');
      return;
    }
    response.writeHead(200, { 'content-length': 10 }).write('123456');
    held.push(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const running = machine.enable(handler, {
      public: { fileUris: [`${base}/a`, `${base}/b`], commandToExecute: 'cat a b' },
    });
    await until(() => held.length === 1 && existsSync(inRun('a')));
    const parts = () => readdirSync(inRun('.')).filter((name) => name.endsWith('.part'));
    await until(() => parts().some((name) => statSync(inRun(name)).size === 6));
    // The write is done; the download hears of it in one of the next turns.
    await delay(50);
    await passes(PROGRESS_INTERVAL_MS, '15 seconds');
    expect(message()).toBe(
      'Enable in progress: downloading 2 files: 1 complete, 15 seconds so far\nb: 6 of 10 bytes',
    );
    held[0]?.end('7890');
    expect((await running).status?.message).toContain('whole1234567890');
    expect(readFileSync(inRun('b'), 'utf8')).toBe('1234567890');
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
