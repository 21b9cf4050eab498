/** What the embedded agent does when it starts, seen through `vm reboot`: files, modes, enable, heartbeat. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeZip } from '../agent/fixtures/test-vm.ts';
import type { CliResult } from '../fixtures/run-cli.ts';
import { runCli } from '../fixtures/run-cli.ts';
import { useVmFolder } from '../fixtures/vm-folder.ts';
import { VM_KINDS } from '../vm/fixtures/vm-kinds.ts';

let folder: string;
useVmFolder((made) => {
  folder = made;
});

const vm = (...words: readonly string[]): Promise<CliResult> => runCli(['vm', ...words], { cwd: folder });

/** What a shell in the agent's folder of the VM prints. */
async function shell(line: string): Promise<string> {
  const { stdout } = await vm('exec', '--json', '--', '/bin/sh', '-c', line);
  return JSON.parse(stdout).stdout;
}

const HEARTBEAT =
  '[{"version":1.0,"heartbeat":{"status":"Ready","code":0,"formattedMessage":{"lang":"en-US","message":"beating"}}}]';
const SCRIPT = `#!/bin/sh
cd "$AZURE_GUEST_AGENT_EXTENSION_PATH" || exit 1
if [ "$1" = enable ]; then
  printf '%s' '${HEARTBEAT}' > heartbeat.log
  printf '[{"status":{"status":"success"}}]' > "status/$ConfigSequenceNumber.status"
fi
`;

async function writeBeatingExtension(): Promise<string> {
  const zip = join(folder, 'Contoso.Beating-1.0.0.zip');
  const commands = ['install', 'enable', 'disable', 'update', 'uninstall'].map((operation) => [
    `${operation}Command`,
    `handler.sh ${operation}`,
  ]);
  const handlerManifest = { ...Object.fromEntries(commands), reportHeartbeat: true };
  await writeZip(zip, [
    {
      path: 'HandlerManifest.json',
      text: JSON.stringify([{ name: 'Beating', version: 1.0, handlerManifest }]),
    },
    { path: 'handler.sh', text: SCRIPT },
  ]);
  return zip;
}

describe.each(VM_KINDS)('a reboot of a VM that is $kind', ({ kind, skip, because }) => {
  it.skipIf(skip !== undefined)(
    `writes the environments of all handlers anew, protects the keys, and enables, so that the heart beats again${because}`,
    async () => {
      const zip = await writeBeatingExtension();
      const words = ['--settings', '{}', '--protected-settings', '{"a":"b"}', '--isolation', kind];
      expect((await vm('set', zip, ...words)).exitCode).toBe(0);
      const environment = 'Contoso.Beating-1.0.0/HandlerEnvironment.json';
      const before = JSON.parse(await shell(`cat ${environment}`));
      await shell(`echo broken > ${environment}; chmod 644 *.prv *.crt`);
      await shell("touch -d '20 minutes ago' Contoso.Beating-1.0.0/heartbeat.log");
      expect((await vm('instance-view')).stderr).toContain('the heartbeat makes the handler Unresponsive');

      const result = await vm('reboot');
      expect(result.exitCode).toBe(0);
      expect(result.stderr.match(/handler\.sh \w+/g)).toEqual(['handler.sh enable']);
      expect(result.stderr).not.toContain('Unresponsive');
      expect(JSON.parse(result.stdout)[0].statuses[0].code).toBe('ProvisioningState/succeeded');
      expect(JSON.parse(await shell(`cat ${environment}`))).toEqual(before);
      const modes = (await shell('stat -c %a *.prv *.crt')).trim().split('\n');
      expect(modes.length).toBeGreaterThanOrEqual(2);
      expect(new Set(modes)).toEqual(new Set(['400']));
    },
  );
});
