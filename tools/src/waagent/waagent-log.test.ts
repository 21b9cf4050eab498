import { describe, expect, it } from 'vitest';
import type { LogNews } from './waagent-log.ts';
import { createLogReader } from './waagent-log.ts';

const VARIABLES = '{"AZURE_GUEST_AGENT_EXTENSION_VERSION": "1.0.0", "ConfigSequenceNumber": "0"}';
const HANDLER = '[Contoso.Greeter-1.0.0]';
const FOLDER = '/var/lib/waagent/Contoso.Greeter-1.0.0';

describe("the agent's log", () => {
  it('tells the beginning and the end of a command, with its output and how long it took', () => {
    expect(
      readAll([
        `10.000000Z INFO ExtHandler ${HANDLER} Install extension [bin/handler install]`,
        `10.100000Z INFO ExtHandler ${HANDLER} Executing command: ${FOLDER}/bin/handler install with environment variables: ${VARIABLES}`,
        `12.350000Z INFO ExtHandler ${HANDLER} Command: bin/handler install\n[stdout]\nhello\n[stderr]`,
      ]),
    ).toEqual([
      { kind: 'event', event: { ...INSTALL, kind: 'operation-started' } },
      {
        kind: 'event',
        event: {
          ...INSTALL,
          kind: 'operation-ended',
          exitCode: 0,
          timedOut: false,
          durationMs: 2250,
          output: '[stdout]\nhello\n[stderr]',
        },
      },
    ]);
  });

  it('reads exit code and output of a command that failed from the event that the agent makes of it', () => {
    const news = readAll([
      `10.000000Z INFO ExtHandler ${HANDLER} Install extension [bin/handler install]`,
      `10.100000Z INFO ExtHandler ${HANDLER} Executing command: ${FOLDER}/bin/handler install with environment variables: ${VARIABLES}`,
      `12.000000Z ERROR ExtHandler ExtHandler Event: name=Contoso.Greeter, op=Install, message=[ExtensionOperationError] Non-zero exit code: 51, ${FOLDER}/bin/handler install\n[stdout]\n\n\n[stderr]\nno such thing\n, duration=0`,
    ]);
    expect(news.at(-1)).toMatchObject({
      event: {
        kind: 'note',
        text: expect.stringMatching(/^\[ExtensionOperationError\] Non-zero exit code: 51, .*no such thing$/s),
      },
    });
    expect(news.at(-2)).toMatchObject({
      event: {
        kind: 'operation-ended',
        exitCode: 51,
        timedOut: false,
        output: '[stdout]\n\n\n[stderr]\nno such thing',
      },
    });
  });

  it('knows a command whose time was over', () => {
    const news = readAll([
      `10.000000Z INFO ExtHandler ${HANDLER} Enable extension: [bin/handler enable]`,
      `10.100000Z INFO ExtHandler ${HANDLER} Executing command: ${FOLDER}/bin/handler enable with environment variables: ${VARIABLES}`,
      `15.000000Z ERROR ExtHandler ExtHandler Event: name=Contoso.Greeter, op=Enable, message=[ExtensionError] Timeout(300): ${FOLDER}/bin/handler enable\n[stdout]\n, duration=0`,
    ]);
    expect(news.at(-2)).toMatchObject({
      event: { kind: 'operation-ended', operation: 'enable', exitCode: null, timedOut: true },
    });
  });

  it('names the configuration and the version that a command is for', () => {
    const folder = '/var/lib/waagent/Contoso.Greeter-0.9.1';
    const variables = `{"ConfigExtensionName": "first", "AZURE_GUEST_AGENT_EXTENSION_PATH": "${folder}"}`;
    const news = readAll([
      '10.000000Z INFO ExtHandler [Contoso.Greeter.first-0.9.1] Disable extension: [x disable]',
      `10.100000Z INFO ExtHandler [Contoso.Greeter.first-0.9.1] Executing command: /x disable with environment variables: ${variables}`,
    ]);
    expect(news).toMatchObject([
      {
        event: { operation: 'disable', version: '0.9.1', extensionName: 'first', commandLine: '/x disable' },
      },
    ]);
  });

  it.each([
    ['agent 2.7', 'ProcessExtensionsInGoalState completed [Incarnation: 12; 4049 ms; Activity Id: a]', 12],
    ['agent 2.15', 'ProcessExtensionsGoalState completed [incarnation_12 4049 ms]', 12],
    ['a goal state that failed', 'ProcessExtensionsGoalState failed [incarnation_3 9 ms]', 3],
  ])('tells when a goal state is done: %s', (_, text, incarnation) => {
    expect(readAll([`10.000000Z INFO ExtHandler ExtHandler ${text}`])).toEqual([
      { kind: 'processed', incarnation },
    ]);
  });

  it('gives the last line of the reason why a report failed, once', () => {
    const trace = "Traceback (most recent call last):\n  File x\nTypeError: 'NoneType' is no object";
    expect(
      readAll([
        `10.500000Z WARNING ExtHandler ExtHandler Failed to report status: ${trace}`,
        `10.500001Z ERROR ExtHandler ExtHandler Event: name=WALinuxAgent, op=ReportStatus, message=Failed to report status: ${trace}, duration=0`,
      ]),
    ).toEqual([
      {
        kind: 'unreported',
        atMs: Date.parse('2026-01-01T00:00:10.500Z'),
        isCrash: false,
        reason: "TypeError: 'NoneType' is no object",
      },
    ]);
  });

  it('tells a crash of the agent once, not again when the agent speaks of it after its restart', () => {
    const crash = 'Agent WALinuxAgent-2.7.3.0 failed with exception: no such argument';
    expect(
      readAll([
        `10.500000Z WARNING ExtHandler ExtHandler ${crash}`,
        `11.500000Z INFO ExtHandler ExtHandler Agent did not terminate cleanly: [WALinuxAgent-2.7.3.0] [${crash}]`,
      ]),
    ).toMatchObject([{ kind: 'unreported', isCrash: true, reason: 'no such argument' }]);
  });

  it('waits for the end of a record that comes in pieces, and takes the last one when there is a pause', () => {
    const reader = createLogReader();
    const line =
      '2026-01-01T00:00:10.0Z INFO ExtHandler ExtHandler ProcessExtensionsGoalState completed [incarnation_3 9 ms]\n';
    expect(reader.read(line.slice(0, 40))).toEqual([]);
    expect(reader.read('', true)).toEqual([]);
    expect(reader.read(line.slice(40))).toEqual([]);
    expect(reader.read('', true)).toEqual([{ kind: 'processed', incarnation: 3 }]);
    expect(reader.read('', true)).toEqual([]);
  });

  it('takes nothing that a handler prints for a record of the agent that ends its command', () => {
    const news = readAll([
      `10.000000Z INFO ExtHandler ${HANDLER} Enable extension: [bin/handler enable]`,
      `10.100000Z INFO ExtHandler ${HANDLER} Executing command: ${FOLDER}/bin/handler enable with environment variables: ${VARIABLES}`,
      `10.200000Z INFO MonitorHandler ExtHandler Network interfaces:\n[stdout] Command: nothing`,
    ]);
    expect(news).toHaveLength(1);
  });
});

const INSTALL = {
  handlerName: 'Contoso.Greeter',
  version: '1.0.0',
  operation: 'install',
  commandLine: `${FOLDER}/bin/handler install`,
};

/** Lines from the seconds on. */
function readAll(lines: readonly string[]): readonly LogNews[] {
  return createLogReader().read(lines.map((line) => `2026-01-01T00:00:${line}\n`).join(''), true);
}
