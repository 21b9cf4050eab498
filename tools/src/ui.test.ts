import { describe, expect, it } from 'vitest';
import { ToolError } from './errors.ts';
import type { Ui } from './ui.ts';
import { createUi, formatOperation, formatSeconds, formatTable } from './ui.ts';

function say(
  flags: { json?: boolean; quiet?: boolean; verbose?: boolean },
  speak: (ui: Ui) => void,
): { stdout: string; stderr: string } {
  let [stdout, stderr] = ['', ''];
  const { json = false, quiet = false, verbose = false } = flags;
  const ui = createUi({
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    env: {},
    json,
    quiet,
    verbose,
  });
  speak(ui);
  return { stdout, stderr };
}

const everything = (ui: Ui): void => {
  ui.progress('progress');
  ui.detail('detail');
  ui.warning('careful');
  ui.result('result');
  ui.json({ answer: 1 });
};

describe('what the tool says', () => {
  it.each([
    [{}, 'result\n', 'progress\nwarning careful\n'],
    [{ quiet: true }, 'result\n', 'warning careful\n'],
    [{ verbose: true }, 'result\n', 'progress\ndetail\nwarning careful\n'],
    [{ json: true }, '{\n  "answer": 1\n}\n', 'progress\nwarning careful\n'],
  ])('with %j', (flags, stdout, stderr) => {
    expect(say(flags, everything)).toEqual({ stdout, stderr });
  });

  it('prints one JSON document only: an error after the result goes to stderr', () => {
    const { stdout, stderr } = say({ json: true }, (ui) => {
      ui.json([]);
      ui.error(new ToolError('EXTENSION_FAILED', 'It failed.', { hint: 'Look.' }));
    });
    expect(stdout).toBe('[]\n');
    expect(stderr).toBe('error EXTENSION_FAILED: It failed.\nTry: Look.\n');
  });

  it('shows the stack of an error of our own only with --verbose', () => {
    const error = new ToolError('ENOENT', 'No file.', { file: '/a/b', cause: new Error('inner') });
    expect(say({}, (ui) => ui.error(error)).stderr).toBe('error ENOENT: No file.\n  /a/b\n');
    expect(say({ verbose: true }, (ui) => ui.error(error)).stderr).toContain('ui.test.ts');
  });

  it('formats an operation in one line', () => {
    expect(
      formatOperation({ operation: 'enable', command: 'bin/handler enable', outcome: 0, durationMs: 31 }),
    ).toBe('  enable     bin/handler enable   exit 0   0.03 s');
    expect(
      formatOperation({ operation: 'uninstall', command: 'x', outcome: 'timed out', durationMs: 300_000 }),
    ).toBe('  uninstall  x   timed out   5 min 0 s');
  });

  it.each([
    [0, '0.00 s'],
    [9_990, '9.99 s'],
    [12_340, '12.3 s'],
    [200_000, '3 min 20 s'],
  ])('formats %d ms as %s', (ms, text) => {
    expect(formatSeconds(ms)).toBe(text);
  });

  it('aligns a table', () => {
    expect(
      formatTable([
        ['Name', 'Type'],
        ['a', 'Greeter'],
      ]),
    ).toBe('Name  Type\na     Greeter');
  });
});
