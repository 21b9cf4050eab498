/** `vm set --provision-after` and `--suppress-failures`: what waits for what, and failures that are none. */
import { expect, it } from 'vitest';
import type { CliResult } from '../fixtures/run-cli.ts';
import { runCli } from '../fixtures/run-cli.ts';
import { writeScriptExtension } from '../fixtures/script-extension.ts';
import { useVmFolder } from '../fixtures/vm-folder.ts';

let folder: string;
let zip: string;
useVmFolder(async (made) => {
  folder = made;
  zip = await writeScriptExtension(folder, { version: '1.0.0' });
});

const vm = (...words: readonly string[]): Promise<CliResult> => runCli(['vm', ...words], { cwd: folder });

/** The same package under another type is another handler. */
async function set(type: string, settings: object, ...more: readonly string[]): Promise<CliResult> {
  const words = ['--isolation', 'relocated', '--type', type, '--settings', JSON.stringify(settings)];
  return await vm('set', zip, ...words, ...more, '--json');
}

const codeOf = (result: CliResult): unknown => JSON.parse(result.stdout).error?.code;
const messagesOf = async (): Promise<unknown> =>
  JSON.parse((await vm('instance-view', '--json')).stdout).map(
    (view: { name: string; statuses: { code: string }[] }) => `${view.name} ${view.statuses[0]?.code}`,
  );

it('starts an extension only after those that it waits for have succeeded, whatever the order of the commands', async () => {
  await set('Web', {});
  await set('Db', {});
  const ordered = await set('Web', { port: 80 }, '--provision-after', 'db');
  expect(ordered.exitCode).toBe(0);
  expect(JSON.parse((await vm('show', 'Web', '--json')).stdout).provisionAfterExtensions).toEqual(['db']);
  const failed = await set('Db', { mode: 'fail' });
  expect(failed.exitCode).toBe(1);
  expect(await messagesOf()).toEqual([
    'Web ProvisioningState/failed/-1',
    expect.stringMatching(/^Db ProvisioningState\/failed\//),
  ]);
});

it('refuses names that are not there, circles, and taking away what others wait for', async () => {
  expect(codeOf(await set('Web', {}, '--provision-after', 'Db'))).toBe('DEPENDENCY_UNKNOWN');
  await set('Db', {});
  await set('Web', {}, '--provision-after', 'Db');
  expect(codeOf(await set('Db', {}, '--provision-after', 'Web'))).toBe('DEPENDENCY_CYCLE');
  expect(codeOf(await vm('delete', 'Db', '--json'))).toBe('DEPENDENCY_IN_USE');
  expect((await set('Web', {})).exitCode).toBe(0);
  expect((await vm('delete', 'Db', '--json')).exitCode).toBe(0);
});

it('does not fail for a failure that is suppressed, and shows it all the same', async () => {
  const result = await set('Web', { mode: 'fail' }, '--suppress-failures');
  expect(result.exitCode).toBe(0);
  expect(JSON.parse((await vm('show', 'Web', '--json')).stdout)).toMatchObject({
    provisioningState: 'Succeeded',
    suppressFailures: true,
  });
  expect(await messagesOf()).toEqual([expect.stringMatching(/^Web ProvisioningState\/failed\//)]);
});
