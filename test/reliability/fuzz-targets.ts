/**
 * Every public parser of the contract, for the fuzzing: texts that it takes, from which broken ones are made, the one error that
 * it may throw, and, where what it gives can be written again, how.
 */

import { parseExtensionDescription, redactUrls } from '@handlerkit/sdk';
import {
  ContractError,
  formatEvent,
  formatHandlerEnvironment,
  formatHandlerManifest,
  formatHandlerStatus,
  formatHeartbeat,
  formatPythonJson,
  formatSequence,
  formatSettings,
  formatStatus,
  InvalidPolicy,
  isVersion,
  judgeHeartbeat,
  judgeStatus,
  parseAgentConfiguration,
  parseAgentPolicy,
  parseAgentVariables,
  parseEventFile,
  parseHandlerEnvironment,
  parseHandlerFolder,
  parseHandlerManifest,
  parseHandlerStatus,
  parseHeartbeat,
  parseSequence,
  parseSettings,
  parseSettingsFile,
  parseStatus,
  parseStatusFile,
  parseUploadedStatus,
  pythonJsonError,
  redactSas,
} from '@handlerkit/sdk/contract';

export interface FuzzTarget {
  readonly name: string;
  readonly texts: readonly string[];
  /** Gives the value in a form that can be compared. */
  parse(text: string): unknown;
  /** True for the documented error. */
  isRefusal(thrown: unknown): boolean;
  /** Text that must parse to the same value. */
  format?(value: unknown): string;
}

const FILE = 'some-file';
const isContractError = (thrown: unknown): boolean =>
  thrown instanceof ContractError && thrown.file === FILE && thrown.message.startsWith(`${FILE}: `);
const never = (): boolean => false;
const TIME = '2026-01-02T03:04:05Z';
const STATUS = {
  operation: 'Enable',
  status: 'success',
  code: 0,
  message: 'Enable succeeded: \u00e4 \u{1f512}',
  substatus: [{ name: 'step', status: 'warning', code: 7, message: 'a "quoted" line\n' }],
  time: TIME,
} as const;
const COMMANDS = { install: 'h install', enable: 'h enable', disable: 'h disable' };
const DESCRIPTION = {
  publisher: 'Contoso.Samples',
  type: 'Greeter',
  version: '1.0.0',
  label: 'Greeter',
  entry: 'src/main.ts',
  enable: { detached: true, timeoutMinutes: 90, rerun: 'once-per-sequence' },
  manifest: { updateMode: 'UpdateWithInstall', reportHeartbeat: false },
  runtime: 'bun',
  architectures: ['x64', 'arm64'],
  files: ['resources/**'],
};
const VARIABLES: Readonly<Record<string, string>> = {
  ConfigSequenceNumber: '7',
  ConfigExtensionName: 'second',
  AZURE_GUEST_AGENT_EXTENSION_SUPPORTED_FEATURES: '[{"Key": "ExtensionTelemetryPipeline", "Value": "1.0"}]',
  AZURE_GUEST_AGENT_DISABLE_CMD_EXIT_CODES_MULTIPLE_EXTENSIONS: '[{"extensionName": "a", "exitCode": "0"}]',
  AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE: 'NOT_RUN',
};
const UPLOADED = {
  aggregateStatus: {
    guestAgentStatus: { version: '2.15.0.1', status: 'Ready' },
    vmArtifactsAggregateStatus: { goalStateAggregateStatus: { inSvdSeqNo: '3', code: 0 } },
    handlerAggregateStatus: [{ handlerName: 'A.B', handlerVersion: '1.0', status: 'Ready', code: 0 }],
  },
};
const judged = { file: FILE, extension: 'e', handlerFolder: 'e-1', sequence: 0 };

/** A parser of JSON that refuses with `ContractError`. */
function json(
  name: string,
  texts: readonly string[],
  parse: (text: string, file: string) => unknown,
  format?: (value: never) => string,
): FuzzTarget {
  const target = { name, texts, parse: (text: string) => parse(text, FILE), isRefusal: isContractError };
  // What was parsed is what its own format takes.
  return format === undefined ? target : { ...target, format: (value) => format(value as never) };
}

function isPlain(value: unknown, depth = 0): boolean {
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0);
  if (typeof value !== 'object' || value === null) return true;
  return depth < 300 && Object.values(value).every((one) => isPlain(one, depth + 1));
}

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  json(
    'settings',
    [
      '',
      formatSettings({
        publicSettings: { a: 1, list: [null, true, { b: '\u00e9' }] },
        protectedSettings: 'MIIB',
        thumbprint: 'AB'.repeat(20),
      }),
      formatSettings({ publicSettings: null, protectedSettings: null, thumbprint: null }),
    ],
    (text, file) => {
      const settings = parseSettings(text, file);
      // JSON cannot write down numbers beyond its range, and nobody writes what is deeper than a stack.
      return isPlain(settings.publicSettings) ? settings : { ...settings, publicSettings: {} };
    },
    (settings: ReturnType<typeof parseSettings>) =>
      formatSettings({
        publicSettings: settings.publicSettings,
        protectedSettings: settings.protectedSettings ?? null,
        thumbprint: settings.thumbprint ?? null,
      }),
  ),
  json('status', [formatStatus(STATUS), formatStatus({ ...STATUS, substatus: [] })], parseStatus),
  json(
    'handler environment',
    [
      formatHandlerEnvironment('A.B', {
        logFolder: '/var/log/a',
        configFolder: '/lib/config',
        statusFolder: '/lib/status',
        heartbeatFile: '/lib/heartbeat.log',
        eventsFolder: '/var/log/a/events',
      }),
    ],
    parseHandlerEnvironment,
    (value: ReturnType<typeof parseHandlerEnvironment>) => formatHandlerEnvironment('A.B', value),
  ),
  json(
    'handler manifest',
    [
      formatHandlerManifest({
        name: 'A.B',
        version: '1.0.0',
        commands: { ...COMMANDS, update: 'h update', uninstall: 'h uninstall' },
        updateMode: 'UpdateWithInstall',
        reportHeartbeat: false,
        continueOnUpdateFailure: false,
        supportsMultipleExtensions: true,
        supportsPolicy: true,
        rebootAfterInstall: false,
      }),
    ],
    parseHandlerManifest,
  ),
  json(
    'handler status',
    [
      formatHandlerStatus({
        handlerName: 'A.B',
        version: '1.0',
        status: 'Ready',
        code: 0,
        message: 'Plugin enabled',
        supportsMultiConfig: true,
      }),
    ],
    parseHandlerStatus,
    formatHandlerStatus,
  ),
  json('heartbeat', [formatHeartbeat({ status: 'Ready', code: 0, message: 'works' })], parseHeartbeat),
  json(
    'events',
    [
      formatEvent({
        version: '1.0.0',
        timestamp: TIME,
        taskName: 'Enable',
        level: 'Error',
        message: 'said',
        pid: 7,
        tid: 7,
        operationId: 'o',
      }) ?? '',
    ],
    parseEventFile,
  ),
  json('mrseq', ['0', '17', ' 4\n', ''], parseSequence, (value: number | undefined) =>
    value === undefined ? '' : formatSequence(value),
  ),
  json('uploaded status', [JSON.stringify(UPLOADED)], parseUploadedStatus),
  json('extension.json', [JSON.stringify(DESCRIPTION)], (text, file) => {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new ContractError(file, '', 'no JSON');
    }
    return parseExtensionDescription(value, file);
  }),
  {
    name: 'agent variables',
    texts: Object.values(VARIABLES),
    parse: (text) =>
      Object.keys(VARIABLES).map((name) => {
        try {
          return parseAgentVariables({ ...VARIABLES, [name]: text });
        } catch (thrown) {
          if (thrown instanceof ContractError && thrown.file === 'environment') return 'refused';
          throw thrown;
        }
      }),
    isRefusal: never,
  },
  {
    name: 'verdict on a status',
    texts: [formatStatus(STATUS)],
    parse: (text) => judgeStatus({ text, ...judged }),
    isRefusal: never,
  },
  {
    name: 'verdict on a heartbeat',
    texts: [formatHeartbeat({ status: 'NotReady', code: 3, message: 'no' })],
    parse: (text) => judgeHeartbeat({ text, ageSeconds: 1, file: FILE }),
    isRefusal: never,
  },
  {
    name: 'policy of the agent',
    texts: [
      '{"policyVersion": "0.1.0", "extensionPolicies": {"allowListedExtensionsOnly": true, "signatureRequired": false, "extensions": {"A.B": {"signatureRequired": false}}}}',
    ],
    parse: (text) => parseAgentPolicy(text, FILE),
    isRefusal: (thrown) => thrown instanceof InvalidPolicy && thrown.message.includes(FILE),
  },
  {
    name: 'configuration of the agent',
    texts: ['# comment\nExtensions.Enabled=y\nDebug.EnableExtensionPolicy = "n"  # why\nX=\n'],
    parse: parseAgentConfiguration,
    isRefusal: never,
  },
  {
    name: 'names of files and folders',
    texts: ['7.settings', 'name.12.status', 'Contoso.Samples.Greeter-1.2.3.4', '1.0.0'],
    parse: (text) => [
      parseSettingsFile(text),
      parseStatusFile(text),
      parseHandlerFolder(text),
      isVersion(text),
    ],
    isRefusal: never,
  },
  {
    name: 'texts with URLs',
    texts: ['see https://user:pass@host/path?sig=a%2Fb#c and "http://h/?a=b"', '&sig=abc&se=2026'],
    parse: (text) => [redactUrls(text), redactSas(text)],
    isRefusal: never,
  },
  {
    name: 'JSON as Python reads it',
    texts: [formatPythonJson({ a: [1, 1.5, null, true, '\u00e9'] })],
    parse: pythonJsonError,
    isRefusal: never,
  },
];
