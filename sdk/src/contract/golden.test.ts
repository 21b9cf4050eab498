import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { AGENT_VARIABLES, formatAgentVariables, parseAgentVariables } from './agent-variables.ts';
import { isEventFile, parseEventFile } from './events.ts';
import {
  agentHandlerEnvironment,
  formatHandlerEnvironment,
  parseHandlerEnvironment,
} from './handler-environment.ts';
import { formatHandlerStatus, parseHandlerStatus } from './handler-status.ts';
import { parseHeartbeat } from './heartbeat.ts';
import { judgeHeartbeat } from './heartbeat-verdict.ts';
import { formatHandlerFolder, LIB_FOLDER, LOG_FOLDER } from './package-layout.ts';
import { formatSettings, NO_SETTINGS, parseSettings } from './settings.ts';
import { ERROR_CLARIFICATION, parseStatus } from './status.ts';
import { judgeStatus } from './status-verdict.ts';

const NAME = 'Contoso.Samples.Greeter';
const golden = (file: string): string =>
  readFileSync(fileURLToPath(new URL(`fixtures/golden/${file}`, import.meta.url)), 'utf8');
const judge = (file: string) =>
  judgeStatus({ text: golden(file), file, extension: NAME, handlerFolder: `${NAME}-1.2.3`, sequence: 0 });

describe("the agent's own files", () => {
  it('HandlerEnvironment.json is read, and written byte for byte', () => {
    const text = golden('HandlerEnvironment.json');
    const folder = `${LIB_FOLDER}/${formatHandlerFolder(NAME, '1.2.3')}`;
    const environment = agentHandlerEnvironment(folder, `${LOG_FOLDER}/${NAME}`);
    expect(parseHandlerEnvironment(text, 'f')).toEqual(environment);
    expect(formatHandlerEnvironment(NAME, environment)).toBe(text);
  });

  it('settings are read, and written byte for byte', () => {
    expect(parseSettings(golden('nulls.settings'), 'f')).toEqual(NO_SETTINGS);
    expect(parseSettings(golden('empty.settings'), 'f')).toEqual(NO_SETTINGS);
    expect(formatSettings({ publicSettings: null, protectedSettings: null, thumbprint: null })).toBe(
      golden('nulls.settings'),
    );
    const publicSettings = { greeting: 'grüß dich', count: 3, list: [], nested: { on: true } };
    const settings = { publicSettings, protectedSettings: 'TUlJQg==', thumbprint: '0123456789'.repeat(4) };
    expect(parseSettings(golden('full.settings'), 'f')).toEqual(settings);
    expect(formatSettings(settings)).toBe(golden('full.settings'));
  });

  it('HandlerStatus is read, and written byte for byte', () => {
    const text = golden('HandlerStatus');
    const status = parseHandlerStatus(text, 'f');
    expect(status).toEqual({
      handlerName: NAME,
      version: '1.2.3',
      status: 'Ready',
      code: 0,
      message: 'Plugin enabled',
      supportsMultiConfig: false,
    });
    expect(formatHandlerStatus(status)).toBe(text);
  });

  it('the list of supported features is read, and written byte for byte', () => {
    const text = golden('supported-features.txt');
    const env = formatAgentVariables({
      extensionPath: '/e',
      extensionVersion: '1.2.3',
      wireProtocolAddress: '168.63.129.16',
      sequenceNumber: 0,
    });
    expect(env[AGENT_VARIABLES.supportedFeatures]).toBe(text);
    expect(parseAgentVariables({ [AGENT_VARIABLES.supportedFeatures]: text }).supportedFeatures).toEqual([
      { key: 'ExtensionTelemetryPipeline', value: '1.0' },
    ]);
  });

  it('the status that the agent writes for a handler is read', () => {
    expect(parseStatus(golden('agent-written.status'), 'f')).toMatchObject({ status: 'error', code: -1 });
    expect(judge('agent-written.status').explanation).toBeUndefined();
  });
});

describe("other handlers' files", () => {
  it('a status of Custom Script is read, with the code of its error', () => {
    const status = parseStatus(golden('custom-script-error.status'), 'f');
    expect(status).toMatchObject({ operation: 'Enable', status: 'error', code: 0 });
    expect(status.message).toContain('[stdout]\n<out>\n[stderr]');
    expect(status.substatus).toEqual([{ name: ERROR_CLARIFICATION, status: 'error', code: 7, message: '' }]);
    expect(judge('custom-script-error.status')).toMatchObject({ explanation: undefined, silencesVm: false });
  });

  it('both forms of a heartbeat are read, and the status is taken as it stands', () => {
    const text = golden('agent-form-heartbeat.log');
    expect(parseHeartbeat(text, 'f')).toEqual({ status: 'Ready', message: 'All is well' });
    const old = golden('document-form-heartbeat.log');
    expect(parseHeartbeat(old, 'f')).toEqual({ status: 'ready', message: undefined });
    expect(judgeHeartbeat({ text: old, ageSeconds: 0, file: 'f' })).toEqual({
      kind: 'reported',
      status: 'ready',
      message: undefined,
    });
  });

  it('a telemetry event is read', () => {
    const file = '1767323045000000.json';
    expect(isEventFile(file)).toBe(true);
    const { events, dropped } = parseEventFile(golden(file), file);
    expect(dropped).toEqual([]);
    expect(events[0]).toMatchObject({ version: '1.2.3', taskName: 'Enable', pid: '4711' });
  });
});
