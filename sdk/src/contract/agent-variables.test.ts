import { describe, expect, it } from 'vitest';
import {
  AGENT_VARIABLES,
  DISABLE_NOT_RUN,
  formatAgentVariables,
  NOT_RUN,
  parseAgentVariables,
} from './agent-variables.ts';
import { ContractError } from './json.ts';

describe('the variables', () => {
  it("have the agent's names", () => {
    expect(Object.values(AGENT_VARIABLES).sort()).toEqual([
      'AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODE',
      'AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODES_MULTIPLE_EXTENSIONS',
      'AZURE_GUEST_AGENT_EXTENSION_PATH',
      'AZURE_GUEST_AGENT_EXTENSION_SUPPORTED_FEATURES',
      'AZURE_GUEST_AGENT_EXTENSION_VERSION',
      'AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE',
      'AZURE_GUEST_AGENT_UPDATING_FROM_VERSION',
      'AZURE_GUEST_AGENT_WIRE_PROTOCOL_ADDRESS',
      'ConfigExtensionName',
      'ConfigSequenceNumber',
      'VERSION',
    ]);
  });

  it('come back as they were given', () => {
    const env = formatAgentVariables({
      extensionPath: '/var/lib/waagent/N-1.1.0',
      extensionVersion: '1.1.0',
      wireProtocolAddress: '168.63.129.16',
      sequenceNumber: 7,
      extensionName: 'first',
      uninstallExitCode: '0',
      updatingFromVersion: '1.0.0',
      targetVersion: '1.1.0',
      disableExitCode: '1011',
      disableExitCodes: [
        { extensionName: 'first', exitCode: '5' },
        { extensionName: '__proto__', exitCode: DISABLE_NOT_RUN },
      ],
    });
    expect(env.AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODES_MULTIPLE_EXTENSIONS).toBe(
      '[{"extensionName": "first", "exitCode": "5"}, {"extensionName": "__proto__", "exitCode": "None"}]',
    );
    const parsed = parseAgentVariables(env);
    expect({ ...parsed, disableExitCodes: Object.entries(parsed.disableExitCodes) }).toEqual({
      extensionPath: '/var/lib/waagent/N-1.1.0',
      extensionVersion: '1.1.0',
      wireProtocolAddress: '168.63.129.16',
      sequenceNumber: 7,
      extensionName: 'first',
      supportedFeatures: [{ key: 'ExtensionTelemetryPipeline', value: '1.0' }],
      uninstallExitCode: 0,
      updatingFromVersion: '1.0.0',
      targetVersion: '1.1.0',
      disableExitCode: 1011,
      disableExitCodes: [
        ['first', 5],
        ['__proto__', 'not-run'],
      ],
    });
  });

  it('are only those that an operation has', () => {
    const env = formatAgentVariables({
      extensionPath: '/p',
      extensionVersion: '1',
      wireProtocolAddress: 'w',
      sequenceNumber: 0,
    });
    expect(Object.keys(env)).toHaveLength(5);
    expect(env.ConfigSequenceNumber).toBe('0');
  });
});

describe('parseAgentVariables', () => {
  it.each([
    [undefined, undefined],
    ['', undefined],
    ['0', 0],
    ['2147483648', 2_147_483_648],
    ['007', 7],
  ])('reads the sequence number %j as %s', (text, expected) => {
    expect(parseAgentVariables({ ConfigSequenceNumber: text }).sequenceNumber).toBe(expected);
  });

  it.each(['-1', '1.5', 'x', ' 1', '1\n', '1e3', '0x1', '9'.repeat(16), 'None'])(
    'refuses the sequence number %j',
    (text) => {
      const parse = () => parseAgentVariables({ ConfigSequenceNumber: text });
      expect(parse).toThrow(ContractError);
      expect(parse).toThrow('environment: ConfigSequenceNumber must be a whole number from 0 up');
    },
  );

  it.each([
    [undefined, 'not-run'],
    ['', 'not-run'],
    [NOT_RUN, 'not-run'],
    [DISABLE_NOT_RUN, 'not-run'],
    ['0', 0],
    ['-9', -9],
    ['1011', 1011],
    ['x', 'not-run'],
  ] as const)('reads the exit code %j as %s', (text, expected) => {
    const parsed = parseAgentVariables({
      AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE: text,
      AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODE: text,
    });
    expect(parsed.uninstallExitCode).toBe(expected);
    expect(parsed.disableExitCode).toBe(expected);
  });

  it.each<[string, unknown, string]>([
    ['[{"extensionName": "a", "exitCode": 3}]', { a: 3 }, 'a number instead of a text'],
    ['[{"extensionName": "a", "exitCode": {"toString": 1}}]', { a: 'not-run' }, 'an object'],
    ['[{"extensionName": "a"}, {"exitCode": "1"}, null, 5, []]', { a: 'not-run' }, 'rows without a member'],
    ['{}', {}, 'no array'],
    ['[', {}, 'no JSON'],
    ['', {}, 'nothing'],
  ])('reads the exit codes %s (%s)', (text, expected) => {
    const name = 'AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODES_MULTIPLE_EXTENSIONS';
    expect(parseAgentVariables({ [name]: text }).disableExitCodes).toEqual(expected);
  });

  it.each([
    ['[{"Key": "A", "Value": "1"}, {"Key": "B", "Value": 1}, {"Value": "1"}]', [{ key: 'A', value: '1' }]],
    ['null', []],
    ['x', []],
  ])('reads the features %s', (text, expected) => {
    const name = 'AZURE_GUEST_AGENT_EXTENSION_SUPPORTED_FEATURES';
    expect(parseAgentVariables({ [name]: text }).supportedFeatures).toEqual(expected);
  });
});
