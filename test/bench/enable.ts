/**
 * Measures how long enable takes, from the start of the launcher to `success` on disk, side by side with a bare
 * `node -e 0` and a bare compiled program. Run with `npm run bench`. Prints medians and ratios; never fails a build.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AGENT_VARIABLES,
  agentHandlerEnvironment,
  formatAgentVariables,
  formatCertificateFiles,
  formatHandlerEnvironment,
  formatHandlerFolder,
  formatSettings,
  formatSettingsFile,
  formatStatusFile,
  HANDLER_ENVIRONMENT_FILE,
  STATUS_FOLDER,
} from '@handlerkit/sdk/contract';
import { createCertificate, encryptProtectedSettings } from '@handlerkit/sdk/testing';
import { REPOSITORY, runHandlerkit } from '../handlerkit-command.ts';
import { verdict } from './verdict.ts';

const ROUNDS = 31;
/** Of those that are told apart by a few milliseconds: side by side, with nothing else in between. */
const PAIR_ROUNDS = 101;
const HANDLER = 'Handlerkit.Extensions.CustomScript';
const VERSION = '1.0.0';

interface Subject {
  readonly name: string;
  /** Runs once; gives the milliseconds. */
  run(): Promise<number> | number;
  readonly times: number[];
}

async function main(): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'handlerkit-bench-'));
  try {
    const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
    process.stderr.write('Packing Custom Script and a bare program\n');
    const folder = await unpack(
      'extensions/custom-script',
      join(work, formatHandlerFolder(HANDLER, VERSION)),
    );
    const bare = await unpack(writeProject(work, 'Bare', BARE_PROGRAM), join(work, 'bare'));
    const smallest = await unpack(writeProject(work, 'Smallest', SMALLEST_PROGRAM), join(work, 'smallest'));
    const launcher = copyLauncher(smallest, join(work, 'launcher'), architecture);
    const nodeFolder = await unpack(
      'extensions/custom-script',
      join(work, 'node', formatHandlerFolder(HANDLER, VERSION)),
      'node',
    );
    const detaching = copyLauncher(folder, join(work, 'detaching-launcher'), architecture);
    const enable = prepareHandler(work, folder);
    const enableByNode = prepareHandler(join(work, 'node'), nodeFolder);
    const subjects: Subject[] = [
      subject('node -e 0', () => runToEnd(process.execPath, ['-e', '0'])),
      subject('a bare compiled program', () => runToEnd(join(bare, 'bin', `handler-${architecture}`), [])),
      // Without an operation a handler loads everything, says how it is used, and ends.
      subject('the SDK, loaded only', () => runToEnd(join(smallest, 'bin', `handler-${architecture}`), [])),
      subject('Custom Script, loaded only', () =>
        runToEnd(join(folder, 'bin', `handler-${architecture}`), []),
      ),
      subject('/bin/true', () => runToEnd('/bin/true', [])),
      subject('/bin/sh -c true', () => runToEnd('/bin/sh', ['-c', 'true'])),
      subject('launcher and /bin/true', () => runToEnd(launcher.file, ['install'])),
      subject('launcher, the first time', () => {
        launcher.forget();
        return runToEnd(launcher.file, ['install']);
      }),
      subject('launcher, detached enable', () =>
        runToEnd(detaching.file, ['enable'], detaching.nextSequence()),
      ),
      subject('launcher, both', () => {
        detaching.forget();
        return runToEnd(detaching.file, ['enable'], detaching.nextSequence());
      }),
      subject('enable, public command', () => enable(false).toStatus),
      subject('enable, protected command', () => enable(true).toStatus),
      subject('enable, answer to the agent', () => enable(false).toAnswer),
      subject('enable by Node', () => enableByNode(false).toStatus),
      subject('enable by Node, answer', () => enableByNode(false).toAnswer),
    ];
    for (const { run } of subjects) await run();
    for (let round = 0; round < ROUNDS; round++) {
      for (const one of shuffle(subjects)) one.times.push(await one.run());
    }
    for (const pair of PAIRS) {
      const both = pair.map((name) => subject(`${name}${PAIRED}`, runOf(subjects, name)));
      for (let round = 0; round < PAIR_ROUNDS; round++) {
        for (const one of shuffle(both)) one.times.push(await one.run());
      }
      subjects.push(...both);
    }
    print(subjects);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function subject(name: string, run: Subject['run']): Subject {
  return { name, run, times: [] };
}

/** Packs a project and unpacks it as the agent does: by Python, then every file executable for its owner. */
async function unpack(project: string, folder: string, runtime = 'bun'): Promise<string> {
  const zip = `${folder}.zip`;
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
  const words = ['pack', project, '--architectures', architecture, '--runtime', runtime, '--out', zip];
  const packed = await runHandlerkit(words);
  if (packed.exitCode !== 0) throw new Error(`pack failed: ${packed.stderr}`);
  const unzipped = spawnSync('python3', ['-m', 'zipfile', '-e', zip, folder]);
  if (unzipped.status !== 0) throw new Error(`unzip failed: ${unzipped.stderr.toString()}`);
  spawnSync('chmod', ['-R', 'u+x', folder]);
  return folder;
}

/** Measured once more, side by side. */
const PAIRS = [
  ['enable, public command', 'enable, protected command'],
  ['/bin/true', 'launcher and /bin/true'],
] as const;
const PAIRED = ', paired';

/**
 * The rows whose difference to /bin/true is the launcher. Not both at once: the agent calls install or update, through
 * the same launcher, before it ever calls enable.
 */
const LAUNCHER_ROWS = [
  'launcher and /bin/true',
  'launcher, the first time',
  'launcher, detached enable',
  `launcher and /bin/true${PAIRED}`,
] as const;

/**
 * The design's figures are those of a machine that starts a bare compiled program in 5 ms and node in 29 ms, where enable may
 * take 30 ms and the launcher 3 ms. Another machine, or one whose caches the other rows of a round have emptied, is slower
 * in everything. So the targets are ratios to the bare programs of the same run.
 */
const DESIGN_MS = { bareProgram: 5, launcher: 3, enable: 30 } as const;

/** What is left is the runtime's own start. */
const BARE_PROGRAM = 'export {};\n';
/** A handler that needs nothing but the SDK. */
const SMALLEST_PROGRAM = `import { defineHandler, runHandler } from '@handlerkit/sdk';
import extension from '../extension.json' with { type: 'json' };
void runHandler(defineHandler({ enable: async () => undefined }), extension);
`;

interface Launcher {
  readonly file: string;
  /** Makes the package as it was unpacked. */
  forget(): void;
  /** What the agent says of an enable that was not there before. */
  nextSequence(): Readonly<Record<string, string>>;
}

/** A package whose program is /bin/true. */
function copyLauncher(packed: string, folder: string, architecture: string): Launcher {
  const bin = join(folder, 'bin');
  for (const path of [bin, join(folder, STATUS_FOLDER)]) mkdirSync(path, { recursive: true });
  const file = join(bin, 'handler');
  cpSync(join(packed, 'bin', 'handler'), file);
  const program = `handler-${architecture}`;
  copyFileSync('/bin/true', join(bin, program));
  const forget = (): void => {
    for (const name of readdirSync(bin)) {
      if (name !== 'handler' && name !== program) rmSync(join(bin, name));
    }
  };
  let sequence = 0;
  const nextSequence = () => ({ [AGENT_VARIABLES.sequenceNumber]: String(sequence++) });
  return { file, forget, nextSequence };
}

/** A project of one file, which finds the SDK of this repository. */
function writeProject(work: string, type: string, program: string): string {
  const folder = join(work, type.toLowerCase());
  mkdirSync(join(folder, 'src'), { recursive: true });
  mkdirSync(join(folder, 'node_modules', '@handlerkit'), { recursive: true });
  symlinkSync(join(REPOSITORY, 'sdk'), join(folder, 'node_modules', '@handlerkit', 'sdk'));
  writeFileSync(
    join(folder, 'extension.json'),
    JSON.stringify({ publisher: 'Handlerkit.Bench', type, version: '1.0.0' }),
  );
  writeFileSync(join(folder, 'src', 'main.ts'), program);
  return folder;
}

type EnableTimes = { readonly toAnswer: Promise<number>; readonly toStatus: Promise<number> };

/** Lays the agent's files out; each call of the result applies new settings and starts the launcher as the agent does. */
function prepareHandler(work: string, folder: string): (isProtected: boolean) => EnableTimes {
  const environment = agentHandlerEnvironment(folder, join(work, 'log'));
  for (const path of [environment.configFolder, environment.statusFolder, environment.logFolder]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }
  writeFileSync(join(folder, HANDLER_ENVIRONMENT_FILE), formatHandlerEnvironment(HANDLER, environment));
  const certificate = createCertificate();
  const names = formatCertificateFiles(certificate.thumbprint);
  writeFileSync(join(work, names.certificate), certificate.certificateFileText);
  writeFileSync(join(work, names.privateKey), certificate.privateKeyFileText, { mode: 0o600 });
  let sequence = -1;
  return (isProtected) => {
    sequence++;
    const settings = { commandToExecute: 'true' };
    const text = formatSettings({
      publicSettings: isProtected ? {} : settings,
      protectedSettings: isProtected ? encryptProtectedSettings(settings, certificate.certificatePem) : null,
      thumbprint: isProtected ? certificate.thumbprint : null,
    });
    writeFileSync(join(environment.configFolder, formatSettingsFile(sequence)), text, { mode: 0o600 });
    const statusFile = join(environment.statusFolder, formatStatusFile(sequence));
    const variables = formatAgentVariables({
      extensionPath: folder,
      extensionVersion: VERSION,
      wireProtocolAddress: '168.63.129.16',
      sequenceNumber: sequence,
    });
    const started = performance.now();
    const child = spawn('/bin/sh', ['-c', `${folder}/bin/handler enable`], {
      cwd: folder,
      env: { PATH: process.env.PATH ?? '', ...variables },
      stdio: 'ignore',
      detached: true,
    });
    const toAnswer = new Promise<number>((resolve) => {
      child.once('exit', () => resolve(performance.now() - started));
    });
    const toStatus = final(statusFile, started);
    return { toStatus, toAnswer: toStatus.then(() => toAnswer) };
  };
}

/** Waits for the final status; looks every 0.2 ms without keeping the processor busy. */
async function final(statusFile: string, started: number): Promise<number> {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let looks = 0; ; looks++) {
    const text = readIfThere(statusFile);
    const ms = performance.now() - started;
    if (text.includes('"success"')) return ms;
    if (text.includes('"error"') || ms > 20_000) throw new Error(`enable did not succeed: ${text}`);
    Atomics.wait(pause, 0, 0, 0.2);
    if (looks % 20 === 19) await new Promise((resolve) => setImmediate(resolve));
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function runToEnd(
  program: string,
  args: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<number> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'ignore', env: { ...process.env, ...more } });
    child.once('error', reject);
    child.once('exit', () => resolve(performance.now() - started));
  });
}

function shuffle<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, key: Math.random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

function runOf(subjects: readonly Subject[], name: string): Subject['run'] {
  const found = subjects.find((one) => one.name === name);
  if (found === undefined) throw new Error(`${name} is not measured`);
  return found.run;
}

function quantile(times: readonly number[], part: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

function print(subjects: readonly Subject[]): void {
  const median = (name: string): number =>
    quantile(subjects.find((one) => one.name === name)?.times ?? [], 0.5);
  const node = median('node -e 0');
  const bare = median('a bare compiled program');
  const row = (...cells: readonly string[]): string =>
    cells.map((cell, index) => (index === 0 ? cell.padEnd(36) : cell.padStart(12))).join('');
  const lines = [
    `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, ${ROUNDS} interleaved rounds, ${PAIR_ROUNDS} of pairs, milliseconds`,
    row('', 'median', 'min', 'p90', 'x node -e 0'),
    ...subjects.map(({ name, times }) => {
      const middle = quantile(times, 0.5);
      const cells = [middle, quantile(times, 0), quantile(times, 0.9)].map((ms) => ms.toFixed(1));
      return row(name, ...cells, (middle / node).toFixed(2));
    }),
    '',
    verdict('enable, public command / node -e 0', median('enable, public command') / node, 'most', 1),
    verdict(
      'enable, public command / a bare compiled program',
      median('enable, public command') / bare,
      'most',
      DESIGN_MS.enable / DESIGN_MS.bareProgram,
    ),
    verdict(
      'protected / public command',
      median(`enable, protected command${PAIRED}`) / median(`enable, public command${PAIRED}`),
      'most',
      1.2,
    ),
    ...LAUNCHER_ROWS.map((name) => {
      const ms = median(name) - median(name.endsWith(PAIRED) ? `/bin/true${PAIRED}` : '/bin/true');
      const what = `${name} - /bin/true (${ms.toFixed(1)} ms) / a bare compiled program`;
      return verdict(what, ms / bare, 'most', DESIGN_MS.launcher / DESIGN_MS.bareProgram);
    }),
    verdict(
      'answer to the agent / /bin/true',
      median('enable, answer to the agent') / median('/bin/true'),
      'most',
      10,
    ),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

await main();
