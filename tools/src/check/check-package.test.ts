import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { writeScriptExtension } from '../fixtures/script-extension.ts';
import { checkPackage } from './check-package.ts';
import { ALL_FAULTS } from './fixtures/faulty-packages.ts';
import { entry, goodEntries, HANDLER_TEXT, manifestText, publisherText } from './fixtures/good-package.ts';
import { makeRawZip, type RawZip } from './fixtures/raw-zip.ts';
import { ALL_RULES, severityOf } from './rules.ts';

const base = mkdtempSync(join(tmpdir(), 'handlerkit-check-test-'));
afterAll(() => rmSync(base, { recursive: true }));

let number = 0;

function write(zip: RawZip, name = 'package.zip'): string {
  const folder = join(base, String(number++));
  mkdirSync(folder);
  const file = join(folder, name);
  writeFileSync(file, makeRawZip(zip));
  return file;
}

async function rulesOf(file: string): Promise<string[]> {
  return (await checkPackage(file)).findings.map(({ rule }) => rule);
}

async function seriousRules(file: string): Promise<string[]> {
  return (await rulesOf(file)).filter((rule) => severityOf(rule) !== 'note');
}

describe('a good package', () => {
  it('has no findings when it is written plainly', async () => {
    expect(await rulesOf(write({ entries: goodEntries() }))).toEqual([]);
  });

  it('has no errors when another program wrote it', async () => {
    const file = await writeScriptExtension(base, { version: '1.0.0' });
    expect((await rulesOf(file)).filter((rule) => severityOf(rule) === 'error')).toEqual([]);
  });

  const makeFolder = (name: string): string => {
    const folder = join(base, name);
    mkdirSync(join(folder, 'bin'), { recursive: true });
    writeFileSync(join(folder, 'HandlerManifest.json'), manifestText());
    writeFileSync(join(folder, 'manifest.xml'), publisherText());
    writeFileSync(join(folder, 'bin/handler'), HANDLER_TEXT, { mode: 0o755 });
    return folder;
  };

  it.skipIf(spawnSync('python3', ['-c', 'import zipfile']).status !== 0)(
    'has no findings when Python wrote it',
    async () => {
      const folder = makeFolder('for-python');
      const file = join(base, 'python.zip');
      const names = ['HandlerManifest.json', 'manifest.xml', 'bin/'];
      expect(spawnSync('python3', ['-m', 'zipfile', '-c', file, ...names], { cwd: folder }).status).toBe(0);
      expect(await rulesOf(file)).toEqual([]);
    },
  );

  it('has no errors as a folder', async () => {
    const folder = makeFolder('folder');
    expect(await checkPackage(folder)).toMatchObject({
      kind: 'folder',
      findings: [],
      identity: { type: 'Greeter' },
    });
  });
});

describe('a package with one fault', () => {
  const rows = ALL_FAULTS.map(([rule, what, zip, fileName]) => ({ rule, what, zip, fileName }));
  it.each(rows)('breaks $rule: $what', async ({ rule, zip, fileName }) => {
    expect(await rulesOf(write(zip, fileName))).toContain(rule);
  });

  it('has a row for each rule that needs no run and no project', () => {
    const rows = new Set(ALL_FAULTS.map(([rule]) => rule));
    const rest = Object.keys(ALL_RULES).filter((rule) => !rows.has(rule) && !/^(run|project)-/.test(rule));
    expect(rest.sort()).toEqual(['version-not-raised', 'version-other-extension']);
  });

  it('says of a folder that was packed in place of its content just that', async () => {
    const entries = goodEntries().map((one) => ({ ...one, name: `out/${String(one.name)}` }));
    const { findings } = await checkPackage(write({ entries }));
    const errors = findings.filter(({ rule }) => severityOf(rule) === 'error');
    expect(errors).toEqual([
      expect.objectContaining({
        rule: 'manifest-wrapped',
        message: 'lies with everything else in "out/".',
      }),
    ]);
  });

  it('takes a local header of zip64 at its word', async () => {
    const found = await rulesOf(
      write({ entries: [...goodEntries(), { name: 'a', content: 'x', localZip64: true }] }),
    );
    expect(found).toEqual(['zip-zip64']);
  });

  it('tells how a manifest that is an object becomes what the agent reads', async () => {
    const zip = { entries: goodEntries({ 'HandlerManifest.json': entry('HandlerManifest.json', '{}') }) };
    const { findings } = await checkPackage(write(zip));
    expect(findings[0]?.message).toBe(
      'is an object; the agent reads the first element of an array: put it between [ and ].',
    );
  });

  it.each([
    ['error', 'manifest-elements', 'the second element is never read'],
    ['error', 'manifest-boolean-misread', 'what was meant as true is false'],
    ['error', 'manifest-many', 'the order of folders decides'],
    ['error', 'name-cut', 'the file lands elsewhere'],
    ['error', 'name-duplicate', 'one file replaces the other'],
    ['warning', 'manifest-boolean', 'the agent reads what was meant'],
    ['warning', 'manifest-second', 'the agent takes the one at the root'],
    ['warning', 'name-characters', 'the file is unpacked'],
    ['warning', 'name-case', 'Linux keeps the two apart'],
    ['warning', 'command-mode', 'the agent sets the bit'],
  ])('is an %s where the agent makes it one: %s, as %s', (severity, rule) => {
    expect(severityOf(rule)).toBe(severity);
  });

  it('never says the secret that it holds', async () => {
    const key = 'MIIEowIBAAKCAQEA'.repeat(8);
    const file = write({ entries: [...goodEntries(), entry('a', `-----BEGIN PRIVATE KEY-----\n${key}\n`)] });
    expect(JSON.stringify(await checkPackage(file))).not.toContain('MIIEow');
  });

  it('says where in the manifest it is', async () => {
    const text = manifestText({ section: { updateMode: 'Reinstall' } });
    const zip = { entries: goodEntries({ 'HandlerManifest.json': entry('HandlerManifest.json', text) }) };
    expect((await checkPackage(write(zip))).findings).toMatchObject([
      { file: 'HandlerManifest.json', path: '[0].handlerManifest.updateMode' },
    ]);
  });
});

describe('no error and no warning', () => {
  it.each<[string, RawZip]>([
    [
      'for a key of the storage emulator',
      {
        entries: [
          ...goodEntries(),
          entry(
            'a.js',
            `AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==`,
          ),
        ],
      },
    ],
    [
      'for a program that speaks of keys',
      {
        entries: [
          ...goodEntries(),
          entry(
            'a.js',
            `if (text.startsWith('-----BEGIN PRIVATE KEY-----')) decode(text, "-----END PRIVATE KEY-----"); url += '&sig=' + sign; AccountKey=\${key}`,
          ),
        ],
      },
    ],
    [
      'for a certificate without its key',
      {
        entries: [
          ...goodEntries(),
          entry('ca.pem', `-----BEGIN CERTIFICATE-----\n${'MIID'.repeat(30)}\n-----END CERTIFICATE-----`),
        ],
      },
    ],
    [
      'for a token that comes from the environment',
      {
        entries: [...goodEntries(), entry('npmrc', '//registry.npmjs.org/:_authToken=${NPM_TOKEN_OF_CI_1}')],
      },
    ],
    ['for an example of settings', { entries: [...goodEntries(), entry('.env.example', 'A=')] }],
    [
      'for folders of their own entries',
      { entries: [...goodEntries(), entry('bin/', '', 0o040755), entry('lib/', '', 0o040755)] },
    ],
    ['for a comment', { entries: goodEntries(), comment: 'made by hand' }],
  ])('%s', async (_what, zip) => {
    expect(await seriousRules(write(zip))).toEqual([]);
  });
});

/** Shapes of published handlers: their commands, keys and order of elements, with contents of our own. */
describe('manifests of the shape of published extensions', () => {
  const shim = entry('extension_shim.sh', '#!/usr/bin/env bash\nexec true\n', 0o100755);
  const published: readonly [string, object, RawZip['entries']][] = [
    [
      'a shim with options',
      {
        installCommand: 'extension_shim.sh -c ./main.py --install',
        enableCommand: 'extension_shim.sh -c ./main.py --enable',
        disableCommand: 'extension_shim.sh -c ./main.py --disable',
        updateCommand: 'extension_shim.sh -c ./main.py --update',
        uninstallCommand: 'extension_shim.sh -c ./main.py --uninstall',
      },
      [shim],
    ],
    [
      'a path with a dot',
      {
        installCommand: './extension_shim.sh -install',
        enableCommand: './extension_shim.sh -enable',
        disableCommand: './extension_shim.sh -disable',
        updateCommand: './extension_shim.sh -update',
        uninstallCommand: './extension_shim.sh -uninstall',
      },
      [shim],
    ],
    [
      'an update that goes on',
      { continueOnUpdateFailure: true, updateMode: 'UpdateWithInstall', supportsPolicy: true },
      [],
    ],
    ['several configurations', { supportsMultipleExtensions: true }, []],
  ];

  it.each(published)('have no errors: %s', async (_what, changes, more) => {
    const text = manifestText({ section: { ...changes } });
    const entries = [
      ...goodEntries({ 'HandlerManifest.json': entry('HandlerManifest.json', text) }),
      ...more,
    ];
    expect((await seriousRules(write({ entries }))).filter((rule) => severityOf(rule) === 'error')).toEqual(
      [],
    );
  });

  it.each([
    ['CompanyName', 'SupportedOS'],
    ['SupportedOS', 'CompanyName'],
  ])('may have %s before %s', async (first, second) => {
    const text = `<?xml version="1.0"?><ExtensionImage><ProviderNameSpace>A</ProviderNameSpace><Type>B</Type><Version>1.2.3</Version><!-- x --><IsJsonExtension>true</IsJsonExtension><${first}>x</${first}><${second}>y</${second}><Regions><Region>z</Region></Regions></ExtensionImage>`;
    expect(
      await seriousRules(write({ entries: goodEntries({ 'manifest.xml': entry('manifest.xml', text) }) })),
    ).toEqual([]);
  });
});

describe('an earlier package', () => {
  const version = (text: string): string =>
    write({
      entries: goodEntries({ 'manifest.xml': entry('manifest.xml', publisherText({ Version: text })) }),
    });
  const other = (): string =>
    write({
      entries: goodEntries({ 'manifest.xml': entry('manifest.xml', publisherText({ Type: 'Other' })) }),
    });

  it.each([
    ['of a lower version is right', '1.0.0.1', () => version('1.0.0.0'), []],
    [
      'of the same version in another spelling is wrong',
      '1.0.0',
      () => version('1.0.0.0'),
      ['version-not-raised'],
    ],
    ['of a higher version is wrong', '1.9.0', () => version('1.10.0'), ['version-not-raised']],
    ['of another extension is wrong', '2.0.0', other, ['version-other-extension']],
  ])('%s', async (_what, now, previous, rules) => {
    const { findings } = await checkPackage(version(now), { previous: previous() });
    expect(findings.map(({ rule }) => rule)).toEqual(rules);
  });
});

describe('a project', () => {
  const project = (description: object, files: Readonly<Record<string, string>> = {}): string => {
    const folder = join(base, `project-${number++}`);
    mkdirSync(join(folder, 'src'), { recursive: true });
    const whole = { publisher: 'Contoso.Samples', type: 'Greeter', version: '1.0.0', ...description };
    writeFileSync(join(folder, 'extension.json'), JSON.stringify(whole));
    writeFileSync(join(folder, 'src/main.ts'), '');
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    return folder;
  };

  it.each<[string[], string, () => string]>([
    [[], 'is good', () => project({})],
    [['project-description'], 'has an unknown key', () => project({ verion: '1' })],
    [['project-description'], 'has a dash in its type', () => project({ type: 'a-b' })],
    [['project-file-missing'], 'has no entry', () => project({ entry: 'src/other.ts' })],
    [['project-file-missing'], 'names files that are not there', () => project({ files: ['data/**'] })],
    [
      ['project-second-manifest'],
      'ships a manifest',
      () => project({ files: ['*.json'] }, { 'HandlerManifest.json': '[]' }),
    ],
    [
      ['project-name-case'],
      'ships two files that pack refuses',
      () => project({ files: ['*.txt'] }, { 'a.txt': '', 'A.txt': '' }),
    ],
    [['secret-file'], 'ships its secrets', () => project({ files: ['.env'] }, { '.env': 'A=1' })],
    [
      ['script-crlf'],
      'ships a script of Windows',
      () => project({ files: ['run.sh'] }, { 'run.sh': '#!/bin/sh\r\n' }),
    ],
  ])('breaks %j when it %s', async (rules, _what, make) => {
    expect(await rulesOf(make())).toEqual(rules);
  });

  it('is not what a folder without description or manifest is', async () => {
    const folder = join(base, 'nothing');
    mkdirSync(folder);
    await expect(checkPackage(folder)).rejects.toThrow('neither extension.json nor HandlerManifest.json');
  });
});
