/** The parts of the secrets campaign that play on the local VM, with whichever agent and whatever the package was made of. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { LIB_FOLDER, LOG_FOLDER } from '@handlerkit/sdk/contract';
import { until } from '../await-condition.ts';
import { HANDLERKIT } from '../handlerkit-command.ts';
import type { CampaignSize } from './campaign.ts';
import type { Canaries } from './canaries.ts';
import type { CustomScriptCases } from './secrets-custom-script.ts';
import {
  DATA_FOLDER_MODES,
  HANDLER_FOLDER_MODES,
  LOG_FOLDER_MODES,
  USER_FOLDER_MODES,
} from './secrets-holders.ts';
import type { Ledger } from './secrets-ledger.ts';
import type { ProbeCases } from './secrets-probe.ts';
import type { WatchedTool } from './secrets-tool.ts';

export interface VmRun {
  readonly tool: WatchedTool;
  readonly ledger: Ledger;
  readonly canaries: Canaries;
  readonly size: CampaignSize;
}

/** Every kind of run of Custom Script, with a newer version in the middle of one, and at last its removal. */
export async function runCustomScript(
  { tool, ledger, canaries, size }: VmRun,
  { zip, newer }: { readonly zip: string; readonly newer: string },
  cases: CustomScriptCases,
): Promise<void> {
  const isLong = size === 'long';
  expectExit(await tool.set(zip, cases.success()), 0);
  expectExit(await tool.set(zip, cases.failure(), ['--json', '--verbose']), 1);
  if (isLong) {
    expectExit(await tool.set(zip, cases.timeLimit(), ['--verbose']), 1);
    expectExit(await tool.set(zip, cases.asUser('nobody')), 0);
    judge(tool, ledger, 'handlerkit-custom-script');
    for (const settings of cases.failedDownloads()) expectExit(await tool.set(zip, settings), 1);
  }
  expectExit(await tool.set(zip, cases.cutOutput()), 0);
  for (const settings of isLong ? cases.refused() : cases.refused().slice(0, 1)) {
    const { exitCode } = await tool.set(zip, settings, ['--json']);
    if (exitCode === 0) throw new Error('settings that should be refused were taken');
  }
  await tool.lookAt('CustomScript', isLong ? [[], ['--json'], ['--verbose']] : [['--json']]);
  await searchMemory(tool, ledger, canaries);
  await tool.run(['vm', 'kill-at', isLong ? 'enable+200ms' : 'enable:exit']);
  await tool.set(zip, cases.long(30));
  await tool.run(['vm', 'reboot']);
  expectExit(await tool.set(zip, cases.long(isLong ? 5 : 2), ['--no-wait']), 0);
  expectExit(await tool.run(['vm', 'set', newer, '--keep-settings']), 0);
  judge(tool, ledger, 'Handlerkit.Extensions.CustomScript');
  judge(tool, ledger, 'custom-script');
  expectExit(await tool.run(['vm', 'delete', 'CustomScript']), 0);
}

/** The runs that download nothing. */
export async function runCustomScriptOffline(
  { tool, ledger }: VmRun,
  zip: string,
  cases: CustomScriptCases,
): Promise<void> {
  for (const settings of [cases.failure(), cases.timeLimit(), ...cases.refused()]) {
    const { exitCode } = await tool.set(zip, settings, ['--verbose']);
    if (exitCode === 0) throw new Error('a run that should fail succeeded');
  }
  expectExit(await tool.set(zip, cases.cutOutput()), 0);
  await tool.lookAt('CustomScript', [[], ['--json']]);
  judge(tool, ledger, 'Handlerkit.Extensions.CustomScript');
  judge(tool, ledger, 'custom-script');
  expectExit(await tool.run(['vm', 'delete', 'CustomScript']), 0);
}

/** A careless author's extension. */
export async function runProbe({ tool, ledger, size }: VmRun, zip: string, cases: ProbeCases): Promise<void> {
  expectExit(await tool.set(zip, cases.telling()), 1);
  expectExit(await tool.set(zip, cases.working(), ['--json', '--verbose']), 0);
  for (const settings of size === 'long' ? cases.refused() : cases.refused().slice(0, 2)) {
    expectExit(await tool.set(zip, settings), 1);
  }
  if (size === 'long') await tool.lookAt('Probe', [[], ['--json'], ['--verbose']]);
  else await tool.lookAt('Probe', [[]], ['events']);
  judge(tool, ledger, 'Handlerkit.Tests.Probe');
  if (size === 'long') expectExit(await tool.run(['vm', 'delete', 'Probe']), 0);
}

/** Several configurations of one detached extension, of which one waits while another one is taken away. */
export async function runConfigurations(
  { tool, ledger }: VmRun,
  zip: string,
  cases: ProbeCases,
): Promise<void> {
  expectExit(await tool.set(zip, cases.waiting(), ['--name', 'one', '--no-wait']), 0);
  await tool.set(zip, cases.telling(), ['--name', 'two']);
  expectExit(await tool.set(zip, cases.working(), ['--name', 'one']), 0);
  expectExit(await tool.run(['vm', 'delete', 'two']), 0);
  await tool.lookAt('one', [['--json']]);
  judge(tool, ledger, 'Handlerkit.Tests.ProbeDetached');
  expectExit(await tool.run(['vm', 'delete', 'one']), 0);
}

/** All that the page of the VM gets, for as long as a look at it takes. */
export async function watchPage({ tool, ledger }: VmRun, name: string): Promise<void> {
  const [program = '', ...args] = HANDLERKIT;
  const server = spawn(program, [...args, 'vm', 'ui'], {
    cwd: tool.folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [server.stdout, server.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  }
  const ended = once(server, 'exit');
  try {
    const url = await until('the address of the page', () => /http:\S+/.exec(said)?.[0]);
    const entered = await fetch(url, { redirect: 'manual' });
    const cookie = entered.headers.get('set-cookie')?.split(';')[0] ?? '';
    const leave = new AbortController();
    const events = await fetch(new URL('/events', url), { headers: { cookie }, signal: leave.signal });
    let wire = '';
    try {
      for await (const part of events.body ?? []) {
        wire += Buffer.from(part).toString('latin1');
        if (wire.includes('event: log') && wire.includes(name)) break;
      }
    } finally {
      leave.abort();
    }
    ledger.text(`page of ${name}`, Buffer.from(wire, 'latin1'));
  } finally {
    server.kill('SIGINT');
    await ended;
  }
  ledger.text(`stdout, stderr of vm ui`, said);
}

/** What `deploy` says and writes. Files that hold secrets are declared, with their modes. */
export async function runDeploy(
  { tool, size }: VmRun,
  zip: string,
  settings: () => { readonly protected?: unknown },
): Promise<void> {
  for (const format of size === 'long' ? FORMATS : FORMATS.slice(0, 1)) {
    const words = ['deploy', zip, '--format', format, format === 'vmss-arm' ? '--vmss' : '--vm', 'web1'];
    await tool.run([...words, '--out', `deploy-${format}/`], settings());
    if (size === 'short') continue;
    await tool.run(words, settings());
    await tool.run([...words, '--json'], settings());
  }
}

const FORMATS = [
  'arm',
  'az',
  'powershell',
  'bicep',
  'terraform',
  'vmss-arm',
  'vm-application',
  'shared-extension',
];

/** Judges what a handler keeps: `folder` is a handler's name, its data folder or that of another user's commands. */
export function judge(tool: WatchedTool, ledger: Ledger, folder: string): void {
  const places = [
    [LIB_FOLDER, /^Handlerkit\..*-\d/, HANDLER_FOLDER_MODES],
    [LIB_FOLDER, /./, DATA_FOLDER_MODES],
    [dirname(LIB_FOLDER), /./, USER_FOLDER_MODES],
    [LOG_FOLDER, /./, LOG_FOLDER_MODES],
  ] as const;
  for (const parent of new Set(places.map(([one]) => one))) {
    for (const upper of uppersOf(tool, parent)) {
      for (const entry of readdirSync(upper)) {
        if (entry !== folder && entry !== `${folder}.data` && !entry.startsWith(`${folder}-`)) continue;
        const rules = places.find(([one, name]) => one === parent && name.test(entry))?.[2] ?? [];
        ledger.modes(entry, join(upper, entry), rules);
      }
    }
  }
}

/** Where the VM's changes below a folder are on this machine. */
function uppersOf(tool: WatchedTool, folder: string): string[] {
  const layers = join(tool.folder, '.handlerkit/vm/layers');
  return readdirSync(layers)
    .filter((layer) => folder.startsWith(decodeURIComponent(layer)))
    .map((layer) => join(layers, layer, 'upper', folder.slice(decodeURIComponent(layer).length)))
    .filter((path) => existsSync(path));
}

/** What the VM has in memory is in no folder of this machine. The marker is in no argument as a whole. */
async function searchMemory(tool: WatchedTool, ledger: Ledger, { marker }: Canaries): Promise<void> {
  const script = `umask 077; printf '%s%s\\n' "$1" "$2" >/dev/shm/needle
    for folder in /tmp /var/tmp /run /dev/shm; do
      [ "$(stat -f -c %T "$folder" 2>/dev/null)" != tmpfs ] || find "$folder" -xdev -type f ! -name needle -exec grep -alFf /dev/shm/needle {} +
    done
    rm /dev/shm/needle; echo searched`;
  const words = ['vm', 'exec', '--', '/bin/sh', '-c', script, 'sh', marker.slice(0, 4), marker.slice(4)];
  const { stdout } = await tool.run(words);
  if (!stdout.includes('searched')) throw new Error(`the VM's memory could not be searched: ${stdout}`);
  for (const line of stdout
    .trim()
    .split('\n')
    .filter((path) => path.startsWith('/'))) {
    ledger.note(`memory of the VM: ${line}`, { form: 'plain', canary: undefined, context: '' });
  }
}

function expectExit(
  { exitCode, stderr }: { readonly exitCode: number | null; readonly stderr: string },
  wanted: number,
): void {
  if (exitCode !== wanted) throw new Error(`exit code ${exitCode} instead of ${wanted}: ${stderr}`);
}
