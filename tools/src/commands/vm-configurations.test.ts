/** `vm set` and `vm delete` with a package that supports several configurations of one handler. */
import { expect, it } from 'vitest';
import type { CliResult } from '../fixtures/run-cli.ts';
import { runCli } from '../fixtures/run-cli.ts';
import type { ScriptExtension } from '../fixtures/script-extension.ts';
import { writeScriptExtension } from '../fixtures/script-extension.ts';
import { useVmFolder } from '../fixtures/vm-folder.ts';
import type { ExtensionInstanceView } from '../vm/instance-view.ts';

let folder: string;
useVmFolder((made) => {
  folder = made;
});

const vm = (...words: readonly string[]): Promise<CliResult> => runCli(['vm', ...words], { cwd: folder });

async function set(
  name: string | undefined,
  value: unknown,
  changes: Partial<ScriptExtension> = {},
): Promise<CliResult> {
  const extension = { version: '1.0.0', supportsMultiple: true, ...changes };
  const zip = await writeScriptExtension(folder, extension);
  const named = name === undefined ? [] : ['--name', name];
  return await vm(
    'set',
    zip,
    '--isolation',
    'relocated',
    '--settings',
    JSON.stringify(value),
    ...named,
    '--json',
  );
}

/** Name and message of every extension in the instance view. */
function viewsOf(result: CliResult): string[] {
  const views: ExtensionInstanceView[] = JSON.parse(result.stdout);
  return views.map(({ name, statuses }) => `${name} ${statuses[0]?.code}: ${statuses[0]?.message}`);
}

/** The operations that the agent ran, in order, as stderr shows them. */
const operationsOf = (result: CliResult): string[] =>
  [...result.stderr.matchAll(/^ {2}(\w+) +bin\/handler \1 {3}exit \d+ {3}[\d.]+ s {3}(\S+ \S+)$/gm)].map(
    (match) => `${match[1]} ${match[2]}`,
  );

const succeeded = (name: string, sequence: number): string =>
  `${name} ProvisioningState/succeeded: sequence ${sequence}, protected bytes: none`;

it('puts two configurations side by side, changes one, and removes one after the other', async () => {
  expect(operationsOf(await set('web', { port: 80 }))).toEqual(['install 1.0.0 web', 'enable 1.0.0 web']);
  const second = await set('db', { port: 5432 });
  expect(operationsOf(second)).toEqual(['enable 1.0.0 web', 'enable 1.0.0 db']);
  expect(viewsOf(second)).toEqual([succeeded('web', 0), succeeded('db', 0)]);
  expect(viewsOf(await set('db', { port: 5433 }))).toEqual([succeeded('web', 0), succeeded('db', 1)]);
  const first = await vm('delete', 'web');
  expect(operationsOf(first)).toEqual(['disable 1.0.0 web', 'enable 1.0.0 db']);
  expect(viewsOf(await vm('instance-view', '--json'))).toEqual([succeeded('db', 1)]);
  expect(operationsOf(await vm('delete', 'db'))).toEqual(['disable 1.0.0 db', 'uninstall 1.0.0 db']);
  expect(viewsOf(await vm('instance-view', '--json'))).toEqual([]);
});

it('updates all of them with the version of one', async () => {
  await set('web', {});
  await set('db', {});
  const result = await set('db', {}, { version: '2.0.0' });
  expect(operationsOf(result)).toEqual([
    'disable 1.0.0 web',
    'disable 1.0.0 db',
    'update 2.0.0 web',
    'uninstall 1.0.0 web',
    'install 2.0.0 web',
    'enable 2.0.0 web',
    'enable 2.0.0 db',
  ]);
  expect(viewsOf(result)).toEqual([succeeded('web', 0), succeeded('db', 0)]);
});

it('installs all of them anew when the version was built again', async () => {
  await set('web', { a: 1 });
  await set('db', { a: 2 });
  const result = await set('db', { a: 2 }, { build: 'second' });
  expect(operationsOf(result)).toEqual([
    'disable 1.0.0 web',
    'disable 1.0.0 db',
    'uninstall 1.0.0 web',
    'install 1.0.0 web',
    'enable 1.0.0 web',
    'enable 1.0.0 db',
  ]);
  expect(viewsOf(result)).toEqual([succeeded('web', 0), succeeded('db', 0)]);
});

it('shows which one failed, and does not wait for it', async () => {
  await set('web', {});
  const result = await set('db', { mode: 'crash' });
  expect(result.exitCode).toBe(1);
  expect(result.stderr).toContain('"db" failed: Error processing MultiConfig extension');
  const views = viewsOf(await vm('instance-view', '--json'));
  expect(views[0]).toBe(succeeded('web', 0));
  expect(views[1]).toMatch(
    /^db ProvisioningState\/failed\/-1: Error processing MultiConfig extension Contoso\.Greeter\.db: /,
  );
});

it('does not wait for the only one that failed either', async () => {
  const result = await set('db', { mode: 'crash' });
  expect(result.stderr).toContain('"db" failed: Error processing MultiConfig extension');
});

it.each<[string | undefined, Partial<ScriptExtension>, string, string]>([
  [undefined, {}, 'NAME_NEEDED', 'no name for several'],
  ['my-db', {}, 'NAME_INVALID', 'a name that the agent could not find'],
  ['web', { supportsMultiple: false, version: '2.0.0' }, 'ALREADY_SET', 'a package for one'],
])('refuses %j %j with %s: %s', async (name, changes, code) => {
  await set('web', {});
  await set('db', {});
  const result = await set(name, {}, changes);
  expect(result.exitCode).toBe(1);
  expect(JSON.parse(result.stdout).error).toMatchObject({ code, hint: expect.any(String) });
});
