/** `vm events` with a handler that writes events: a good one, and one that the agent loses. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeZip } from '../agent/fixtures/test-vm.ts';
import type { CliResult } from '../fixtures/run-cli.ts';
import { runCli } from '../fixtures/run-cli.ts';
import { useVmFolder } from '../fixtures/vm-folder.ts';

let folder: string;
useVmFolder((made) => {
  folder = made;
});

const vm = (...words: readonly string[]): Promise<CliResult> => runCli(['vm', ...words], { cwd: folder });

const SCRIPT = `#!/bin/sh
cd "$AZURE_GUEST_AGENT_EXTENSION_PATH" || exit 1
events=$(sed 's/.*"eventsFolder": "\\([^"]*\\)".*/\\1/' HandlerEnvironment.json)
if [ "$1" = enable ]; then
  printf '{"Version":"1.0.0","Timestamp":"2026-01-02T03:04:05Z","TaskName":"Enable","EventLevel":"Warning","Message":"hello","EventPid":1,"EventTid":1,"OperationId":""}' > "$events/9.json"
  printf '{"Message":"lonely"}' > "$events/10.json"
  printf '[{"status":{"status":"success"}}]' > "status/$ConfigSequenceNumber.status"
fi
`;

async function set(): Promise<CliResult> {
  const zip = join(folder, 'Contoso.Teller-1.0.0.zip');
  const commands = ['install', 'enable', 'disable', 'update', 'uninstall'].map((operation) => [
    `${operation}Command`,
    `handler.sh ${operation}`,
  ]);
  const manifest = [{ name: 'Teller', version: 1.0, handlerManifest: Object.fromEntries(commands) }];
  await writeZip(zip, [
    { path: 'HandlerManifest.json', text: JSON.stringify(manifest) },
    { path: 'handler.sh', text: SCRIPT },
  ]);
  return await vm('set', zip, '--isolation', 'relocated', '--settings', '{}');
}

it('shows what the agent took and what it lost, once each and the oldest first, and set warns of the loss', async () => {
  const result = await set();
  expect(result.stderr).toContain(
    'Contoso.Teller: the agent loses the event in 10.json: MissingKeyError: eventlevel not found',
  );
  const events = JSON.parse((await vm('events', 'Teller', '--json')).stdout);
  expect(events).toMatchObject([
    { handlerName: 'Contoso.Teller', file: '9.json', event: { message: 'hello', level: 'Warning' } },
    { handlerName: 'Contoso.Teller', file: '10.json', dropped: expect.stringContaining('MissingKeyError') },
  ]);
  expect((await vm('events')).stdout).toContain(
    '2026-01-02T03:04:05Z Contoso.Teller-1.0.0 Warning Enable: hello\n',
  );
  const state = join(folder, '.handlerkit', 'vm');
  expect((await stat(join(state, 'events.jsonl'))).mode & 0o777).toBe(0o600);
  expect((await readFile(join(state, 'events.jsonl'), 'utf8')).split('\n')).toHaveLength(3);
  expect(await readdir(state)).toContain('events.jsonl');
});

it('shows what handlers told during a reboot, and a deletion keeps it', async () => {
  await set();
  await vm('reboot');
  const log = join(folder, '.handlerkit', 'vm', 'events.jsonl');
  expect((await readFile(log, 'utf8')).match(/"message":"hello"/g)).toHaveLength(2);
  await vm('delete', 'Teller');
  expect(JSON.parse((await vm('events', '--json')).stdout)).toHaveLength(4);
});

it('says that there are none, and refuses an unknown name and an endless document', async () => {
  expect((await vm('events')).stderr).toContain('No events.');
  expect(await readdir(folder)).toEqual([]);
  expect(JSON.parse((await vm('events', 'Nobody', '--json')).stdout).error.code).toBe('NOT_FOUND');
  expect((await vm('events', '--follow', '--json')).exitCode).toBe(2);
});
