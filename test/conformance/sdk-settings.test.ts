/**
 * Settings as they come from the agent, in every shape, good and bad, and the secrets in them: a packed handler in real
 * processes, with the certificate and the envelopes of a VM.
 */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXIT_CODES, formatCertificateFiles, formatSettings } from '@handlerkit/sdk/contract';
import { createCertificate, encryptProtectedSettings } from '@handlerkit/sdk/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';

describe('a packed handler reads its settings', () => {
  let unpacked: UnpackedPackage;
  let handler: LaidOutHandler;
  beforeAll(() => {
    unpacked = unpackPackage(inject('probeZip'));
  });
  afterAll(() => unpacked.remove());
  beforeEach(() => {
    handler = layOutHandler(unpacked);
  });
  afterEach(() => handler.remove());

  const enableText = async (text: string | Buffer) => {
    writeFileSync(handler.settingsFile(0), text);
    const ended = await handler.run('enable');
    return { ...ended, status: handler.readStatus(0) };
  };
  const settings = (publicSettings: string, envelope = 'null', thumbprint = 'null'): string =>
    `{"runtimeSettings": [{"handlerSettings": {"publicSettings": ${publicSettings}, "protectedSettings": ${envelope}, "protectedSettingsCertThumbprint": ${thumbprint}}}]}`;

  it.each([
    ['a file of zero bytes, which the agent writes when there are none', ''],
    ['all three values null', settings('null')],
    ['an empty object', settings('{}')],
    ['no keys at all', '{"runtimeSettings": [{"handlerSettings": {}}]}'],
    ['handlerSettings that are null', '{"runtimeSettings": [{"handlerSettings": null}]}'],
    ['a protected part that is an empty text', settings('{}', '""', '""')],
    ['line breaks and a byte order mark', `\uFEFF${settings('{}')}\r\n`],
  ])('as none, or empty: %s', async (_, text) => {
    const { exitCode, status, stderr } = await enableText(text);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(status?.status).toBe('success');
    expect(handler.trace()).toHaveLength(1);
  });

  it.each([
    ['cut off in the middle', settings('{"greeting": "x"}').slice(0, 60), ''],
    ['not JSON', 'commandToExecute', ''],
    ['with NaN, which is not JSON', settings('{"steps": NaN}'), ''],
    ['an array', '[]', ''],
    ['with two elements', '{"runtimeSettings": [{}, {}]}', 'exactly one element'],
    ['with public settings that are a text', settings('"hello"'), 'publicSettings'],
    ['with protected settings that are an object', settings('{}', '{}', '"AB"'), 'protectedSettings'],
    ['without the thumbprint', settings('{}', '"MIIB"'), 'protectedSettingsCertThumbprint'],
    ['with a path for a thumbprint', settings('{}', '"MIIB"', '"../../etc/passwd"'), '40 hex'],
  ])('or refuses with 53, naming the file: %s', async (_, text, reason) => {
    const { exitCode, status, stderr } = await enableText(text);
    expect(exitCode).toBe(EXIT_CODES.configurationError);
    expect(status).toMatchObject({ status: 'error', code: -21 });
    expect(status?.message).toContain(handler.settingsFile(0));
    expect(status?.message).toContain(reason);
    expect(stderr).toMatch(/^Enable failed: SETTINGS_UNREADABLE: /);
    expect(handler.trace()).toEqual([]);
  });

  it('again when the agent is just writing them', async () => {
    const text = settings('{"greeting": "late"}');
    writeFileSync(handler.settingsFile(0), text.slice(0, 40));
    const operation = handler.start('enable');
    await until('enable to begin', () => handler.readStatus(0));
    writeFileSync(handler.settingsFile(0), text);
    expect((await operation.ended).exitCode).toBe(0);
    expect(handler.trace()).toMatchObject([{ greeting: 'late' }]);
  });

  it.each([
    [
      'a key that is nearly right',
      { greetnig: 'x' },
      'publicSettings: unknown key `greetnig`; did you mean `greeting`?',
    ],
    ['a wrong type', { greeting: 7 }, 'publicSettings.greeting: '],
    [
      'a wrong type deep inside',
      { steps: [{ do: 'report', message: [] }] },
      'publicSettings.steps[0].message: ',
    ],
    ['null where a value is needed', { steps: null }, 'publicSettings.steps: '],
  ])('and refuses with 53 and the place in JSON: %s', async (_, given, problem) => {
    const { exitCode, status, stderr } = await handler.enable(0, { public: given });
    expect(exitCode).toBe(EXIT_CODES.configurationError);
    expect(status).toMatchObject({ status: 'error', code: 10 });
    expect(status.message).toContain(problem);
    expect(stderr).toContain(problem);
    expect(handler.trace()).toEqual([]);
  });

  it('and lists every problem at once, in both halves, without a value', async () => {
    const { status } = await handler.enable(0, {
      public: { greeting: 1, stepz: [] },
      protected: { secret: ['a-canary-value'] },
    });
    expect(status.message).toContain('publicSettings.greeting: ');
    expect(status.message).toContain('unknown key `stepz`; did you mean `steps`?');
    expect(status.message).toContain('protectedSettings.secret: ');
    expect(status.message).not.toContain('canary');
  });

  it('and refuses a key that is in both halves', async () => {
    const { exitCode, status } = await handler.enable(0, {
      public: { greeting: 'open' },
      protected: { greeting: 'hidden away' },
    });
    expect(exitCode).toBe(EXIT_CODES.configurationError);
    expect(status.message).toContain('publicSettings.greeting: is in protectedSettings too');
  });

  it('and takes the last of a key that is written twice, as JavaScript does', async () => {
    const { exitCode } = await enableText(settings('{"greeting": "first", "greeting": "last"}'));
    expect(exitCode).toBe(0);
    expect(handler.trace()).toMatchObject([{ greeting: 'last' }]);
  });

  it('and takes __proto__ for no key at all', async () => {
    const { exitCode, status } = await enableText(settings('{"__proto__": {"greeting": "smuggled"}}'));
    expect(exitCode).toBe(EXIT_CODES.configurationError);
    expect(status?.message).toContain('__proto__');
  });

  describe('that are protected', () => {
    const secret = 'a secret, decrypted';
    const digest = createHash('sha256').update(secret).digest('hex');
    const steps = { steps: [{ do: 'digest-secret' }] };

    it.each([
      ['as Azure encrypts them', {}],
      ['with AES and OAEP', { content: 'aes-256-cbc', keyTransport: 'oaep-sha256' }],
      ['for a recipient by key identifier', { content: 'aes-128-cbc', recipient: 'key-identifier' }],
      ['with AES-GCM', { content: 'aes-256-gcm' }],
    ] as const)('decrypted: %s', async (_, options) => {
      const { certificatePem, thumbprint } = unpacked.certificate;
      const envelope = encryptProtectedSettings({ secret }, certificatePem, options);
      const text = formatSettings({ publicSettings: steps, protectedSettings: envelope, thumbprint });
      const { exitCode, status } = await enableText(text);
      expect(exitCode).toBe(0);
      expect(status?.message).toBe(`Enable succeeded: ${digest}`);
    });

    it('or says that the certificate is missing and what to do, and tries again when it has come', async () => {
      const names = formatCertificateFiles(unpacked.certificate.thumbprint);
      rmSync(join(handler.libFolder, names.privateKey));
      const { exitCode, status } = await handler.enable(0, { public: steps, protected: { secret } });
      expect(exitCode).toBe(EXIT_CODES.configurationError);
      expect(status).toMatchObject({ status: 'error', code: -20 });
      expect(status.message).toContain(`${names.privateKey} is missing`);
      expect(status.message).toContain('reapply the VM');
      writeFileSync(join(handler.libFolder, names.privateKey), unpacked.certificate.privateKeyFileText);
      expect((await handler.run('enable')).exitCode).toBe(0);
      expect(handler.readStatus(0)?.message).toBe(`Enable succeeded: ${digest}`);
    });

    it('or answers every other fault with one code and one wording', async () => {
      const { certificatePem, thumbprint } = unpacked.certificate;
      const other = createCertificate();
      const good = encryptProtectedSettings({ secret }, certificatePem);
      const envelopes = [
        encryptProtectedSettings({ secret }, other.certificatePem),
        `${good.slice(0, -40)}${'A'.repeat(40)}`,
        good.slice(0, 100),
        'not base64!',
        encryptProtectedSettings('["no", "object"]', certificatePem),
        encryptProtectedSettings('{"secret": "cut', certificatePem),
      ];
      const messages = new Set<string>();
      for (const [sequence, envelope] of envelopes.entries()) {
        const text = formatSettings({ publicSettings: {}, protectedSettings: envelope, thumbprint });
        writeFileSync(handler.settingsFile(sequence), text);
        const { exitCode } = await handler.run('enable', { sequence });
        const status = handler.readStatus(sequence);
        expect([sequence, exitCode, status?.code]).toEqual([sequence, EXIT_CODES.configurationError, -21]);
        messages.add(status?.message ?? '');
      }
      expect([...messages]).toHaveLength(1);
      expect(handler.trace()).toEqual([]);
    });

    it('in files that only root can read, and older ones are emptied once a newer result is there', async () => {
      await handler.enable(0, { public: steps, protected: { secret } });
      expect(statSync(handler.settingsFile(0)).size).toBeGreaterThan(0);
      await handler.enable(1, { public: steps, protected: { secret: 'another one' } });
      expect(statSync(handler.settingsFile(0)).size).toBe(0);
      expect(statSync(handler.settingsFile(1)).size).toBeGreaterThan(0);
      expect(statSync(handler.statusFile(1)).mode & 0o777).toBe(0o600);
      expect(statSync(handler.dataFolder).mode & 0o777).toBe(0o700);
    });
  });

  it('and keeps what is secret in them out of every file, argument and environment', async () => {
    const canary = 'C4nary-5e1f\'"$\\é';
    handler.writeSettings(0, {
      public: {
        steps: [{ do: 'wait-for-file', path: join(handler.libFolder, 'go') }, { do: 'tell-secret' }],
      },
      protected: { secret: canary },
    });
    const operation = handler.start('enable');
    const seen = new Set<string>();
    const sample = (): void => {
      for (const pid of handler.processes()) for (const text of readProcess(pid)) seen.add(text);
    };
    await until('the run', () => handler.trace().length === 1);
    sample();
    writeFileSync(join(handler.libFolder, 'go'), '');
    let isOver = false;
    void operation.ended.then(() => {
      isOver = true;
    });
    while (!isOver) {
      sample();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { stdout, stderr } = await operation.ended;
    const status = handler.readStatus(0);
    expect(status?.status).toBe('error');
    expect(status?.message).toContain('could not use [hidden], also known as [hidden]');
    expect(readFileSync(join(handler.logFolder, 'handler.log'), 'utf8')).toContain('"plain [hidden]"');
    expect(readdirSync(handler.eventsFolder).length).toBeGreaterThan(0);
    const files = [handler.libFolder, handler.logFolder].flatMap(readFiles);
    expect(files.length).toBeGreaterThan(5);
    expect(seen.size).toBeGreaterThan(0);
    const all = [...files, ...seen, stdout, stderr];
    expect(formsOf(canary).filter((form) => all.some((text) => text.includes(form)))).toEqual([]);
  });
});

/** The text itself, and the forms in which it may get into another one. */
function formsOf(text: string): string[] {
  const base64 = Buffer.from(text).toString('base64');
  const shell = `'${text.replaceAll("'", "'\\''")}'`;
  const python = JSON.stringify(text).replaceAll('é', '\\u00e9');
  return [
    text,
    JSON.stringify(text).slice(1, -1),
    python.slice(1, -1),
    encodeURIComponent(text),
    base64,
    shell,
  ];
}

/** All files but the program itself. */
function readFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/^handler-(x64|arm64)$/.test(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
}

function readProcess(pid: number): string[] {
  return ['cmdline', 'environ'].flatMap((file) => {
    try {
      return [readFileSync(`/proc/${pid}/${file}`, 'utf8')];
    } catch {
      return [];
    }
  });
}
