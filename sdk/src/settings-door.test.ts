import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { parseAgentVariables } from './contract/agent-variables.ts';
import { formatCertificateFiles, LIB_FOLDER } from './contract/package-layout.ts';
import { defineHandler } from './handler.ts';
import { findHandlerFolder, readHandlerEnvironment } from './handler-files.ts';
import { createRedactor } from './redaction.ts';
import type { SettingsSource } from './settings-door.ts';
import { openSettings } from './settings-door.ts';
import { createTestMachine } from './testing/index.ts';

const machine = createTestMachine();
afterAll(() => machine.remove());

const handler = defineHandler({
  settings: {
    public: z.object({ name: z.string(), size: z.string().transform(Number).optional() }),
    protected: z.strictObject({ password: z.string().min(12) }),
  },
  async enable({ settings }) {
    return { message: `${settings.public.name} ${typeof settings.public.size}` };
  },
});
const GOOD = { public: { name: 'Ada', size: '4' }, protected: { password: 'correct horse battery' } };

describe('settings in an enable', () => {
  it('arrive as the schemas made them', async () => {
    const { status } = await machine.enable(handler, GOOD, { sequence: 1 });
    expect(status?.message).toContain('Ada number');
  });

  it('that are wrong end it with every problem and no value', async () => {
    const { exitCode, status } = await machine.enable(
      handler,
      {
        public: { name: 5, password: 'hunter2-p' },
        protected: { pasword: 'hunter2-s', password: 'hunter2-x' },
      },
      { sequence: 2 },
    );
    expect(exitCode).toBe(53);
    expect(status?.code).toBe(10);
    const text = status?.message ?? '';
    expect(text).toContain(
      '2.settings: publicSettings.password: is in protectedSettings too; give it once\n',
    );
    expect(text).toContain('publicSettings.name: Invalid input: expected string, received number\n');
    expect(text).toContain('publicSettings: unknown key `password`; it belongs in protectedSettings\n');
    expect(text).toContain('protectedSettings: unknown key `pasword`; did you mean `password`?\n');
    expect(text).toContain(
      'protectedSettings.password: Too small: expected string to have >=12 characters\n',
    );
    expect(text).toContain('Correct the settings and apply them again.');
    expect(JSON.stringify(status) + machine.readLog()).not.toContain('hunter2');
  });

  it.each([
    [
      3,
      'nested too deeply',
      `{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`,
      'is nested more than 100 levels deep',
    ],
    [4, 'with __proto__', '{"__proto__":{"name":"Ada"}}', 'a key must not be called __proto__'],
  ])('(sequence %i) that are %s are refused without a schema too', async (sequence, _, text, reason) => {
    machine.writeSettingsText(
      sequence,
      `{"runtimeSettings":[{"handlerSettings":{"publicSettings":${text}}}]}`,
    );
    const outcome = await machine.run(defineHandler({ async enable() {} }), 'enable', { sequence });
    expect(outcome.exitCode).toBe(53);
    expect(outcome.status?.message).toContain(`publicSettings: ${reason}`);
    // Settings that no extension can take are unreadable ones, whichever half it is.
    expect(outcome.status?.code).toBe(-21);
  });

  it('take of a key that is written twice the last, and numbers as JavaScript reads them', async () => {
    let seen: unknown;
    machine.writeSettingsText(
      5,
      '{"runtimeSettings":[{"handlerSettings":{"publicSettings":{"a":1,"a":2,"big":9007199254740993,"lone":"\\ud800"}}}]}',
    );
    const taker = defineHandler({
      async enable({ settings }) {
        seen = settings.public;
      },
    });
    expect((await machine.run(taker, 'enable', { sequence: 5 })).exitCode).toBe(0);
    expect(seen).toEqual({ a: 2, big: 9007199254740992, lone: '\ud800' });
  });

  it('warn in the log of keys that a schema ignores', async () => {
    machine.writeSettings(6, { ...GOOD, public: { ...GOOD.public, sise: 'hunter2' } });
    const warnings: string[] = [];
    const settings = await openSettings(await sourceOf(6, warnings), handler);
    expect(settings.public).toEqual({ name: 'Ada', size: 4 });
    expect(warnings).toEqual([
      expect.stringMatching(
        /6\.settings: publicSettings: unknown key `sise`; did you mean `size`\? \(it is ignored\)$/,
      ),
    ]);
  });

  it('of 10 MB in either half are opened in bounded time', async () => {
    const list = Array.from({ length: 250_000 }, (_, index) => `value-${index}-of-many`);
    machine.writeSettings(7, { public: { list }, protected: { key: 'x'.repeat(5_000_000) } });
    const started = performance.now();
    const settings = await openSettings(await sourceOf(7, []), defineHandler({ async enable() {} }));
    expect(settings.public.list).toHaveLength(250_000);
    expect(performance.now() - started).toBeLessThan(20_000);
  }, 60_000);
});

async function sourceOf(sequence: number, warnings: string[]): Promise<SettingsSource> {
  const { host } = machine;
  const own = findHandlerFolder(
    host,
    { ...parseAgentVariables({}), extensionPath: machine.handlerFolder() },
    machine.path(machine.handlerFolder()),
  );
  const environment = await readHandlerEnvironment(host, own);
  const log = { warn: (message: string) => void warnings.push(message) };
  return { host, own, environment, sequence, extensionName: undefined, redactor: createRedactor(), log };
}

describe('the protected half', () => {
  const own = createTestMachine();
  afterAll(() => own.remove());

  it('are -21 as well when the protected half holds __proto__', async () => {
    const secret: Record<string, unknown> = JSON.parse('{"__proto__":{"name":"Ada"}}');
    const outcome = await own.enable(
      defineHandler({ async enable() {} }),
      { protected: secret },
      { sequence: 7 },
    );
    expect([outcome.exitCode, outcome.status?.code]).toEqual([53, -21]);
    expect(outcome.status?.message).toContain('protectedSettings: a key must not be called __proto__');
  });

  it('show no name of a protected key that may be a secret, in no text', async () => {
    const secret = 'AccountKey=hunter2==';
    const given = { public: { name: 'Ada' }, protected: { [secret]: 1 } };
    const refused = await own.enable(handler, given, { sequence: 8 });
    expect(refused.status?.message).toContain('protectedSettings: unknown key `[hidden] (20 characters)`\n');
    const ignoring = defineHandler({
      settings: { protected: z.object({ password: z.string().optional() }) },
      async enable() {},
    });
    const warned = await own.enable(ignoring, given, { sequence: 9 });
    expect(warned.exitCode).toBe(0);
    expect(own.readLog()).toContain('unknown key `[hidden] (20 characters)` (it is ignored)');
    expect(JSON.stringify([refused, warned]) + own.readLog()).not.toContain('hunter2==');
  });
});

it('a certificate that is no file is told as one that is missing is, and not waited for', async () => {
  const { certificate } = machine;
  const file = machine.path(join(LIB_FOLDER, formatCertificateFiles(certificate.thumbprint).privateKey));
  const text = readFileSync(file);
  for (const [sequence, make] of [() => mkdirSync(file), () => execFileSync('mkfifo', [file])].entries()) {
    rmSync(file);
    make();
    const { status } = await machine.enable(handler, GOOD, { sequence: 50 + sequence });
    expect(status).toMatchObject({ status: 'error', code: -20 });
    expect(status?.message).toMatch(
      /\.prv cannot be read \(.+ is a (folder|pipe), where a regular file belongs\), so .+; reapply the VM/,
    );
    rmSync(file, { recursive: true });
    writeFileSync(file, text);
  }
});
