/** The timeline, from texts that agents write. */
import { describe, expect, it } from 'vitest';
import { readOperations } from './operation-timeline.ts';

const line = (seconds: number, text: string, level = 'INFO'): string =>
  `2026-01-01T00:00:${String(seconds).padStart(2, '0')}.500000Z ${level} ExtHandler ${text}`;
const of = (version: string, text: string): string => `[Contoso.Greeter-${version}] ${text}`;
const summary = (log: readonly string[]): string[] =>
  readOperations(log.join('\n'), 100).map(
    ({ operation, version, outcome, ending, durationMs }) =>
      `${operation} ${version} ${outcome} ${ending} ${durationMs}`,
  );
const START = line(1, of('1.0.0', 'Enable extension: [bin/handler enable]'));

describe('the timeline of operations', () => {
  it('has time, version, sequence number, configuration, end and duration of each', () => {
    const log = [
      START,
      line(
        2,
        of(
          '1.0.0',
          'Executing command: /x/bin/handler enable with environment variables: {"ConfigSequenceNumber": "7", "ConfigExtensionName": "web"}',
        ),
      ),
      line(4, of('1.0.0', 'Command: bin/handler enable')),
      '[stdout]',
      'Non-zero exit code: 3',
    ];
    expect(readOperations(log.join('\n'), 100)).toEqual([
      {
        startedAt: '2026-01-01T00:00:01.500Z',
        handlerName: 'Contoso.Greeter',
        version: '1.0.0',
        extensionName: 'web',
        operation: 'enable',
        sequence: 7,
        outcome: 'succeeded',
        ending: 'exit 0',
        durationMs: 3000,
      },
    ]);
  });

  it.each([
    ['[ExtensionOperationError] Non-zero exit code: 3, /x/bin/handler enable', 'failed exit 3'],
    ['[ExtensionError] Timeout(300): /x/bin/handler enable', 'failed timed out'],
    ["[ExtensionError] Failed to launch '/x/bin/handler enable': no", 'failed not started'],
    ['[Ignored Error] Ran into error disabling extension:[E] Non-zero exit code: 4, x', 'failed exit 4'],
  ])('knows the failure %s', (text, ending) => {
    expect(summary([START, line(2, of('1.0.0', text), 'ERROR')])).toEqual([`enable 1.0.0 ${ending} 1000`]);
  });

  it('takes a failure of the old version from the line of the new one', () => {
    const log = [
      line(1, of('1.0.0', 'Disable extension: [bin/handler disable]')),
      line(
        2,
        of('2.0.0', '[E] Non-zero exit code: 4, /x/Contoso.Greeter-1.0.0/bin/handler disable'),
        'ERROR',
      ),
    ];
    expect(summary(log)).toEqual(['disable 1.0.0 failed exit 4 1000']);
  });

  it.each([
    ['the next operation', line(9, of('1.0.0', 'Install extension [bin/handler install]'))],
    ['the next goal state', line(9, 'ProcessExtensionsGoalState started [incarnation_2]')],
    ['the next goal state of the real agent', line(9, 'ExtHandler ProcessExtensionsGoalState started [x]')],
  ])('shows an operation as cut off by %s', (_what, next) => {
    expect(summary([START, next])[0]).toBe('enable 1.0.0 cut-off cut off null');
  });

  it('shows an operation that has not ended as running', () => {
    expect(summary([START])).toEqual(['enable 1.0.0 running  null']);
  });

  it('begins anywhere in a file, leaves out what it does not know, and keeps the newest', () => {
    const log = [
      '1Z INFO ExtHandler [Contoso.Greeter-1.0.0] Enable extension: [cut]',
      START,
      line(2, of('1.0.0', 'Command: bin/handler enable')),
      line(3, of('1.0.0', 'Explode extension [bin/handler explode]')),
      line(4, of('1.0.0', 'Uninstall extension [bin/handler uninstall]')),
    ];
    expect(summary(log)).toHaveLength(2);
    expect(readOperations(log.join('\n'), 1).map((one) => one.operation)).toEqual(['uninstall']);
    expect(readOperations('', 100)).toEqual([]);
  });
});
