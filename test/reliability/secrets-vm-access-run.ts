/** The part of the secrets campaign that plays on a Debian system of its own, with VM Access. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CampaignSize } from './campaign.ts';
import type { Canaries } from './canaries.ts';
import type { Ledger } from './secrets-ledger.ts';
import type { WatchedTool } from './secrets-tool.ts';
import { judge } from './secrets-vm.ts';
import { createVmAccessCases } from './secrets-vm-access.ts';

export interface VmAccessRun {
  readonly tool: WatchedTool;
  readonly ledger: Ledger;
  readonly canaries: Canaries;
  readonly size: CampaignSize;
}

/** Makes an account, refuses many, fails in the middle, is killed in the middle, and removes the account. */
export async function runVmAccess({ tool, ledger, canaries, size }: VmAccessRun, zip: string): Promise<void> {
  const cases = createVmAccessCases(canaries, makePublicKey(tool.folder));
  const first = cases.account();
  const level = async (
    settings: Parameters<WatchedTool['set']>[1],
    more: readonly string[] = [],
  ): Promise<number | null> => (await tool.set(zip, settings, more)).exitCode;
  if ((await level(first.settings)) !== 0) throw new Error('VM Access made no account');
  for (const settings of size === 'long' ? cases.refused() : cases.refused().slice(0, 3)) {
    if ((await level(settings, ['--json', '--verbose'])) === 0)
      throw new Error('VM Access took what it should refuse');
  }
  await tool.run([
    'vm',
    'exec',
    '--',
    '/bin/sh',
    '-c',
    'mv /usr/sbin/chpasswd /usr/sbin/chpasswd.own; printf "#!/bin/sh\\ncat\\nexit 1\\n" >/usr/sbin/chpasswd; chmod 755 /usr/sbin/chpasswd',
  ]);
  if ((await level(cases.account().settings)) === 0)
    throw new Error('VM Access took a password that was refused');
  await tool.run(['vm', 'exec', '--', 'mv', '/usr/sbin/chpasswd.own', '/usr/sbin/chpasswd']);
  if (size === 'long') {
    await tool.run(['vm', 'kill-at', 'enable+250ms']);
    await level(cases.account().settings);
    await tool.run(['vm', 'reboot']);
    await level(cases.removal(first.name));
  }
  if (size === 'long') await tool.lookAt('VMAccess', [[], ['--json'], ['--verbose']]);
  else await tool.lookAt('VMAccess', [['--json']], ['logs', 'instance-view']);
  judge(tool, ledger, 'Handlerkit.Extensions.VMAccess');
  judge(tool, ledger, 'vm-access');
  if (size === 'long') await tool.run(['vm', 'delete', 'VMAccess']);
}

/** Type and base64 alone. */
function makePublicKey(folder: string): string {
  const keys = join(folder, 'keys');
  mkdirSync(keys, { mode: 0o700 });
  try {
    execFileSync('ssh-keygen', ['-q', '-N', '', '-t', 'ed25519', '-f', join(keys, 'key')]);
    return readFileSync(join(keys, 'key.pub'), 'utf8').split(' ').slice(0, 2).join(' ');
  } finally {
    rmSync(keys, { recursive: true });
  }
}
