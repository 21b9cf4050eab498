import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createToolDeps } from '../tool-deps.ts';
import { createUi } from '../ui.ts';
import { whyNoOverlay } from '../vm/fixtures/machine-rig.ts';
import { dryRun, raiseVersion } from './dry-run.ts';
import type { DRY_RUN_RULES } from './dry-run-rules.ts';
import { entry, goodEntries, HANDLER_TEXT, manifestText } from './fixtures/good-package.ts';
import { makeRawZip } from './fixtures/raw-zip.ts';

const base = mkdtempSync(join(tmpdir(), 'handlerkit-dry-run-'));
afterAll(() => rmSync(base, { recursive: true }));

const context = {
  ui: createUi({
    stdout: { write: () => {} },
    stderr: { write: () => {} },
    env: {},
    json: false,
    quiet: true,
    verbose: false,
  }),
  deps: createToolDeps(),
  signal: new AbortController().signal,
  abort: () => {},
};
let number = 0;

/** The good handler with another line for an operation, run once. */
async function run(
  operation: string,
  line: string,
  changes: { settings?: boolean; timeoutMs?: number; supportsMultiple?: boolean } = {},
) {
  const text = HANDLER_TEXT.replace('case $1 in\n', `case $1 in\n${operation}) ${line} ;;\n`);
  const file = join(base, `${number++}.zip`);
  writeFileSync(
    file,
    makeRawZip({
      entries: goodEntries({
        'HandlerManifest.json': entry(
          'HandlerManifest.json',
          manifestText({ section: { supportsMultipleExtensions: changes.supportsMultiple === true } }),
        ),
        'bin/handler': entry('bin/handler', text, 0o100755),
      }),
    }),
  );
  return await dryRun(
    {
      file,
      identity: { publisher: 'Contoso.Samples', type: 'Greeter', version: '1.0.0' },
      supportsMultiple: changes.supportsMultiple === true,
      publicSettings: changes.settings === true ? { a: 1 } : undefined,
      protectedSettings: changes.settings === true ? { b: 'secret' } : undefined,
      timeoutMs: changes.timeoutMs ?? 10_000,
    },
    context,
  );
}

const OK = `report success done`;
const BAD = `report error wrong`;

/** Root runs packages in an overlay only. */
const missing = process.getuid?.() === 0 ? await whyNoOverlay() : undefined;

describe.skipIf(missing !== undefined)('a dry run', () => {
  it('finds nothing wrong with a good handler, and leaves no VM behind', async () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('handlerkit-check-'));
    const { findings, steps, limits } = await run('nothing', 'true', { settings: true });
    expect(findings).toEqual([]);
    // Only another command has the option; who is not root has this machine's network.
    expect(limits).toMatch(process.getuid?.() === 0 ? /with: handlerkit vm set --network host\./ : /./);
    expect(limits).not.toContain('gives it that of this machine');
    expect(steps.map(({ operation }) => operation)).toEqual([
      'install',
      'enable',
      'enable',
      'disable',
      'update',
      'uninstall',
      'install',
      'enable',
      'disable',
      'uninstall',
    ]);
    expect(new Set(steps.map(({ version }) => version))).toEqual(new Set(['1.0.0', '1.0.1']));
    const after = readdirSync(tmpdir()).filter((name) => name.startsWith('handlerkit-check-'));
    expect(after).toEqual(before);
  });

  it.each<[rule: keyof typeof DRY_RUN_RULES, operation: string, line: string, settings: boolean]>([
    ['run-install', 'install', 'exit 51', false],
    ['run-enable', 'enable', 'exit 3', true],
    ['run-enable-refused', 'enable', 'exit 3', false],
    ['run-enable-refused', 'enable', BAD, false],
    ['run-status-error', 'enable', BAD, true],
    ['run-status', 'enable', 'echo "{" > "status/$ConfigSequenceNumber.status"', false],
    ['run-not-final', 'enable', 'true', false],
    ['run-not-final', 'enable', 'report transitioning working', false],
    ['run-again', 'enable', `if [ -e mrseq ]; then exit 4; fi; echo 0 > mrseq; ${OK}`, false],
    ['run-again', 'enable', `if [ -e mrseq ]; then ${BAD}; else echo 0 > mrseq; ${OK}; fi`, false],
    ['run-update', 'update', 'exit 7', false],
    [
      'run-state-lost',
      'enable',
      `if [ -e mine ]; then ${OK}; elif [ -e mrseq ]; then ${BAD}; else echo 0 > mrseq; : > mine; ${OK}; fi`,
      false,
    ],
    ['run-disable', 'disable', 'exit 7', false],
    ['run-uninstall', 'uninstall', 'exit 7', false],
    ['run-leftovers', 'enable', `: > ../greeter.cache; ${OK}`, false],
    ['run-process-left', 'enable', `${OK}; setsid sleep 600 >/dev/null 2>&1 &`, false],
  ])('finds %s when %s does: %s', async (rule, operation, line, settings) => {
    const { findings } = await run(operation, line, { settings });
    expect(findings.map((one) => one.rule)).toContain(rule);
  });

  it('waits for a status that becomes final later, and no longer than it may', async () => {
    const later = 'report transitioning soon; (sleep 1; report success done) >/dev/null 2>&1 &';
    expect((await run('enable', later)).findings).toEqual([]);
    const never = 'report transitioning soon; sleep 600 >/dev/null 2>&1 &';
    const rules = (await run('enable', never, { timeoutMs: 300 })).findings.map(({ rule }) => rule);
    expect(rules).toContain('run-not-final');
  });

  it('tries a handler that can have several configurations with one of a name', async () => {
    const named = 'report success done; mv status/0.status "status/$ConfigExtensionName.0.status"';
    expect((await run('enable', named, { supportsMultiple: true })).findings).toEqual([]);
    const unnamed = (await run('enable', OK, { supportsMultiple: true })).findings;
    expect(unnamed.map(({ rule }) => rule)).toContain('run-not-final');
  });

  it('says what the agent says of a failed command', async () => {
    const { findings } = await run('install', 'echo "no space" >&2; exit 5');
    expect(findings[0]?.message).toContain('Non-zero exit code: 5');
    expect(findings[0]?.message).toContain('no space');
  });
});

it.each([
  ['1.0.0', '1.0.1'],
  ['1.9.9.9', '1.9.9.10'],
  ['3', '4'],
])('raises the version %s to %s', (version, raised) => {
  expect(raiseVersion(version)).toBe(raised);
});
