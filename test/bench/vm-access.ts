/**
 * Measures how long VM Access takes to make a user with a password, from the start of its launcher to `success` on disk,
 * beside the two programs that it cannot do without, `useradd` and `chpasswd`, called bare. In a local VM on Debian, where
 * users may be made. Run with `npm run bench`. Prints medians and a ratio; never fails a build.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  agentHandlerEnvironment,
  formatAgentVariables,
  formatCertificateFiles,
  formatHandlerFolder,
  formatSettings,
  formatSettingsFile,
  LIB_FOLDER,
  parseSettings,
  WIRE_SERVER_ADDRESS,
} from '@handlerkit/sdk/contract';
import { encryptProtectedSettings } from '@handlerkit/sdk/testing';
import { runHandlerkit } from '../handlerkit-command.ts';
import type { LocalVm } from '../local-vm.ts';
import { createLocalVm, NO_OVERLAY } from '../local-vm.ts';
import { findRoot } from '../vm-access/roots.ts';
import { verdict } from './verdict.ts';

const ROUNDS = 15;
const TARGET_RATIO = 2;
const VERSION = '1.0.0';
const HANDLER = 'Handlerkit.Extensions.VMAccess';
const PASSWORD = 'Bench-marked-5';
const FOLDER = join(LIB_FOLDER, formatHandlerFolder(HANDLER, VERSION));

/** What is measured, in the order of a round. */
const SUBJECTS = ['useradd, chpasswd', 'refused settings', 'VM Access'] as const;
type Subject = (typeof SUBJECTS)[number];

async function main(): Promise<void> {
  const root = NO_OVERLAY === undefined ? await findRoot('bookworm') : { folder: '', reason: NO_OVERLAY };
  if (root.reason !== undefined) {
    process.stdout.write(`VM Access is not measured: ${root.reason}\n`);
    return;
  }
  const work = mkdtempSync(join(tmpdir(), 'handlerkit-bench-vm-access-'));
  const vm = await createLocalVm('overlay', { network: 'loopback' });
  try {
    process.stderr.write('Packing VM Access\n');
    const zip = await pack(work);
    const set = await vm.set(zip, { protected: user('first') }, ['--rootfs', root.folder]);
    if (set.exitCode !== 0) throw new Error(`vm set failed: ${set.stdout}${set.stderr}`);
    writeAllSettings(vm);
    print(readTimes(await runScript(vm, root.folder)));
  } finally {
    await vm.remove();
    rmSync(work, { recursive: true, force: true });
  }
}

async function pack(work: string): Promise<string> {
  const zip = join(work, 'vm-access.zip');
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
  const options = ['--architectures', architecture, '--out', zip];
  const { exitCode, stderr } = await runHandlerkit(['pack', 'extensions/vm-access', ...options]);
  if (exitCode !== 0) throw new Error(`pack failed: ${stderr}`);
  return zip;
}

function user(username: string): Readonly<Record<string, string>> {
  return { username, password: PASSWORD };
}

/** Two sequences for each round: one that is refused, which is the handler's start, and one that makes a user. */
function writeAllSettings(vm: LocalVm): void {
  const { configFolder } = agentHandlerEnvironment(
    join(vm.agentFolder(), formatHandlerFolder(HANDLER, VERSION)),
    '',
  );
  const fileOf = (sequence: number): string => join(configFolder, formatSettingsFile(sequence));
  const { thumbprint = '' } = parseSettings(readFileSync(fileOf(0), 'utf8'), fileOf(0));
  const certificate = readFileSync(
    join(vm.agentFolder(), formatCertificateFiles(thumbprint).certificate),
    'utf8',
  );
  const write = (sequence: number, settings: Readonly<Record<string, string>>): void => {
    const protectedSettings = encryptProtectedSettings(settings, certificate);
    const text = formatSettings({ publicSettings: {}, protectedSettings, thumbprint });
    writeFileSync(fileOf(sequence), text, { mode: 0o600 });
  };
  for (let round = 1; round <= ROUNDS; round++) {
    write(2 * round - 1, { password: PASSWORD });
    write(2 * round, user(`made${round}`));
  }
}

/** One round after the other in one shell of the VM, which starts nothing while it waits for a status. */
const SCRIPT = `
set -eu
folder=$1 rounds=$2 password=$3
mkfifo /run/never
exec 9<>/run/never
enable() {
  export ConfigSequenceNumber=$1
  "$folder/bin/handler" enable >/dev/null 2>&1 || true
  until mapfile -t lines <"$folder/status/$1.status" && [[ "\${lines[*]}" == *'"status": "'@(success|error)'"'* ]]; do
    read -t 0.001 -u 9 || true
  done
}
shopt -s extglob
for round in $(seq "$rounds"); do
  a=$EPOCHREALTIME
  useradd -m "bare$round"
  printf '%s:%s\\n' "bare$round" "$password" | chpasswd
  b=$EPOCHREALTIME
  enable $((2 * round - 1))
  c=$EPOCHREALTIME
  enable $((2 * round))
  d=$EPOCHREALTIME
  grep -q '"status": "success"' "$folder/status/$((2 * round)).status" || { cat "$folder/status/$((2 * round)).status" >&2; exit 1; }
  echo "\${a/./} \${b/./} \${c/./} \${d/./}"
done
`;

async function runScript(vm: LocalVm, rootfs: string): Promise<string> {
  const variables = formatAgentVariables({
    extensionPath: FOLDER,
    extensionVersion: VERSION,
    wireProtocolAddress: WIRE_SERVER_ADDRESS,
    sequenceNumber: 0,
  });
  const environment = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const place = ['--isolation', 'overlay', '--network', 'loopback', '--rootfs', rootfs];
  const words = ['env', ...environment, 'bash', '-c', SCRIPT, 'bash', FOLDER, `${ROUNDS}`, PASSWORD];
  const { stdout, stderr } = await vm.run(['exec', ...place, '--', ...words]);
  const ended: unknown = stdout === '' ? undefined : JSON.parse(stdout);
  const field = (name: string): unknown => Reflect.get(Object(ended), name);
  if (field('exitCode') !== 0) throw new Error(`the rounds failed: ${field('stderr') ?? stderr}`);
  return String(field('stdout'));
}

function readTimes(text: string): ReadonlyMap<Subject, readonly number[]> {
  const rounds = text
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
  return new Map(
    SUBJECTS.map((subject, at) => [
      subject,
      rounds.map((times) => ((times[at + 1] ?? Number.NaN) - (times[at] ?? Number.NaN)) / 1000),
    ]),
  );
}

function quantile(times: readonly number[], part: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

function print(times: ReadonlyMap<Subject, readonly number[]>): void {
  const median = (subject: Subject): number => quantile(times.get(subject) ?? [], 0.5);
  const row = (...cells: readonly string[]): string =>
    cells.map((cell, index) => (index === 0 ? cell.padEnd(36) : cell.padStart(10))).join('');
  const [bare, start, made] = SUBJECTS.map(median);
  const ratio = ((made ?? Number.NaN) - (start ?? Number.NaN)) / (bare ?? Number.NaN);
  const lines = [
    `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, load ${loadavg()[0]?.toFixed(1)}, ${ROUNDS} rounds, milliseconds`,
    row('a new user with a password', 'median', 'min', 'p90'),
    ...SUBJECTS.map((subject) => {
      const own = times.get(subject) ?? [];
      return row(subject, ...[0.5, 0, 0.9].map((part) => quantile(own, part).toFixed(1)));
    }),
    '',
    verdict('VM Access without its start / bare useradd and chpasswd', ratio, 'most', TARGET_RATIO),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

await main();
