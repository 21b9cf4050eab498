/** Every command with `--json`: what it prints has the keys of `docs/json.md`, and no others. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../await-condition.ts';
import { writeObserver } from '../conformance/observer-package.ts';
import { HANDLERKIT, REPOSITORY, runHandlerkit } from '../handlerkit-command.ts';
import { keyPaths } from './json-shapes.ts';
import { readTable } from './page-table.ts';

const page = readFileSync(join(REPOSITORY, 'docs/json.md'), 'utf8');
const headings = [...page.matchAll(/^## (.+)$/gm)].map(([, heading = '']) => heading);

/** It only holds others. */
const OTHER_COMMANDS = ['vm'];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-json-'));
});
afterAll(async () => {
  for (const place of ['project', '.'])
    await run(['vm', 'reset', '--vm', join(folder, place, '.handlerkit/vm')], '.');
  rmSync(folder, { recursive: true, force: true });
});

async function run(words: readonly string[], place = 'project'): Promise<unknown> {
  const { stdout } = await runHandlerkit([...words, '--json'], { cwd: join(folder, place) });
  return JSON.parse(stdout);
}

/** The keys that these documents have, together, are those of the page. */
function expectKeys(heading: string, documents: readonly unknown[]): void {
  const documented = readTable(page, heading).map(([key = '']) => key.replaceAll('`', ''));
  const open = documented.filter((key) => key.endsWith('.*'));
  const printed = documents.flatMap((one) => [...keyPaths(one, open)]);
  expect([...new Set(printed)].sort(), heading).toEqual(documented.toSorted());
}

/** Reports a part of the status, and leaves one event that the agent takes and one that it does not. */
const BEHAVIOUR = `
[ "$operation" = enable ] || exit 0
printf '%s' '{"Version": "1.0.0", "Timestamp": "2026-01-01T00:00:00Z", "TaskName": "t", "EventLevel": "Error", "Message": "m", "EventPid": "1", "EventTid": "1", "OperationId": "o"}' > "$log/events/1795403342674015001.json"
echo > "$log/events/unknown.txt"
touch /etc/json-shapes
write_status '[{"status": {"status": "success", "formattedMessage": {"lang": "en-US", "message": "enabled"}, "substatus": [{"name": "part", "status": "success", "code": 0, "formattedMessage": {"lang": "en-US", "message": "m"}}]}}]'
exit 0
`;

describe('what a command prints with --json', { timeout: 300_000 }, () => {
  it('is what the page says: on a VM', async () => {
    await run(['init', 'project'], '.');
    const zip = writeObserver(folder, { type: 'Sample', version: '1.0.0', behaviour: BEHAVIOUR });
    const view = 'vm set, vm reboot, vm instance-view';
    expectKeys('vm kill-at', [await run(['vm', 'kill-at'])]);
    expectKeys(view, [await run(['vm', 'set', zip, '--settings', '{"key": {"inner": 1}}'])]);
    expectKeys(view, [await run(['vm', 'instance-view'])]);
    expectKeys('vm list', [await run(['vm', 'list'])]);
    expectKeys('vm show', [await run(['vm', 'show', 'Sample'])]);
    expectKeys('vm logs', [await run(['vm', 'logs'])]);
    expectKeys('vm events', [await run(['vm', 'events'])]);
    expectKeys('vm exec', [await run(['vm', 'exec', 'true'])]);
    const differences = [await run(['vm', 'diff']), await run(['vm', 'diff', '/etc/json-shapes'])];
    expectKeys('vm diff', differences);
    expectKeys(view, [await run(['vm', 'reboot'])]);
    expectKeys('vm delete', [await run(['vm', 'delete', 'Sample'])]);
    expectKeys('An error', [await run(['vm', 'show', 'Sample'])]);
    expectKeys('vm reset', [await run(['vm', 'reset'])]);
    expectKeys('check', [await run(['check', zip]), await run(['check', zip, '--no-run'])]);
  });

  it('is what the page says: of a project', async () => {
    expectKeys('completion', [await run(['completion'], '.')]);
    expectKeys('init', [await run(['init', 'other'], '.')]);
    const project = join(folder, 'other');
    symlinkSync(join(REPOSITORY, 'node_modules'), join(project, 'node_modules'));
    expectKeys('check --list-rules', [await run(['check', '--list-rules'], 'other')]);
    expectKeys('pack', [await run(['pack', '--architectures', 'x64', '--list'], 'other')]);
    const bicep = ['deploy', '.', '--format', 'bicep'];
    expectKeys('deploy', [await run(bicep, 'other'), await run([...bicep, '--out', 'infra/'], 'other')]);
  });

  it('is what the page says: of services that go on until Ctrl-C', async () => {
    const commands = await readCommands();
    for (const command of ['fabric', 'vm ui'].filter((one) => commands.includes(one)))
      expectKeys(command, [await readFirstDocument(command.split(' '))]);
  });

  it('is told for every command that there is', async () => {
    const told = headings.flatMap((heading) => heading.split(', '));
    const commands = await readCommands();
    expect(commands).toContain('vm set');
    expect(
      commands.filter((command) => !OTHER_COMMANDS.includes(command) && !told.includes(command)),
    ).toEqual([]);
  });
});

/** The commands that the help lists, such as `vm set`. */
async function readCommands(): Promise<readonly string[]> {
  const helps = await Promise.all([['--help'], ['vm', '--help']].map((words) => runHandlerkit(words)));
  return helps
    .flatMap(({ stdout }) => [...stdout.matchAll(/^ {2}handlerkit ((?:vm )?[a-z-]+)/gm)])
    .map(([, command = '']) => command);
}

/** What a command prints that then goes on; it is ended by what Ctrl-C sends. */
async function readFirstDocument(command: readonly string[]): Promise<unknown> {
  const [program = '', ...words] = [...HANDLERKIT, ...command, '--json'];
  const child = spawn(program, words, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] });
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  const ended = new Promise((done) => child.once('close', done));
  await until(`the document of ${command.join(' ')}`, () => printed.endsWith('}\n'));
  child.kill('SIGINT');
  await ended;
  return JSON.parse(printed);
}
