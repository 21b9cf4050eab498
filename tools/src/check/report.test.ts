import { describe, expect, it } from 'vitest';
import { type CheckReport, formatReport } from './report.ts';

const report = (more: Partial<CheckReport>): string =>
  formatReport({
    subject: 'x.zip',
    kind: 'zip',
    identity: undefined,
    packedBytes: 1000,
    files: [],
    findings: [],
    steps: undefined,
    notRun: '--no-run',
    limits: undefined,
    ...more,
  });

describe('the report for people', () => {
  it.each<[Partial<CheckReport>, string]>([
    [{ files: [{ name: 'a', sizeBytes: 2 }] }, 'x.zip: 1.0 kB zip, 1 file, 2 B (a 2 B)'],
    [{ kind: 'folder', packedBytes: undefined }, 'x.zip: 0 files, 0 B'],
    [{ kind: 'project', packedBytes: undefined }, 'x.zip: not packed yet; no files beside the program'],
    [
      { kind: 'project', packedBytes: undefined, files: [{ name: 'a', sizeBytes: 2 }] },
      'x.zip: not packed yet; beside the program 1 file, 2 B (a 2 B)',
    ],
  ])('begins, of %j, with %j', (more, line) => {
    expect(report(more).split('\n')[0]).toBe(line);
  });

  it('says what many files have in common once, with their names', () => {
    const findings = Array.from({ length: 8 }, (_, number) => ({
      rule: 'name-backslash',
      file: `f${number}`,
      message: 'has a backslash in its name.',
    }));
    const lines = report({ findings }).split('\n');
    expect(lines.slice(2, 5)).toEqual([
      'error name-backslash: f0 has a backslash in its name.',
      '  The same: f1, f2, f3, f4, f5 and 2 more.',
      expect.stringMatching(/^ {2}Pack with/),
    ]);
    expect(lines.at(-1)).toBe('8 errors, 0 warnings, 0 notes');
    expect(report({ findings: findings.slice(0, 2) })).toContain('\n  The same: f1.\n');
  });

  it('names a file once of which many places have something in common', () => {
    const findings = ['a', 'b', 'c'].map((path) => ({
      rule: 'command-file',
      file: 'm.json',
      path,
      message: 'x.',
    }));
    expect(report({ findings }).split('\n').slice(2, 4)).toEqual([
      'error command-file: m.json a x.',
      '  The same: b, c.',
    ]);
  });
});
