/** B Packager: packages and projects that must not be shipped, given to the tool as a user does; a good one beside them passes. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatHandlerManifest, OPERATIONS } from '@handlerkit/sdk/contract';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runHandlerkit } from '../handlerkit-command.ts';
import { fewAtATime } from './tried-download.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-bad-packages-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Makes a small package that is good but for what is added, with Python's own zipfile. */
const ADD = `
import sys, zipfile, warnings
warnings.simplefilter('ignore')
def add(name, text='x', mode=0o100644, when=(2020, 1, 1, 0, 0, 0)):
    info = zipfile.ZipInfo(name, when)
    info.external_attr = mode << 16
    info.create_system = 3
    zip.writestr(info, text)
with zipfile.ZipFile(sys.argv[1], 'w') as zip:
    add('HandlerManifest.json', sys.argv[3])
    add('bin/handler', '#!/bin/sh\\nexit 0\\n', 0o100755)
    exec(sys.argv[2])
`;
const commands = Object.fromEntries(OPERATIONS.map((one) => [one, `bin/handler ${one}`]));
const MANIFEST = formatHandlerManifest({
  name: 'Contoso.Samples.Bad',
  version: '1.0.0',
  commands: { install: '', enable: '', disable: '', update: '', uninstall: '', ...commands },
  updateMode: 'UpdateWithInstall',
  reportHeartbeat: false,
  continueOnUpdateFailure: false,
  supportsMultipleExtensions: false,
  supportsPolicy: false,
  rebootAfterInstall: false,
});
/** What is added, and the rules that it breaks; the first row breaks none of them. */
const PACKAGES: readonly (readonly [name: string, code: string, rules: readonly string[]])[] = [
  ['nothing', 'pass', []],
  [
    'links, devices, setuid, names that leave the folder or meet',
    "add('link', '/etc/passwd', 0o120777); add('pipe', '', 0o010644); add('tool', 'x', 0o104755); add('../../evil'); add('/etc/evil'); add('a'); add('a'); add('B'); add('b')",
    [
      'kind-link',
      'kind-special',
      'mode-setuid',
      'name-climbs',
      'name-absolute',
      'name-duplicate',
      'name-case',
    ],
  ],
  [
    'a name of Windows, a token and a second manifest',
    "add('bin\\\\tool'); add('.npmrc', '//registry.npmjs.org/:_authToken=' + '0a1b2c3d' * 5); add('vendor/HandlerManifest.json', '[]')",
    ['name-backslash', 'secret-content', 'manifest-second'],
  ],
];

const ALL = PACKAGES.flatMap(([, , rules]) => rules);

it('B Packager: what the agent would lose, misread or spread is named before it is shipped', async () => {
  const results = await fewAtATime(
    PACKAGES,
    async ([name, code, rules]) => {
      const zip = join(folder, `${name.replaceAll(' ', '-')}.zip`);
      execFileSync('python3', ['-c', ADD, zip, code, MANIFEST]);
      const { exitCode, stdout, stderr } = await runHandlerkit(['check', zip, '--json']);
      const named = rules.filter((rule) => stdout.includes(`"${rule}"`));
      const others = ALL.filter((rule) => !rules.includes(rule) && stdout.includes(`"${rule}"`));
      return { name, exitCode, named, others, inside: /\n\s+at /.test(stderr) };
    },
    3,
  );
  expect(results).toEqual(
    PACKAGES.map(([name, , rules]) => ({ name, exitCode: 1, named: rules, others: [], inside: false })),
  );
});

it('B Packager: a project whose files are a pipe, or a link out of it, is refused or packed without waiting', async () => {
  const project = join(folder, 'project');
  mkdirSync(join(project, 'src'), { recursive: true });
  mkdirSync(join(project, 'resources'));
  writeFileSync(
    join(project, 'extension.json'),
    JSON.stringify({
      publisher: 'A.B',
      type: 'C',
      version: '1.0.0',
      entry: 'src/main.ts',
      files: ['resources/**'],
    }),
  );
  writeFileSync(join(project, 'src/main.ts'), '');
  execFileSync('mkfifo', [join(project, 'resources/pipe')]);
  symlinkSync('/etc/shadow', join(project, 'resources/link'));
  const { exitCode, stdout, stderr } = await runHandlerkit(['check', project, '--json']);
  expect(exitCode, stdout + stderr).toBe(1);
  expect(stdout).toContain('resources/pipe');
  expect(stdout).toContain('resources/link');
});
