import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { formatSettings } from './contract/settings.ts';
import { formatStatus } from './contract/status.ts';
import { HandlerError } from './errors.ts';
import { defineHandler } from './handler.ts';
import { progressStatus } from './status-messages.ts';
import type { TestMachine } from './testing/machine.ts';
import { createTestMachine } from './testing/machine.ts';

let machine: TestMachine;
let runs: number;
const counting = defineHandler({
  enable: async () => {
    runs++;
    return { message: `run ${runs}` };
  },
});

beforeEach(() => {
  machine = createTestMachine();
  runs = 0;
});
afterEach(() => machine.remove());

const settingsPath = (sequence: number): string => `${machine.handlerFolder()}/config/${sequence}.settings`;

describe('enable', () => {
  it('runs the author’s code once, and ends with exactly one final status', async () => {
    const outcome = await machine.enable(counting, { public: { a: 1 } });
    expect(outcome).toMatchObject({
      exitCode: 0,
      stderr: '',
      status: { operation: 'Enable', status: 'success', code: 0, message: 'Enable succeeded: run 1' },
    });
    expect(machine.readSequence()).toBe('0');
  });

  it('reports transitioning before the author’s code runs, and what the author says while it does', async () => {
    const seen: (string | undefined)[] = [];
    const handler = defineHandler({
      enable: async ({ status }) => {
        seen.push(machine.readStatus(0)?.message);
        await status.transitioning('Installing');
        seen.push(machine.readStatus(0)?.message);
      },
    });
    const { status } = await machine.enable(handler);
    expect(seen).toEqual(['Enable in progress', 'Enable in progress: Installing']);
    expect(status?.message).toBe('Enable succeeded');
  });

  it('takes sequence 0 for a number like any other, and does not repeat it', async () => {
    await machine.enable(counting);
    const again = await machine.run(counting, 'enable');
    expect(again).toMatchObject({ exitCode: 0, status: { message: 'Enable succeeded: run 1' } });
    expect(runs).toBe(1);
  });

  it('runs again for a newer sequence, and leaves an older one alone', async () => {
    await machine.enable(counting, {}, { sequence: 3 });
    await machine.enable(counting, {}, { sequence: 4 });
    expect(runs).toBe(2);
    const older = await machine.run(counting, 'enable', { sequence: 3 });
    expect(older).toMatchObject({ exitCode: 0, status: { message: 'Enable succeeded: run 1' } });
    expect(runs).toBe(2);
  });

  it('says so when an older sequence arrives that has no result, rather than to stay silent', async () => {
    await machine.enable(counting, {}, { sequence: 4 });
    const { status, exitCode } = await machine.run(counting, 'enable', { sequence: 2 });
    expect(exitCode).toBe(0);
    expect(status?.status).toBe('error');
    expect(status?.message).toContain('older than 4');
  });

  it('keeps a finished error, and does not run again after a failure', async () => {
    const failing = defineHandler({
      enable: async () => {
        runs++;
        throw new HandlerError('HANDLER_FAILED', 'no such package', { statusCode: 7 });
      },
    });
    const first = await machine.enable(failing);
    expect(first).toMatchObject({
      exitCode: 1,
      status: {
        status: 'error',
        code: 7,
        message: 'Enable failed: no such package',
        substatus: [{ name: 'ErrorClarification', status: 'error', code: 7 }],
      },
    });
    const second = await machine.run(failing, 'enable');
    expect(second).toMatchObject({ exitCode: 0, status: { message: 'Enable failed: no such package' } });
    expect(runs).toBe(1);
  });

  it('shows the parts of an error behind its code, without secrets, and keeps them for the same number', async () => {
    const parts = [
      { name: 'disk', status: 'success', code: 0, message: 'made' },
      { name: 'user', status: 'error', code: 9, message: 'the password open-sesame-7 is too old' },
    ] as const;
    const failing = defineHandler({
      enable: async () => {
        throw new HandlerError('NO_USER', 'no user', { statusCode: 9, exitCode: 4, substatus: parts });
      },
    });
    const { exitCode, status } = await machine.enable(failing, { protected: { key: 'open-sesame-7' } });
    expect([exitCode, status?.code]).toEqual([4, 9]);
    const shown = [
      { name: 'ErrorClarification', status: 'error', code: 9, message: 'NO_USER' },
      parts[0],
      { ...parts[1], message: 'the password [hidden] is too old' },
    ];
    expect(status?.substatus).toEqual(shown);
    rmSync(machine.path(join(machine.handlerFolder(), 'status/0.status')));
    expect((await machine.run(failing, 'enable')).status?.substatus).toEqual(shown);
  });

  it('keeps the code of an error that has more parts than a status can show', async () => {
    const part = { name: 'part', status: 'error', code: 1, message: 'x'.repeat(2000) } as const;
    const failing = defineHandler({
      enable: async () => {
        throw new HandlerError('MANY', 'many', { statusCode: 9, substatus: Array(500).fill(part) });
      },
    });
    const { status } = await machine.enable(failing);
    expect(status?.substatus[0]).toMatchObject({ name: 'ErrorClarification', code: 9, message: 'MANY' });
    expect(status?.substatus.length).toBeGreaterThan(10);
    const file = machine.path(join(machine.handlerFolder(), 'status/0.status'));
    expect(statSync(file).size).toBeLessThan(64 * 1024);
  });

  it('shows the parts that the author’s code tells of its own interruption', async () => {
    const stop = new AbortController();
    const reason = new HandlerError('INTERRUPTED', 'ended by SIGTERM');
    const undone = { name: 'user', status: 'warning', code: 0, message: 'taken back' } as const;
    const handler = defineHandler({
      enable: async ({ signal }) => {
        stop.abort(reason);
        const { code, message, statusCode } = signal.reason as HandlerError;
        throw new HandlerError(code, message, { statusCode, substatus: [undone] });
      },
    });
    const { status } = await machine.enable(handler, {}, { signal: stop.signal });
    expect(status).toMatchObject({ status: 'error', code: 3, message: 'Enable failed: ended by SIGTERM' });
    expect(status?.substatus.slice(1)).toEqual([undone]);
  });

  it('never shows a stack, whatever the author throws', async () => {
    const throwing: [unknown, string][] = [
      [new TypeError('x is not a function'), 'Enable failed: x is not a function'],
      ['just text', 'Enable failed: just text'],
      [undefined, 'Enable failed: undefined'],
    ];
    for (const [index, [thrown, message]] of throwing.entries()) {
      const handler = defineHandler({ enable: async () => Promise.reject(thrown) });
      const { status, stderr } = await machine.enable(handler, {}, { sequence: index });
      expect(status?.message).toBe(message);
      expect(`${status?.message}${stderr}`).not.toMatch(/\n\s+at /);
    }
  });

  it('restores a finished status that was lost, or that a launcher’s placeholder stands in for', async () => {
    await machine.enable(counting);
    const file = machine.path(`${machine.handlerFolder()}/status/0.status`);
    const finished = readFileSync(file, 'utf8');
    for (const damage of ['', finished.replace('"success"', '"transitioning"')]) {
      if (damage === '') rmSync(file);
      else writeFileSync(file, damage);
      await machine.run(counting, 'enable');
      expect(machine.readStatus(0)?.message).toBe('Enable succeeded: run 1');
    }
    expect(runs).toBe(1);
  });

  it.each([
    ['7\n', 'a newline'],
    [' 7 ', 'white space'],
  ])('reads mrseq with %j (%s)', async (text) => {
    writeFileSync(machine.path(`${machine.handlerFolder()}/mrseq`), text);
    await machine.enable(counting, {}, { sequence: 7 });
    expect(runs).toBe(0);
    await machine.enable(counting, {}, { sequence: 8 });
    expect(runs).toBe(1);
  });

  it('runs when mrseq holds no number: a foreign file must not stop it for ever', async () => {
    writeFileSync(machine.path(`${machine.handlerFolder()}/mrseq`), 'garbage');
    await machine.enable(counting);
    expect(runs).toBe(1);
    expect(machine.readSequence()).toBe('0');
  });

  it('ignores the journal of an earlier life, of which mrseq was removed', async () => {
    await machine.enable(counting);
    rmSync(machine.path(`${machine.handlerFolder()}/mrseq`));
    await machine.run(counting, 'enable');
    expect(runs).toBe(2);
  });

  it('takes the settings written last when the agent gives no number', async () => {
    machine.writeSettings(2, {});
    await machine.run(counting, 'enable', { sequence: 2, env: { ConfigSequenceNumber: undefined } });
    expect(machine.readStatus(2)?.status).toBe('success');
  });

  it('fails clearly, without a status, when there is no number at all', async () => {
    const { exitCode, stderr } = await machine.run(counting, 'enable', {
      env: { ConfigSequenceNumber: undefined },
    });
    expect(exitCode).toBe(53);
    expect(stderr).toContain('SEQUENCE_UNKNOWN');
    expect(readdirSync(machine.path(`${machine.handlerFolder()}/status`))).toEqual([]);
  });

  it('leaves an error where the agent looks when it cannot even begin, instead of a placeholder for ever', async () => {
    writeFileSync(machine.path(`${machine.handlerFolder()}/HandlerEnvironment.json`), '[{]');
    const { exitCode, status, stderr } = await machine.enable(counting);
    expect([exitCode, status?.status, runs]).toEqual([53, 'error', 0]);
    expect(status?.message).toContain('HandlerEnvironment.json: is not valid JSON');
    expect(stderr).toContain('ENVIRONMENT_INVALID');
    const blocked = createTestMachine({
      extension: { publisher: 'A.B', type: 'C', version: '1.0.0', dataFolder: 'taken' },
    });
    try {
      writeFileSync(blocked.path('/var/lib/waagent/taken'), '');
      const outcome = await blocked.enable(counting);
      expect([outcome.exitCode, outcome.status?.status, runs]).toEqual([1, 'error', 0]);
    } finally {
      blocked.remove();
    }
  });

  it('empties the settings of older sequences after the run, and keeps the present ones', async () => {
    await machine.enable(counting, { protected: { password: 'old-secret' } }, { sequence: 1 });
    await machine.enable(counting, { protected: { password: 'new-secret' } }, { sequence: 2 });
    expect(readFileSync(machine.path(settingsPath(1)), 'utf8')).toBe('');
    expect(readFileSync(machine.path(settingsPath(2)), 'utf8')).not.toBe('');
  });

  it('writes state and status with mode 0600, and the data folder with 0700', async () => {
    await machine.enable(counting);
    for (const name of ['mrseq', 'journal.json', 'status/0.status']) {
      expect(statSync(machine.path(`${machine.handlerFolder()}/${name}`)).mode & 0o777, name).toBe(0o600);
    }
    const data = machine.path('/var/lib/waagent/Contoso.Samples.Greeter.data');
    expect(statSync(data).mode & 0o777).toBe(0o700);
  });

  it('leaves no temporary file and no lock behind', async () => {
    await machine.enable(counting);
    const left = readdirSync(machine.root, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /\.tmp$|\.lock$/.test(name),
    );
    expect(left).toEqual([]);
  });
});

describe('settings', () => {
  const seen: unknown[] = [];
  const keeping = defineHandler({
    enable: async ({ settings }) => {
      seen.push(settings);
    },
  });
  beforeEach(() => {
    seen.length = 0;
  });

  it.each([
    ['', 'a zero-byte file'],
    [formatSettings({ publicSettings: null, protectedSettings: null, thumbprint: null }), 'three nulls'],
    [
      `\uFEFF${formatSettings({ publicSettings: {}, protectedSettings: null, thumbprint: null })}`,
      'a byte order mark',
    ],
  ])('%j is no settings (%s)', async (text) => {
    machine.writeSettingsText(0, text);
    const { exitCode, status } = await machine.run(keeping, 'enable');
    expect([exitCode, status?.status]).toEqual([0, 'success']);
    expect(seen).toEqual([{ public: {}, protected: {} }]);
  });

  it('decrypts the protected half', async () => {
    await machine.enable(keeping, { public: { a: 1 }, protected: { b: 'zwölf' } });
    expect(seen).toEqual([{ public: { a: 1 }, protected: { b: 'zwölf' } }]);
  });

  it('gives one final error status, which names the file, for settings cut off at any byte', async () => {
    machine.writeSettings(0, { public: { name: 'value' }, protected: { b: 'secret-value' } });
    const whole = readFileSync(machine.path(settingsPath(0)), 'utf8');
    const step = Math.ceil(whole.length / 60);
    for (let length = 1; length < whole.length; length += length < 120 ? 1 : step) {
      machine.writeSettingsText(length, whole.slice(0, length));
      const { exitCode, status, stderr } = await machine.run(keeping, 'enable', { sequence: length });
      expect([exitCode, status?.status]).toEqual([53, 'error']);
      expect(stderr).toBe(
        `Enable failed: SETTINGS_UNREADABLE: ${status?.message.slice('Enable failed: '.length)}\n`,
      );
      expect(status?.message).toMatch(
        new RegExp(`^Enable failed: /.*/config/${length}\\.settings: is not valid JSON`),
      );
    }
    expect(seen).toEqual([]);
  });

  it.each([
    ['{}', 'runtimeSettings is missing'],
    ['[]', 'must be an object, but is an array'],
    ['{"runtimeSettings":{}}', 'runtimeSettings must be an array, but is an object'],
    ['{"runtimeSettings":[]}', 'runtimeSettings must have exactly one element, but has 0'],
    ['{"runtimeSettings":[{"handlerSettings":7}]}', 'handlerSettings must be an object, but is a number'],
    ['{"runtimeSettings":[{"handlerSettings":{"publicSettings":"x"}}]}', 'publicSettings must be an object'],
    [
      '{"runtimeSettings":[{"handlerSettings":{"protectedSettings":5}}]}',
      'protectedSettings must be a string',
    ],
    [
      '{"runtimeSettings":[{"handlerSettings":{"protectedSettings":"eA=="}}]}',
      'protectedSettingsCertThumbprint is missing',
    ],
    [
      '{"runtimeSettings":[{"handlerSettings":{"protectedSettings":"eA==","protectedSettingsCertThumbprint":"../../x"}}]}',
      '40',
    ],
  ])('%s ends as an error that says: %s', async (text, problem) => {
    machine.writeSettingsText(0, text);
    const { exitCode, status } = await machine.run(keeping, 'enable');
    expect([exitCode, status?.status]).toEqual([53, 'error']);
    expect(status?.message).toContain('0.settings');
    expect(status?.message).toContain(problem);
    expect(status?.message).not.toContain('../../x');
  });

  it('names the file that is missing when the certificate is not there, and heals when it comes', async () => {
    const key = machine.path(`/var/lib/waagent/${machine.certificate.thumbprint}.prv`);
    const text = readFileSync(key, 'utf8');
    rmSync(key);
    const missing = await machine.enable(keeping, { protected: { b: 'secret-value' } });
    expect([missing.exitCode, missing.status?.code]).toEqual([53, -20]);
    expect(missing.status?.message).toContain(`${machine.certificate.thumbprint}.prv is missing`);
    writeFileSync(key, text);
    const healed = await machine.run(keeping, 'enable');
    expect([healed.exitCode, healed.status?.status]).toEqual([0, 'success']);
  });

  it('says the same of a wrong key as of a damaged envelope, and shows no value', async () => {
    machine.writeSettings(0, { protected: { b: 'secret-value' } });
    const good = readFileSync(machine.path(settingsPath(0)), 'utf8');
    const damaged = good.replace(/("protectedSettings": ?")(.{200})./, '$1$2A');
    machine.writeSettingsText(1, damaged);
    const other = createTestMachine();
    try {
      const key = `/var/lib/waagent/${machine.certificate.thumbprint}.prv`;
      const { generateKeyPairSync } = await import('node:crypto');
      const { privateKey } = generateKeyPairSync('rsa', {
        modulusLength: 2048,
        publicKeyEncoding: { type: 'spki', format: 'pem' },
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      });
      const first = await machine.run(keeping, 'enable', { sequence: 1 });
      writeFileSync(machine.path(key), privateKey);
      machine.writeSettingsText(2, good);
      const second = await machine.run(keeping, 'enable', { sequence: 2 });
      expect(first.status?.message).toBe(second.status?.message);
      expect(first.status?.message).toContain(machine.certificate.thumbprint);
      expect(first.status?.message).not.toContain('secret');
    } finally {
      other.remove();
    }
  });

  it('lists every problem with its path when the schema refuses the settings', async () => {
    const strict = defineHandler({
      settings: {
        public: z.object({ name: z.string(), list: z.array(z.number()) }),
        protected: z.object({ key: z.string() }),
      },
      enable: async () => {
        runs++;
      },
    });
    const { exitCode, status } = await machine.enable(strict, {
      public: { name: 4, list: [1, 'x'] },
      protected: {},
    });
    expect([exitCode, status?.code, runs]).toEqual([53, 10, 0]);
    for (const path of ['publicSettings.name', 'publicSettings.list[1]', 'protectedSettings.key']) {
      expect(status?.message).toContain(`${path}: `);
    }
    const again = await machine.run(strict, 'enable');
    expect(again.exitCode).toBe(0);
  });
});

describe('secrets', () => {
  it('hides protected strings and URL queries in status, log and stderr', async () => {
    const secret = 'S3cret p@ss\'wörd"';
    const handler = defineHandler({
      enable: async ({ log, status, redact }) => {
        log.info(`with ${secret}`, { secret, url: 'https://x.example/a?sig=abc' });
        await status.transitioning(`using ${secret}`);
        expect(machine.readStatus(0)?.message).not.toContain(secret);
        expect(redact(`x ${encodeURIComponent(secret)} y`)).toBe('x [hidden] y');
        throw new Error(
          `${secret} ${Buffer.from(secret).toString('base64')} https://u:p@x.example/a?sig=abc#f`,
        );
      },
    });
    const { status, stderr } = await machine.enable(handler, { protected: { deep: [{ secret }] } });
    const all = `${JSON.stringify(status)}${stderr}${machine.readLog()}`;
    expect(all).toContain('[hidden]');
    for (const form of [
      secret,
      JSON.stringify(secret).slice(1, -1),
      Buffer.from(secret).toString('base64'),
      'sig=abc',
      'u:p@',
    ]) {
      expect(all).not.toContain(form);
    }
  });

  it('keeps a program’s output out of log and telemetry: only the first line of an error goes there', async () => {
    const handler = defineHandler({
      enable: async () =>
        Promise.reject(new HandlerError('COMMAND_FAILED', 'exit status=1\n[stdout]\nprivate output')),
    });
    const { status } = await machine.enable(handler);
    expect(status?.message).toContain('private output');
    const events = machine.path(`/var/log/azure/${machine.handlerName}/events`);
    const sent = readdirSync(events)
      .map((name) => readFileSync(join(events, name), 'utf8'))
      .join('');
    expect(sent).toContain('COMMAND_FAILED: exit status=1');
    expect(sent + machine.readLog()).not.toContain('private output');
  });
});

describe('limits', () => {
  it('ends enable at its time limit, with what the author says of it', async () => {
    const slow = createTestMachine({
      extension: {
        publisher: 'A.B',
        type: 'C',
        version: '1.0.0',
        enable: { detached: true, timeoutMinutes: 5 },
      },
    });
    try {
      const handler = defineHandler({
        enable: ({ signal }) =>
          new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      });
      const enabling = slow.enable(handler);
      await until(() => slow.readSequence() === '0');
      await slow.advance(5 * 60_000);
      const { exitCode, status } = await enabling;
      expect(exitCode).toBe(1);
      expect(status).toMatchObject({
        status: 'error',
        code: 4,
        message: 'Enable failed: the time limit of 5 minutes was reached',
      });
    } finally {
      slow.remove();
    }
  });

  it('reports even when the author’s code ignores its signal', async () => {
    const stop = new AbortController();
    const handler = defineHandler({ enable: () => new Promise<void>(() => undefined) });
    const enabling = machine.enable(handler, {}, { signal: stop.signal });
    await until(() => machine.readSequence() === '0');
    stop.abort(new HandlerError('INTERRUPTED', 'the run was ended by SIGTERM before it finished'));
    await new Promise((resolve) => setImmediate(resolve));
    await machine.advance(10_000);
    const { exitCode, status } = await enabling;
    expect([exitCode, status?.code]).toEqual([1, 3]);
    expect(status?.message).toContain('SIGTERM');
  });

  it('leaves the agent time to hear of it when enable is not detached', async () => {
    const handler = defineHandler({
      enable: ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    });
    const enabling = machine.enable(handler);
    await until(() => machine.readSequence() === '0');
    await machine.advance(280_000);
    expect((await enabling).status?.message).toBe('Enable failed: the time limit of 280 seconds was reached');
  });
});

describe('a run that died', () => {
  const journal = (): string => machine.path(`${machine.handlerFolder()}/journal.json`);
  const died = (change: Record<string, unknown>): void => {
    const value = { format: 1, sequence: 5, state: 'running', version: '1.0.0', children: [], status: null };
    writeFileSync(journal(), JSON.stringify({ ...value, ...change }));
  };
  const bootId = '11111111-2222-4333-8444-555555555555';

  it.each([
    [{ pid: 4_000_000, startTicks: 1, bootId }, 'its process was killed'],
    [{ pid: process.pid, startTicks: 1, bootId }, 'its process was killed'],
    [{ pid: process.pid, startTicks: 1, bootId: 'another' }, 'the machine was restarted'],
  ])('is told from one that lives by %j', async (identity, cause) => {
    died({ process: identity });
    writeFileSync(machine.path(`${machine.handlerFolder()}/mrseq`), '5');
    const { exitCode, status } = await machine.enable(counting, {}, { sequence: 5 });
    expect([exitCode, status?.status, status?.code, runs]).toEqual([1, 'error', 3, 0]);
    expect(status?.message).toContain(`interrupted: ${cause}`);
    const next = await machine.run(counting, 'enable', { sequence: 5 });
    expect([next.exitCode, next.status?.code]).toEqual([0, 3]);
  });

  it('is settled when a newer sequence comes, which runs', async () => {
    died({ process: { pid: 4_000_000, startTicks: 1, bootId } });
    writeFileSync(machine.path(`${machine.handlerFolder()}/mrseq`), '5');
    await machine.enable(counting, {}, { sequence: 6 });
    expect(machine.readStatus(5)?.message).toContain('interrupted');
    expect(machine.readStatus(6)?.status).toBe('success');
  });

  it('between its result and its status has that status when a newer sequence runs', async () => {
    const { status } = await machine.enable(counting, {}, { sequence: 5 });
    if (status === undefined) throw new Error('no status');
    const statusFile = machine.path(`${machine.handlerFolder()}/status/5.status`);
    writeFileSync(statusFile, formatStatus(progressStatus('enable', 'nearly done', [], new Date())));
    await machine.enable(counting, {}, { sequence: 6 });
    expect(machine.readStatus(5)).toEqual(status);
    rmSync(statusFile);
    await machine.enable(counting, {}, { sequence: 7 });
    expect(machine.readStatus(5)).toBeUndefined();
  });

  it('before its first line is told as such when a newer sequence runs, and no other status is touched', async () => {
    const statusFile = (sequence: number): string =>
      machine.path(`${machine.handlerFolder()}/status/${sequence}.status`);
    await machine.enable(counting, {}, { sequence: 4 });
    const placeholder = formatStatus(progressStatus('enable', '', [], new Date()));
    for (const sequence of [3, 5, 7]) writeFileSync(statusFile(sequence), placeholder);
    const claim = machine.path(`${machine.handlerFolder()}/.start.4000000.tmp`);
    for (const left of [claim, `${statusFile(5)}.4000000.tmp`]) writeFileSync(left, '[');
    await machine.enable(counting, {}, { sequence: 6 });
    expect(machine.readStatus(5)?.message).toBe(
      'Enable failed: newer settings arrived before this run had begun',
    );
    expect([3, 6, 7].map((sequence) => machine.readStatus(sequence)?.status)).toEqual([
      'transitioning',
      'success',
      'transitioning',
    ]);
    expect([claim, `${statusFile(5)}.4000000.tmp`].filter((left) => existsSync(left))).toEqual([]);
  });

  it('begins again when the author’s code had not begun', async () => {
    died({ process: { pid: 4_000_000, startTicks: 1, bootId } });
    const { status } = await machine.enable(counting, {}, { sequence: 5 });
    expect([status?.status, runs]).toEqual(['success', 1]);
  });

  it('runs again where the author allows it', async () => {
    const again = createTestMachine({
      extension: { publisher: 'A.B', type: 'C', version: '1.0.0', enable: { onInterrupted: 'rerun' } },
    });
    try {
      writeFileSync(again.path(`${again.handlerFolder()}/mrseq`), '0');
      writeFileSync(
        again.path(`${again.handlerFolder()}/journal.json`),
        JSON.stringify({
          sequence: 0,
          state: 'running',
          version: '1.0.0',
          process: { pid: 4_000_000, startTicks: 1, bootId },
        }),
      );
      const { status } = await again.enable(counting);
      expect([status?.status, runs]).toEqual(['success', 1]);
    } finally {
      again.remove();
    }
  });

  it('is not disturbed by an older sequence, which is told that it is too late', async () => {
    const inside: unknown[] = [];
    const handler = defineHandler({
      enable: async () => {
        runs++;
        inside.push(await machine.run(handler, 'enable', { sequence: 3 }));
      },
    });
    await machine.enable(handler, {}, { sequence: 4 });
    expect(inside).toMatchObject([{ exitCode: 0, status: { status: 'error' } }]);
    expect([runs, machine.readStatus(4)?.status]).toEqual([1, 'success']);
  });

  it('is left alone while it lives', async () => {
    const inside: unknown[] = [];
    const handler = defineHandler({
      enable: async () => {
        runs++;
        if (runs === 1) inside.push(await machine.run(handler, 'enable'));
      },
    });
    await machine.enable(handler);
    expect(inside).toMatchObject([{ exitCode: 0, status: { status: 'transitioning' } }]);
    expect(runs).toBe(1);
  });
});

describe('install, update, disable, uninstall', () => {
  const data = '/var/lib/waagent/Contoso.Samples.Greeter.data';
  const updateTo = (
    version: string,
    env: Record<string, string>,
    runs_ = '2.0.0',
  ): ReturnType<TestMachine['run']> =>
    machine.run(counting, 'update', { sequence: 0, version: runs_, env: { VERSION: version, ...env } });

  it('write no status', async () => {
    machine.addVersion('2.0.0');
    await machine.run(counting, 'install');
    await machine.run(counting, 'disable');
    await updateTo('2.0.0', { AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0' });
    await machine.run(counting, 'uninstall');
    expect(readdirSync(machine.path(`${machine.handlerFolder()}/status`))).toEqual([]);
  });

  it('exit non-zero with a message on stderr when the author’s code fails', async () => {
    const failing = defineHandler({
      enable: async () => undefined,
      install: async () =>
        Promise.reject(new HandlerError('DEPENDENCY_MISSING', 'python3 is missing; install it')),
    });
    const { exitCode, stderr } = await machine.run(failing, 'install');
    expect(exitCode).toBe(52);
    expect(stderr).toBe('Install failed: DEPENDENCY_MISSING: python3 is missing; install it\n');
  });

  it('an update whose state cannot be carried over says that it was not the author’s code, and what to do', async () => {
    await machine.enable(counting);
    machine.addVersion('2.0.0');
    rmSync(machine.path(`${machine.handlerFolder()}/mrseq`));
    mkdirSync(machine.path(`${machine.handlerFolder()}/mrseq`));
    const { exitCode, stderr } = await updateTo('2.0.0', {
      AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0',
    });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(
      /^Update failed: STATE_UNUSABLE: the handler's state: \S+\/mrseq is a folder, .+; make room or repair/,
    );
    expect(runs).toBe(1);
  });

  it('an update carries journal and data over, and nothing runs again', async () => {
    await machine.run(counting, 'install');
    await machine.enable(counting);
    writeFileSync(machine.path(join(data, 'precious')), 'x');
    machine.addVersion('2.0.0');
    await updateTo('2.0.0', { AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0' });
    expect((await machine.run(counting, 'uninstall', { version: '1.0.0' })).exitCode).toBe(0);
    expect(existsSync(machine.path(join(data, 'precious')))).toBe(true);
    rmSync(machine.path(machine.handlerFolder('1.0.0')), { recursive: true });
    machine.writeSettings(0, {});
    await machine.run(counting, 'install', { version: '2.0.0' });
    const { exitCode, status } = await machine.run(counting, 'enable', { version: '2.0.0' });
    expect([exitCode, status?.message, runs]).toEqual([0, 'Enable succeeded: run 1', 1]);
  });

  it('a downgrade, in which the agent runs the old version’s update, does the same', async () => {
    machine.addVersion('2.0.0');
    machine.addVersion('1.0.0');
    await machine.run(counting, 'install', { version: '2.0.0' });
    machine.writeSettings(0, {});
    mkdirSync(machine.path(`${machine.handlerFolder('2.0.0')}/config`), { recursive: true });
    machine.writeSettingsText(0, '', '2.0.0');
    await machine.run(counting, 'enable', { version: '2.0.0' });
    await updateTo('1.0.0', { AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0' }, '2.0.0');
    await machine.run(counting, 'uninstall', { version: '2.0.0' });
    expect(existsSync(machine.path(data))).toBe(true);
    rmSync(machine.path(machine.handlerFolder('2.0.0')), { recursive: true });
    await machine.run(counting, 'enable', { version: '1.0.0' });
    expect(machine.readStatus(0, '1.0.0')?.message).toBe('Enable succeeded: run 1');
    expect(runs).toBe(1);
  });

  it('an update that fails gives the data back to the old version, whose uninstall removes them', async () => {
    await machine.run(counting, 'install');
    machine.addVersion('2.0.0');
    const failing = defineHandler({
      enable: async () => undefined,
      update: async () => Promise.reject(new Error('no')),
    });
    const { exitCode } = await machine.run(failing, 'update', {
      version: '2.0.0',
      env: { VERSION: '2.0.0', AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0' },
    });
    expect(exitCode).toBe(1);
    await machine.run(counting, 'uninstall', { version: '1.0.0' });
    expect(existsSync(machine.path(data))).toBe(false);
  });

  it('an update that the agent killed does not keep the data after the old version was deleted', async () => {
    await machine.run(counting, 'install');
    machine.addVersion('2.0.0');
    await updateTo('2.0.0', { AZURE_GUEST_AGENT_UPDATING_FROM_VERSION: '1.0.0' });
    writeFileSync(machine.path(`${machine.handlerFolder('2.0.0')}/config/HandlerState`), 'FailedUpgrade');
    await machine.run(counting, 'uninstall', { version: '1.0.0' });
    expect(existsSync(machine.path(data))).toBe(false);
  });

  it('uninstall removes the data, twice without complaint', async () => {
    await machine.run(counting, 'install');
    for (let i = 0; i < 2; i++) expect((await machine.run(counting, 'uninstall')).exitCode).toBe(0);
    expect(existsSync(machine.path(data))).toBe(false);
  });

  it('uninstall does not need settings that can be read', async () => {
    machine.writeSettingsText(0, '{broken');
    expect((await machine.run(counting, 'uninstall')).exitCode).toBe(0);
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
