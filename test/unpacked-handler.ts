/**
 * A packed handler without an agent: unpacked as the agent unpacks, with what an agent lays out around it, and started as
 * an agent starts it. For what no agent brings about by itself: fifty enables at once, a kill in the middle, wrong files.
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { AgentVariablesInput, Operation, Status, StatusVerdict } from '@handlerkit/sdk/contract';
import {
  agentHandlerEnvironment,
  CONFIG_FOLDER,
  formatAgentVariables,
  formatCertificateFiles,
  formatHandlerEnvironment,
  formatHandlerFolder,
  formatSettings,
  formatSettingsFile,
  formatStatusFile,
  HANDLER_ENVIRONMENT_FILE,
  HANDLER_MANIFEST_FILE,
  judgeStatus,
  parseHandlerManifest,
  parseStatus,
  STATUS_FOLDER,
  WIRE_SERVER_ADDRESS,
} from '@handlerkit/sdk/contract';
import type { TestCertificate } from '@handlerkit/sdk/testing';
import { createCertificate, encryptProtectedSettings } from '@handlerkit/sdk/testing';
import type { TraceLine } from './probe-trace.ts';
import { readTrace } from './probe-trace.ts';

export interface UnpackedPackage {
  readonly handlerName: string;
  readonly folder: string;
  readonly certificate: TestCertificate;
  remove(): void;
}

export interface EndedOperation {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

export interface StartedOperation {
  /** The shell's pid, which is also the id of its process group. */
  readonly pid: number;
  readonly ended: Promise<EndedOperation>;
  /** Sends a signal to the whole process group, as the agent does at its time limit. */
  signalGroup(name: NodeJS.Signals): void;
}

export interface StartOptions {
  readonly sequence?: number;
  readonly version?: string;
  /** Name of one of several configurations. */
  readonly name?: string;
  /** More of the agent's variables. */
  readonly variables?: Partial<AgentVariablesInput>;
  /** Lies over the agent's variables; `undefined` takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Words of a command that runs the handler's. */
  readonly wrapper?: readonly string[];
}

/** Which of several versions and configurations; 1.0.0 and the only one unless told. */
export interface Place {
  readonly version?: string;
  readonly name?: string;
}

export interface GivenSettings {
  readonly public?: Readonly<Record<string, unknown>>;
  readonly protected?: unknown;
}

export interface LaidOutHandler {
  /** Stands for the agent's folder. */
  readonly libFolder: string;
  /** The handler's own log folder. */
  readonly logFolder: string;
  readonly eventsFolder: string;
  readonly heartbeatFile: string;
  readonly dataFolder: string;
  folder(version?: string): string;
  settingsFile(sequence: number, place?: Place): string;
  statusFile(sequence: number, place?: Place): string;
  addVersion(version: string): void;
  writeSettings(sequence: number, settings: GivenSettings, place?: Place): void;
  start(operation: Operation, options?: StartOptions): StartedOperation;
  /** Starts and waits for the end. */
  run(operation: Operation, options?: StartOptions): Promise<EndedOperation>;
  /** Writes settings and runs enable. */
  enable(sequence: number, settings: GivenSettings): Promise<EndedOperation & { readonly status: Status }>;
  readStatus(sequence: number, place?: Place): Status | undefined;
  /** What the agent would report of a status. */
  judge(sequence: number): StatusVerdict;
  trace(): TraceLine[];
  /** Pids of the processes that run a file or in a folder of this handler. */
  processes(): number[];
  /** Ends those, and removes everything. */
  remove(): void;
}

const UNPACK = 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])';
const VERSION = '1.0.0';
/** What systemd gives the agent's service. */
const AGENT_ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
};

/** Unpacks a zip with the zipfile of a Python, as the agent does, and makes the certificate of a VM. */
export function unpackPackage(zip: string, python = 'python3'): UnpackedPackage {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'handlerkit-unpacked-')));
  execFileSync(python, ['-c', UNPACK, zip, folder]);
  const manifest: unknown = JSON.parse(readFileSync(join(folder, HANDLER_MANIFEST_FILE), 'utf8'));
  const name: unknown = Array.isArray(manifest) ? Reflect.get(Object(manifest[0]), 'name') : undefined;
  execFileSync('chmod', ['-R', 'u+x', folder]);
  return {
    handlerName: String(name),
    folder,
    certificate: createCertificate(),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Lays out one machine for the package: version 1.0.0, no settings yet. */
export function layOutHandler(unpacked: UnpackedPackage): LaidOutHandler {
  const { handlerName, certificate } = unpacked;
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'handlerkit-laid-out-')));
  const libFolder = join(root, 'lib');
  const logFolder = join(root, 'log', handlerName);
  const folder = (version = VERSION): string => join(libFolder, formatHandlerFolder(handlerName, version));
  const environment = (version: string) => agentHandlerEnvironment(folder(version), logFolder);
  const { eventsFolder, heartbeatFile } = environment(VERSION);
  const settingsFile: LaidOutHandler['settingsFile'] = (sequence, { version, name } = {}) =>
    join(folder(version), CONFIG_FOLDER, formatSettingsFile(sequence, name));
  const statusFile: LaidOutHandler['statusFile'] = (sequence, { version, name } = {}) =>
    join(folder(version), STATUS_FOLDER, formatStatusFile(sequence, name));
  const readText = (file: string): string | undefined =>
    existsSync(file) ? readFileSync(file, 'utf8') : undefined;
  let outputs = 0;

  const addVersion = (version: string): void => {
    mkdirSync(dirname(folder(version)), { recursive: true, mode: 0o700 });
    linkTree(unpacked.folder, folder(version));
    mkdirSync(join(folder(version), CONFIG_FOLDER), { mode: 0o700 });
    mkdirSync(join(folder(version), STATUS_FOLDER), { mode: 0o700 });
    const text = formatHandlerEnvironment(handlerName, environment(version));
    writeFileSync(join(folder(version), HANDLER_ENVIRONMENT_FILE), text);
  };
  mkdirSync(eventsFolder, { recursive: true });
  addVersion(VERSION);
  const names = formatCertificateFiles(certificate.thumbprint);
  writeFileSync(join(libFolder, names.certificate), certificate.certificateFileText);
  writeFileSync(join(libFolder, names.privateKey), certificate.privateKeyFileText, { mode: 0o600 });

  const start: LaidOutHandler['start'] = (operation, options = {}) => {
    const { sequence = 0, version = VERSION, name, variables, env, wrapper = [] } = options;
    const contract = formatAgentVariables({
      extensionPath: folder(version),
      extensionVersion: version,
      wireProtocolAddress: WIRE_SERVER_ADDRESS,
      sequenceNumber: sequence,
      extensionName: name,
      ...variables,
    });
    const text = readFileSync(join(folder(version), HANDLER_MANIFEST_FILE), 'utf8');
    const command = parseHandlerManifest(text, HANDLER_MANIFEST_FILE).commands[operation] ?? '';
    const [program = '', ...args] = [...wrapper, '/bin/sh', '-c', `${folder(version)}/${command}`];
    const files = ['stdout', 'stderr'].map((stream) => join(root, `${++outputs}.${stream}`));
    const [stdout = '', stderr = ''] = files;
    const handles = files.map((file) => openSync(file, 'w', 0o600));
    const started = performance.now();
    const child = spawn(program, args, {
      cwd: folder(version),
      detached: true,
      env: { ...AGENT_ENVIRONMENT, ...contract, ...env },
      stdio: ['ignore', ...handles],
    });
    for (const handle of handles) closeSync(handle);
    const ended = new Promise<EndedOperation>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (exitCode) => {
        const durationMs = performance.now() - started;
        resolve({ exitCode, stdout: readText(stdout) ?? '', stderr: readText(stderr) ?? '', durationMs });
      });
    });
    const pid = child.pid ?? 0;
    return { pid, ended, signalGroup: (name) => process.kill(-pid, name) };
  };
  const readStatus: LaidOutHandler['readStatus'] = (sequence, place) => {
    const file = statusFile(sequence, place);
    const text = readText(file);
    return text === undefined ? undefined : parseStatus(text, file);
  };
  const writeSettings: LaidOutHandler['writeSettings'] = (sequence, settings, place) => {
    const isProtected = settings.protected !== undefined;
    const text = formatSettings({
      publicSettings: settings.public ?? null,
      protectedSettings: isProtected
        ? encryptProtectedSettings(settings.protected, certificate.certificatePem)
        : null,
      thumbprint: isProtected ? certificate.thumbprint : null,
    });
    writeFileSync(settingsFile(sequence, place), text);
  };
  const processes = (): number[] => findProcesses(root);

  return {
    libFolder,
    logFolder,
    eventsFolder,
    heartbeatFile,
    dataFolder: join(libFolder, `${handlerName}.data`),
    folder,
    settingsFile,
    statusFile,
    addVersion,
    writeSettings,
    start,
    run: (operation, options) => start(operation, options).ended,
    enable: async (sequence, settings) => {
      writeSettings(sequence, settings);
      const ended = await start('enable', { sequence }).ended;
      const status = readStatus(sequence);
      if (status === undefined) throw new Error(`enable left no status: ${ended.stderr}`);
      return { ...ended, status };
    },
    readStatus,
    judge: (sequence) =>
      judgeStatus({
        text: readText(statusFile(sequence)),
        file: statusFile(sequence),
        extension: handlerName,
        handlerFolder: formatHandlerFolder(handlerName, VERSION),
        sequence,
      }),
    trace: () => readTrace(logFolder),
    processes,
    remove: () => {
      for (const pid of processes()) endProcess(pid);
      rmSync(root, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    },
  };
}

/** The same files without a second copy of the program. */
function linkTree(from: string, to: string): void {
  mkdirSync(to);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) linkTree(source, target);
    else linkSync(source, target);
  }
}

/** Whatever runs in our own temporary folder was started by this test. */
function findProcesses(folder: string): number[] {
  const isOurs = (pid: string, link: string): boolean => {
    try {
      return readlinkSync(`/proc/${pid}/${link}`).startsWith(`${folder}/`);
    } catch {
      return false;
    }
  };
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && (isOurs(pid, 'exe') || isOurs(pid, 'cwd')))
    .map(Number);
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Ended by itself.
  }
}
