import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { entry, goodEntries, manifestText } from '../check/fixtures/good-package.ts';
import { makeRawZip, type RawZip } from '../check/fixtures/raw-zip.ts';
import { ALL_RULES } from '../check/rules.ts';
import { runCli } from '../fixtures/run-cli.ts';
import { whyNoOverlay } from '../vm/fixtures/machine-rig.ts';

const base = mkdtempSync(join(tmpdir(), 'handlerkit-check-command-'));
afterAll(() => rmSync(base, { recursive: true }));

function write(name: string, zip: RawZip): string {
  writeFileSync(join(base, name), makeRawZip(zip));
  return name;
}

const check = (...words: string[]) => runCli(['check', ...words], { cwd: base });
const good = write('good.zip', { entries: goodEntries() });
const trap = write('trap.zip', {
  entries: goodEntries({
    'HandlerManifest.json': entry(
      'HandlerManifest.json',
      manifestText({ section: { reportHeartbeat: 'true' } }),
    ),
  }),
});
const bad = write('bad.zip', { entries: [...goodEntries(), entry('.env', 'PASSWORD=sesame')] });

/** Root runs packages in an overlay only. */
const missing = process.getuid?.() === 0 ? await whyNoOverlay() : undefined;

describe('handlerkit check', () => {
  it.skipIf(missing !== undefined)('runs a good package and says so', async () => {
    const { exitCode, stdout } = await check(good);
    expect(stdout).toContain('Contoso.Samples.Greeter 1.0.0.0');
    expect(stdout).toContain(
      'Run: install, enable, enable, disable, update, uninstall, install, enable, disable, uninstall',
    );
    expect(stdout).toMatch(/\n0 errors, 0 warnings, 0 notes\n$/);
    expect(exitCode).toBe(0);
  });

  it('fails for an error, and gives each finding with its fix', async () => {
    const { exitCode, stdout, stderr } = await check(bad, '--no-run');
    expect(exitCode).toBe(1);
    expect(stdout).toContain(
      'error secret-file: .env has a name that stands for a secret.\n  Leave the file out',
    );
    expect(stderr).toContain('CHECK_FAILED');
    expect(stdout + stderr).not.toContain('sesame');
  });

  it.each([
    [[], 0],
    [['--strict'], 1],
  ])('ends a package with warnings and the options %j with %i', async (options, code) => {
    expect((await check(trap, '--no-run', ...options)).exitCode).toBe(code);
  });

  it('prints one document with --json, also when it fails', async () => {
    const { stdout } = await check(bad, '--no-run', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      subject: 'bad.zip',
      kind: 'zip',
      publisher: 'Contoso.Samples',
      type: 'Greeter',
      version: '1.0.0.0',
      fileCount: 4,
      counts: { error: 1, warning: 0, note: 0 },
      findings: [{ rule: 'secret-file', severity: 'error', file: '.env', path: null }],
      dryRun: { ran: false, reason: '--no-run' },
    });
  });

  it('does not run a package that the agent could not unpack or read', async () => {
    const cut = write('cut.zip', { entries: goodEntries(), cut: 40 });
    const { stdout } = await check(cut);
    expect(stdout).toContain('Not run: the errors have to be corrected first');
    expect(stdout).toContain('error zip-unreadable');
  });

  it.skipIf(missing !== undefined)('runs a folder as it would be packed', async () => {
    const folder = join(base, 'folder');
    mkdirSync(join(folder, 'bin'), { recursive: true });
    for (const { name, content = '' } of goodEntries()) {
      writeFileSync(join(folder, String(name)), content, {
        mode: String(name) === 'bin/handler' ? 0o755 : 0o644,
      });
    }
    const { exitCode, stdout } = await check('folder', '--settings', '{"a": 1}');
    expect(stdout).toContain('Run: install, enable');
    expect(exitCode).toBe(0);
  });

  it('takes names for a package that says none', async () => {
    const unnamed = write('unnamed.zip', { entries: goodEntries({ 'manifest.xml': undefined }) });
    const named = await check(
      unnamed,
      '--no-run',
      '--publisher',
      'A',
      '--type',
      'B-C',
      '--version',
      '1.0.0',
      '--json',
    );
    expect(JSON.parse(named.stdout)).toMatchObject({
      type: 'B-C',
      findings: [{ rule: 'identity-dash' }, {}],
    });
  });

  it('compares with an earlier package', async () => {
    const { stdout } = await check(good, '--no-run', '--previous', good);
    expect(stdout).toContain('version-not-raised');
  });

  it('lists all rules', async () => {
    const { stdout, exitCode } = await check('--list-rules', '--json');
    const rules: unknown = JSON.parse(stdout);
    expect(rules).toHaveLength(Object.keys(ALL_RULES).length);
    expect(rules).toContainEqual(expect.objectContaining({ id: 'manifest-many', severity: 'error' }));
    expect(exitCode).toBe(0);
  });

  it.each([
    [['missing.zip'], 'ENOENT', 1],
    [[good, '--timeout-minutes', 'x'], 'WRONG_USAGE', 2],
    [[good, '--settings', '[]'], 'WRONG_USAGE', 2],
  ])('refuses %j with %s', async (words, code, exitCode) => {
    const result = await check(...words);
    expect(result.stderr).toContain(code);
    expect(result.exitCode).toBe(exitCode);
  });
});

it('handlerkit pack refuses files that check finds errors in, before anything is fetched', async () => {
  const folder = join(base, 'project');
  mkdirSync(join(folder, 'src'), { recursive: true });
  const description = { publisher: 'Contoso.Samples', type: 'Greeter', version: '1.0.0', files: ['run.sh'] };
  writeFileSync(join(folder, 'extension.json'), JSON.stringify(description));
  writeFileSync(join(folder, 'src/main.ts'), '');
  writeFileSync(join(folder, 'run.sh'), '#!/bin/sh\r\necho\r\n');
  const { exitCode, stderr } = await runCli(['pack', folder], { cwd: base });
  expect(stderr).toContain('error PACKAGE_CHECK_FAILED: script-crlf: run.sh has CRLF line ends.');
  expect(stderr).not.toContain('Fetching');
  expect(exitCode).toBe(1);
});
