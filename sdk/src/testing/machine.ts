/**
 * A machine for tests of a handler: agent folders in a temporary directory, settings in, observed status, exit code and
 * files out. Runs the whole lifecycle in this process, with a clock that does not wait. Contract and files are the real
 * ones; only the commands can be scripted.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { formatAgentVariables, WIRE_SERVER_ADDRESS } from '../contract/agent-variables.ts';
import { agentHandlerEnvironment, formatHandlerEnvironment } from '../contract/handler-environment.ts';
import type { HeartbeatReading } from '../contract/heartbeat.ts';
import { parseHeartbeat } from '../contract/heartbeat.ts';
import type { Operation } from '../contract/operations.ts';
import {
  formatCertificateFiles,
  formatHandlerFolder,
  formatHandlerName,
  formatSequenceFile,
  formatSettingsFile,
  formatStatusFile,
  HANDLER_ENVIRONMENT_FILE,
  LIB_FOLDER,
  LOG_FOLDER,
} from '../contract/package-layout.ts';
import { formatSettings } from '../contract/settings.ts';
import type { Status } from '../contract/status.ts';
import { parseStatus } from '../contract/status.ts';
import type { ExecOptions, ExecResult } from '../exec.ts';
import { execCommand } from '../exec.ts';
import { EXTENSION_FILE, parseExtensionDescription } from '../extension-description.ts';
import type { HandlerDefinition } from '../handler.ts';
import type { Host } from '../host.ts';
import { runOperation } from '../lifecycle.ts';
import { HANDLER_LOG_FILE } from '../log.ts';
import type { TestCertificate } from './certificates.ts';
import { createCertificate } from './certificates.ts';
import { encryptProtectedSettings } from './envelopes.ts';

/** What a scripted command answers; what is left out is empty, or success. */
export type ScriptedResult = Partial<
  Pick<ExecResult, 'exitCode' | 'signal' | 'stdout' | 'stderr' | 'timedOut'>
>;

/** What is special about a machine. */
export interface TestMachineOptions {
  /** Content of `extension.json`; default: a small valid one. */
  readonly extension?: unknown;
  /** Answers commands instead of running them; `undefined` runs the real program. */
  readonly exec?: (argv: readonly string[], options: ExecOptions) => ScriptedResult | undefined;
  /** Answers requests instead of the network; default: real requests. */
  readonly fetch?: typeof globalThis.fetch;
}

/** Settings of one sequence as a user gives them. */
export interface TestSettings {
  readonly public?: Readonly<Record<string, unknown>> | null;
  /** Encrypted to the machine's own certificate, as the platform does it. */
  readonly protected?: Readonly<Record<string, unknown>> | null;
}

/** How one operation is run. */
export interface OperationOptions {
  readonly sequence?: number;
  readonly extensionName?: string;
  readonly signal?: AbortSignal;
  /** Further variables of the environment; `undefined` removes one of the agent's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Runs another version's folder; default: the version of the extension. */
  readonly version?: string;
}

/** How one operation ended. */
export interface OperationOutcome {
  readonly exitCode: number;
  readonly stderr: string;
  /** The status of this sequence afterwards; `undefined` when there is none. */
  readonly status: Status | undefined;
}

/** A machine for tests, with the agent's part played: see {@link createTestMachine}. */
export interface TestMachine {
  /** The temporary directory. */
  readonly root: string;
  readonly host: Host;
  readonly handlerName: string;
  /** Where an absolute path of the VM is on this machine. */
  path(absolute: string): string;
  /** The folder of a version as the handler sees it. */
  handlerFolder(version?: string): string;
  /** Lays a version out as the agent does after unpacking; the first one is there already. */
  addVersion(version: string): void;
  /** Writes the settings file of a sequence. */
  writeSettings(sequence: number, settings: TestSettings, extensionName?: string): void;
  /** Writes the settings file of a sequence with just this text. */
  writeSettingsText(sequence: number, text: string, version?: string, extensionName?: string): void;
  /** Runs one operation as the agent does. What fails is in the outcome; nothing is thrown for it. */
  run<Public, Protected>(
    definition: HandlerDefinition<Public, Protected>,
    operation: Operation,
    options?: OperationOptions,
  ): Promise<OperationOutcome>;
  /** Writes the settings and runs enable: the usual test in one call. */
  enable<Public, Protected>(
    definition: HandlerDefinition<Public, Protected>,
    settings?: TestSettings,
    options?: OperationOptions,
  ): Promise<OperationOutcome>;
  /** Commands that were run or scripted, in order. */
  readonly commands: readonly (readonly string[])[];
  /** Text of a file of the VM; `undefined` when there is none. */
  readText(absolute: string): string | undefined;
  /** The status of a sequence; `undefined` when there is none. Throws for one that is malformed. */
  readStatus(sequence: number, version?: string, extensionName?: string): Status | undefined;
  /** Text of the file with the number that was processed last; `undefined` when there is none. */
  readSequence(version?: string, extensionName?: string): string | undefined;
  /** The heartbeat as the agent reads it; `undefined` when there is none. */
  readHeartbeat(version?: string): HeartbeatReading | undefined;
  /** The handler's log, one JSON object a line; empty when there is none. */
  readLog(): string;
  readonly certificate: TestCertificate;
  /** Moves the clock; limits and pauses that end by then end. */
  advance(ms: number): Promise<void>;
  /** Removes the temporary directory, and nothing else. */
  remove(): void;
}

const SAMPLE_EXTENSION = { publisher: 'Contoso.Samples', type: 'Greeter', version: '1.0.0' };
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

let sharedCertificate: TestCertificate | undefined;

/** Makes a machine. Call {@link TestMachine.remove} at the end of the test. */
export function createTestMachine(options: TestMachineOptions = {}): TestMachine {
  const root = mkdtempSync(join(tmpdir(), 'handlerkit-test-'));
  const extension = options.extension ?? SAMPLE_EXTENSION;
  const description = parseExtensionDescription(extension, EXTENSION_FILE);
  const handlerName = formatHandlerName(description.publisher, description.type);
  // A key takes a tenth of a second to make, and nothing in a test depends on its being new.
  sharedCertificate ??= createCertificate();
  const certificate = sharedCertificate;
  const path = (absolute: string): string => mapPath(root, absolute);
  const clock = createClock();
  const commands: (readonly string[])[] = [];
  const exec: Host['exec'] = async (argv, execOptions = {}) => {
    commands.push(argv);
    const scripted = options.exec?.(argv, execOptions);
    return scripted === undefined ? execCommand(argv, execOptions) : completeResult(scripted);
  };
  const createHost = (env: Host['env']): Host => ({
    root,
    env,
    now: clock.now,
    elapsedMs: clock.elapsedMs,
    sleep: clock.sleep,
    exec,
    fetch: options.fetch ?? ((...input) => globalThis.fetch(...input)),
    path,
  });
  const handlerFolder = (version = description.version): string =>
    join(LIB_FOLDER, formatHandlerFolder(handlerName, version));
  const write = (absolute: string, text: string): void => {
    mkdirSync(dirname(path(absolute)), { recursive: true });
    writeFileSync(path(absolute), text, { mode: 0o600 });
  };
  const addVersion = (version: string): void => {
    const environment = agentHandlerEnvironment(handlerFolder(version), join(LOG_FOLDER, handlerName));
    for (const folder of [environment.configFolder, environment.statusFolder, environment.eventsFolder]) {
      if (folder !== undefined) mkdirSync(path(folder), { recursive: true, mode: 0o700 });
    }
    write(
      join(handlerFolder(version), HANDLER_ENVIRONMENT_FILE),
      formatHandlerEnvironment(handlerName, environment),
    );
  };
  const settingsPath = (sequence: number, extensionName?: string, version?: string): string =>
    join(
      agentHandlerEnvironment(handlerFolder(version), LOG_FOLDER).configFolder,
      formatSettingsFile(sequence, extensionName),
    );
  const writeSettings: TestMachine['writeSettings'] = (sequence, settings, extensionName) => {
    const hidden = settings.protected ?? null;
    const text = formatSettings({
      publicSettings: settings.public ?? null,
      protectedSettings:
        hidden === null ? null : encryptProtectedSettings(hidden, certificate.certificatePem),
      thumbprint: hidden === null ? null : certificate.thumbprint,
    });
    write(settingsPath(sequence, extensionName), text);
  };
  const readText = (absolute: string): string | undefined =>
    existsSync(path(absolute)) ? readFileSync(path(absolute), 'utf8') : undefined;
  const readStatus: TestMachine['readStatus'] = (sequence, version, extensionName) => {
    const { statusFolder } = agentHandlerEnvironment(handlerFolder(version), LOG_FOLDER);
    const file = join(statusFolder, formatStatusFile(sequence, extensionName));
    const text = readText(file);
    return text === undefined ? undefined : parseStatus(text, file);
  };
  const run: TestMachine['run'] = async (definition, operation, operationOptions = {}) => {
    const { sequence = 0, extensionName, version = description.version } = operationOptions;
    const variables = formatAgentVariables({
      extensionPath: handlerFolder(version),
      extensionVersion: version,
      wireProtocolAddress: WIRE_SERVER_ADDRESS,
      sequenceNumber: sequence,
      extensionName,
    });
    let stderr = '';
    const exitCode = await runOperation(definition, extension, [operation], {
      host: createHost({ ...variables, ...operationOptions.env }),
      programPath: path(join(handlerFolder(version), 'bin', 'handler')),
      signal: operationOptions.signal ?? new AbortController().signal,
      stderr: (text) => {
        stderr += text;
      },
    });
    return { exitCode, stderr, status: readStatus(sequence, version, extensionName) };
  };
  addVersion(description.version);
  const names = formatCertificateFiles(certificate.thumbprint);
  write(join(LIB_FOLDER, names.certificate), certificate.certificateFileText);
  write(join(LIB_FOLDER, names.privateKey), certificate.privateKeyFileText);
  write(BOOT_ID_FILE, '11111111-2222-4333-8444-555555555555\n');
  return {
    root,
    host: createHost({}),
    handlerName,
    path,
    handlerFolder,
    addVersion,
    writeSettings,
    writeSettingsText: (sequence, text, version, extensionName) =>
      write(settingsPath(sequence, extensionName, version), text),
    run,
    enable: async (definition, settings = {}, operationOptions = {}) => {
      writeSettings(operationOptions.sequence ?? 0, settings, operationOptions.extensionName);
      return run(definition, 'enable', operationOptions);
    },
    commands,
    readText,
    readStatus,
    readSequence: (version, extensionName) =>
      readText(join(handlerFolder(version), formatSequenceFile(extensionName))),
    readHeartbeat: (version) => {
      const { heartbeatFile } = agentHandlerEnvironment(handlerFolder(version), LOG_FOLDER);
      const text = readText(heartbeatFile);
      return text === undefined ? undefined : parseHeartbeat(text, heartbeatFile);
    },
    readLog: () => readText(join(LOG_FOLDER, handlerName, HANDLER_LOG_FILE)) ?? '',
    certificate,
    advance: clock.advance,
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** Processes are the machine's own, since that is where the commands run; everything else is below the root. */
function mapPath(root: string, absolute: string): string {
  return /^\/proc\/\d/.test(absolute) || absolute === '/dev/null' ? absolute : join(root, absolute);
}

function completeResult(scripted: ScriptedResult): ExecResult {
  const { exitCode = 0, signal = null, stdout = '', stderr = '', timedOut = false } = scripted;
  return { exitCode, signal, stdout, stderr, timedOut, aborted: false, durationMs: 0 };
}

interface Clock extends Pick<Host, 'now' | 'elapsedMs' | 'sleep'> {
  advance(ms: number): Promise<void>;
}

/** A clock that stands still until it is moved. A pause of less than a second ends at once, a longer one when its time has come. */
function createClock(): Clock {
  const start = Date.UTC(2026, 0, 2, 3, 4, 5);
  let elapsed = 0;
  const waiting = new Set<{ readonly until: number; readonly wake: () => void }>();
  return {
    now: () => new Date(start + elapsed),
    elapsedMs: () => elapsed,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) {
          reject(signal.reason);
          return;
        }
        const pause = {
          until: elapsed + ms,
          wake: () => {
            waiting.delete(pause);
            signal?.removeEventListener('abort', onAbort);
            resolve();
          },
        };
        const onAbort = (): void => {
          waiting.delete(pause);
          reject(signal?.reason);
        };
        signal?.addEventListener('abort', onAbort, { once: true });
        waiting.add(pause);
        if (ms < SHORT_PAUSE_MS) {
          setImmediate(() => {
            if (!waiting.has(pause)) return;
            elapsed = Math.max(elapsed, pause.until);
            pause.wake();
          });
        }
      }),
    advance: async (ms) => {
      elapsed += ms;
      for (const pause of [...waiting]) if (pause.until <= elapsed) pause.wake();
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

/** Pauses of retries are skipped; limits of minutes are for the test to reach. */
const SHORT_PAUSE_MS = 1_000;
