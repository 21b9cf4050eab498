import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAgentVariables } from './agent-variables.ts';
import { formatEvent, parseEventFile } from './events.ts';
import { formatHandlerEnvironment, parseHandlerEnvironment } from './handler-environment.ts';
import { parseHandlerManifest } from './handler-manifest.ts';
import { formatHandlerStatus, parseHandlerStatus } from './handler-status.ts';
import { formatHeartbeat, parseHeartbeat } from './heartbeat.ts';
import { judgeHeartbeat } from './heartbeat-verdict.ts';
import { ContractError } from './json.ts';
import {
  formatSettingsFile,
  formatStatusFile,
  parseHandlerFolder,
  parseSettingsFile,
  parseStatusFile,
} from './package-layout.ts';
import { formatSequence, parseSequence } from './sequence.ts';
import { formatSettings, parseSettings } from './settings.ts';
import { formatStatus, parseStatus, STATUS_TARGET_BYTES, STATUS_VALUES } from './status.ts';
import { judgeStatus } from './status-verdict.ts';

const SEED = 20260102;
function check<T>(property: fc.IPropertyWithHooks<T>, numRuns = 300): void {
  fc.assert(property, { seed: SEED, numRuns });
}

/** JSON that is built from the words of the contract, so that it gets far into each parser. */
const words = fc.constantFrom(
  ...['status', 'substatus', 'formattedMessage', 'lang', 'message', 'name', 'code', 'heartbeat', '__proto__'],
  ...['runtimeSettings', 'handlerSettings', 'publicSettings', 'protectedSettings', 'handlerManifest'],
  ...['protectedSettingsCertThumbprint', 'handlerEnvironment', 'updateMode', 'resourceLimits', 'toString'],
  ...['logFolder', 'configFolder', 'statusFolder', 'enableCommand', 'Message', 'Version', 'success'],
);
const nearContract = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fc.oneof(words, fc.constantFrom(null, true, 0, -1, 1.5, '')),
    fc.array(tie('node'), { maxLength: 3 }),
    fc.array(fc.tuple(words, tie('node')), { maxLength: 4 }).map((rows) => Object.fromEntries(rows)),
  ),
})).node;
const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.json(),
  nearContract.map((value) => JSON.stringify(value)),
  nearContract.map((value) => JSON.stringify([value])),
);

describe('a parser of the contract', () => {
  it.each([
    ['settings', parseSettings],
    ['handler environment', parseHandlerEnvironment],
    ['handler manifest', parseHandlerManifest],
    ['handler status', parseHandlerStatus],
    ['heartbeat', parseHeartbeat],
    ['status', parseStatus],
    ['events', parseEventFile],
    ['mrseq', parseSequence],
  ] as const)(
    'throws nothing but ContractError: %s',
    (_name, parse: (text: string, file: string) => unknown) => {
      check(
        fc.property(anyText, (text) => {
          try {
            parse(text, 'some-file');
          } catch (error) {
            expect(error).toBeInstanceOf(ContractError);
            expect((error as ContractError).message).toMatch(/^some-file: /);
          }
        }),
        1500,
      );
    },
  );

  it('throws nothing but ContractError for any environment', () => {
    const names = fc.constantFrom(
      'ConfigSequenceNumber',
      'AZURE_GUEST_AGENT_EXTENSION_SUPPORTED_FEATURES',
      'AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODES_MULTIPLE_EXTENSIONS',
      'AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODE',
    );
    check(
      fc.property(fc.dictionary(names, anyText), (env) => {
        try {
          parseAgentVariables(env);
        } catch (error) {
          expect(error).toBeInstanceOf(ContractError);
        }
      }),
    );
  });
});

describe('a verdict', () => {
  it('is given for any status file, with a reason whenever the agent reports something else', () => {
    check(
      fc.property(anyText, (text) => {
        const verdict = judgeStatus({ text, file: 'f', extension: 'e', handlerFolder: 'e-1', sequence: 0 });
        if (verdict.silencesVm || verdict.reported.status === null || verdict.reported.code === 1012) {
          expect(verdict.explanation).toMatch(/\w/);
        }
      }),
      3000,
    );
  });

  it('is given for any heartbeat file', () => {
    check(
      fc.property(anyText, fc.nat(2000), (text, ageSeconds) => {
        expect(judgeHeartbeat({ text, ageSeconds, file: 'f' }).kind).toMatch(
          /ignored|reported|failed|silences/,
        );
      }),
      1500,
    );
  });
});

describe('what is formatted', () => {
  const text = fc.string({ unit: 'binary', maxLength: 300 });
  const wellFormed = fc.string({ unit: 'grapheme', maxLength: 60 });
  const name = fc.stringMatching(/^[A-Za-z][\w-]{0,20}$/);

  it('parses to the same: settings', () => {
    const value = fc.record({
      publicSettings: fc.oneof(fc.constant(null), fc.dictionary(text, fc.jsonValue())),
      protectedSettings: fc.oneof(fc.constant(null), fc.base64String({ minLength: 4 })),
      thumbprint: fc.constant('AB'.repeat(20)),
    });
    check(
      fc.property(value, (settings) => {
        const parsed = parseSettings(formatSettings(settings), 'f');
        expect(JSON.stringify(parsed.publicSettings)).toBe(JSON.stringify(settings.publicSettings ?? {}));
        expect(parsed.protectedSettings).toBe(settings.protectedSettings ?? undefined);
        expect(parsed.thumbprint).toBe(settings.thumbprint);
      }),
    );
  });

  it('parses to the same: handler environment and handler status', () => {
    const path = wellFormed.map((part) => `/${part}`);
    const value = fc.record({
      logFolder: path,
      configFolder: path,
      statusFolder: path,
      heartbeatFile: fc.option(path, { nil: undefined }),
      eventsFolder: fc.option(path, { nil: undefined }),
    });
    check(
      fc.property(name, value, (handlerName, environment) => {
        expect(parseHandlerEnvironment(formatHandlerEnvironment(handlerName, environment), 'f')).toEqual(
          environment,
        );
      }),
    );
    const status = fc.record({
      handlerName: name,
      version: fc.constantFrom('1.0.0', '2.1'),
      status: fc.constantFrom('Ready', 'NotReady'),
      code: fc.integer(),
      message: fc.option(text),
      supportsMultiConfig: fc.boolean(),
    });
    check(
      fc.property(status, (one) => {
        expect(parseHandlerStatus(formatHandlerStatus(one), 'f')).toEqual(one);
      }),
    );
  });

  it('parses to the same: file names and mrseq', () => {
    const sequence = fc.nat();
    check(
      fc.property(sequence, fc.option(name, { nil: undefined }), (number, extensionName) => {
        const expected = { sequence: number, extensionName };
        expect(parseSettingsFile(formatSettingsFile(number, extensionName))).toEqual(expected);
        expect(parseStatusFile(formatStatusFile(number, extensionName))).toEqual(expected);
        expect(parseSettingsFile(formatStatusFile(number, extensionName))).toBeUndefined();
        expect(parseSequence(formatSequence(number), 'mrseq')).toBe(number);
      }),
    );
    check(
      fc.property(fc.stringMatching(/^[A-Z][\w.-]{0,20}$/), (handlerName) => {
        expect(parseHandlerFolder(`${handlerName}-1.2.3`)).toEqual({ handlerName, version: '1.2.3' });
      }),
    );
  });

  it('is taken by the agent as it stands: statuses of any text', () => {
    const long = fc
      .tuple(text, fc.nat(4000))
      .map(([part, times]) => part.repeat(times % (part.length > 50 ? 300 : 4000)));
    const status = fc.record({
      operation: text,
      status: fc.constantFrom(...STATUS_VALUES),
      code: fc.oneof(fc.integer(), fc.double()),
      message: fc.oneof(text, long),
      substatus: fc.array(
        fc.record({
          name: text,
          status: fc.constantFrom(...STATUS_VALUES),
          code: fc.integer(),
          message: fc.oneof({ weight: 5, arbitrary: text }, { weight: 1, arbitrary: long }),
        }),
        { maxLength: 30 },
      ),
      time: fc.constant('2026-01-02T03:04:05Z'),
    });
    check(
      fc.property(status, (one) => {
        const file = formatStatus(one);
        expect(Buffer.byteLength(file)).toBeLessThan(STATUS_TARGET_BYTES);
        expect(file.isWellFormed()).toBe(true);
        const { reported, silencesVm, explanation } = judgeStatus({
          text: file,
          file: 'f',
          extension: 'e',
          handlerFolder: 'e-1',
          sequence: 0,
        });
        expect({ silencesVm, explanation }).toEqual({ silencesVm: false, explanation: undefined });
        expect(reported.status).toBe(one.status);
        expect(Number.isSafeInteger(reported.code)).toBe(true);
        expect(parseStatus(file, 'f').substatus).toHaveLength(one.substatus.length);
      }),
      200,
    );
  });

  it('is taken by the agent as it stands: heartbeats and events of any text', () => {
    const status = fc.constantFrom('Ready' as const, 'NotReady' as const);
    check(
      fc.property(status, fc.integer(), text, (value, code, message) => {
        const verdict = judgeHeartbeat({
          text: formatHeartbeat({ status: value, code, message }),
          ageSeconds: 0,
          file: 'f',
        });
        expect(verdict).toMatchObject({ kind: 'reported', status: value });
      }),
    );
    const event = fc.record({
      version: text,
      timestamp: text,
      taskName: text,
      level: fc.constantFrom('Error' as const, 'Warning' as const),
      message: text,
      pid: fc.nat(),
      tid: fc.nat(),
      operationId: text,
    });
    check(
      fc.property(event, (one) => {
        const file = formatEvent(one);
        if (file === undefined) expect(one.message.trim()).toBe('');
        else expect(parseEventFile(file, 'f').dropped).toEqual([]);
      }),
    );
  });
});
