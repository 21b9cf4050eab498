import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { clearFault, formatFaultStep, parseFaultStep, readFault, writeFault } from './fault.ts';

it.each([
  ['enable', { operation: 'enable', at: { kind: 'after-start', ms: 0 } }, 'enable'],
  ['enable+300ms', { operation: 'enable', at: { kind: 'after-start', ms: 300 } }, 'enable+300ms'],
  ['update+1.5s', { operation: 'update', at: { kind: 'after-start', ms: 1500 } }, 'update+1500ms'],
  ['disable:exit', { operation: 'disable', at: { kind: 'exit' } }, 'disable:exit'],
  ['enable:final', { operation: 'enable', at: { kind: 'status', value: 'final' } }, 'enable:final'],
])('reads the step %j', (text, step, formatted) => {
  expect(parseFaultStep(text)).toEqual(step);
  expect(formatFaultStep(parseFaultStep(text))).toBe(formatted);
});

it.each([
  '',
  'Enable',
  'start',
  'enable+',
  'enable+3',
  'enable+-3ms',
  'enable:end',
  'install:final',
  'enable+1s:exit',
])('refuses %j and names the forms', (text) => {
  expect(() => parseFaultStep(text)).toThrow(
    expect.objectContaining({ code: 'WRONG_USAGE', hint: expect.stringContaining('enable+300ms') }),
  );
});

it('keeps one step for a VM until it is taken back', () => {
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-fault-'));
  try {
    expect(readFault(folder)).toBeUndefined();
    writeFault(folder, parseFaultStep('install'));
    writeFault(folder, parseFaultStep('enable:exit'));
    expect(readFault(folder)).toEqual({ operation: 'enable', at: { kind: 'exit' } });
    clearFault(folder);
    clearFault(folder);
    expect(readFault(folder)).toBeUndefined();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
