/** Changes in real VMs; an overlay is skipped with the reason in the title where there can be none. */
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { CliResult } from '../fixtures/run-cli.ts';
import { runCli } from '../fixtures/run-cli.ts';
import { writeScriptExtension } from '../fixtures/script-extension.ts';
import { useVmFolder } from '../fixtures/vm-folder.ts';
import { whyNoOverlay } from '../vm/fixtures/machine-rig.ts';
import { makeSmallRoot, whyNoSmallRoot } from '../vm/fixtures/small-root.ts';

let folder: string;
useVmFolder((made) => {
  folder = made;
});

const obstacle = (await whyNoOverlay()) ?? whyNoSmallRoot();
const test = it.skipIf(obstacle !== undefined);
const because = obstacle === undefined ? '' : ` (skipped: ${obstacle})`;

const vm = (...words: string[]): Promise<CliResult> => runCli(['vm', ...words], { cwd: folder });

/** Runs a line in a VM on a small root file system with a few files of its own. */
async function change(line: string): Promise<void> {
  const root = join(folder, 'root');
  makeSmallRoot(root);
  for (const name of ['app/data', 'app.new', 'old']) mkdirSync(join(root, 'srv', name), { recursive: true });
  for (const name of ['app/version', 'app.new/version', 'app/data/file', 'old/file', 'both', 'touched']) {
    writeFileSync(join(root, 'srv', name), `${name}\n`);
  }
  await vm('exec', '--json', '--rootfs', root, '--', 'sh', '-c', line);
}

test(`lists what was added, changed, deleted or replaced, and nothing else${because}`, async () => {
  const lines = [
    'echo more >>/srv/both; cat /srv/touched >/srv/copy; busybox touch /srv/touched',
    'busybox chmod 600 /etc/os-release; rm -r /srv/old; echo now a file >/srv/old',
    'busybox mkdir -p /opt/tool/bin; echo x >/opt/tool/bin/run; busybox ln -s run /opt/tool/bin/link; rm /bin/wc',
    'echo t >/tmp/t; echo r >/run/r',
  ];
  await change(lines.join('\n'));
  const { stdout } = await vm('diff');
  const found = stdout.split('\n').map((line) => line.replace(/ +/g, ' '));
  expect(found).toEqual([
    expect.stringMatching(/^D link \d+ 7 \/bin\/wc$/),
    `A file 0644 ${statSync('/etc/hosts').size} /etc/hosts`,
    'M file 0600 9 /etc/os-release',
    expect.stringMatching(/^A folder 0755 \d+ \/opt$/),
    expect.stringMatching(/^A folder 0755 \d+ \/opt\/tool$/),
    expect.stringMatching(/^A folder 0755 \d+ \/opt\/tool\/bin$/),
    'A link 0777 3 /opt/tool/bin/link',
    'A file 0644 2 /opt/tool/bin/run',
    'M file 0644 10 /srv/both',
    'A file 0644 8 /srv/copy',
    'T file 0644 11 /srv/old',
    // What holds the agent's folders, which this small system did not have.
    ...['/var', '/var/lib', '/var/log'].map((path) =>
      expect.stringMatching(new RegExp(`^A folder 0755 \\d+ ${path}$`)),
    ),
    expect.stringMatching(/^And \d+ in .*--all lists them\.$/),
    '',
  ]);
  expect((await vm('diff', '--all')).stdout).toMatch(/A +file +0644 +2 +\/tmp\/t\n/);
});

test(`sees through folders that were renamed or made anew${because}`, async () => {
  await change('mv /srv/app /srv/app.old; mv /srv/app.new /srv/app; rm -r /srv/old; busybox mkdir /srv/old');
  const { changes } = JSON.parse((await vm('diff', '/srv', '--json')).stdout);
  expect(changes.map(({ change, path }: { change: string; path: string }) => `${change} ${path}`)).toEqual(
    [
      'D /srv/app/data',
      'M /srv/app/version',
      'D /srv/app.new',
      'A /srv/app.old',
      'A /srv/app.old/data',
      'A /srv/app.old/data/file',
      'A /srv/app.old/version',
      'D /srv/old/file',
    ].sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1)),
  );
});

test(`shows the lines that differ in the paths that are named${because}`, async () => {
  await change('echo more >>/srv/both; rm /srv/touched; echo new >/srv/new; echo other >>/etc/os-release');
  const { stdout } = await vm('diff', '/srv/both', 'srv/touched', '/srv/new');
  expect(stdout).toContain('--- before/srv/both\n+++ now/srv/both\n@@ -1 +1,2 @@\n both\n+more\n');
  expect(stdout).toContain('--- before/srv/touched\n+++ /dev/null\n@@ -1 +0,0 @@\n-touched\n');
  expect(stdout).toContain('--- /dev/null\n+++ now/srv/new\n@@ -0,0 +1 @@\n+new\n');
  expect(stdout).not.toContain('other');
  expect((await vm('diff', '/srv/app')).stdout).toBe('No file has been changed.\n');
  const slip = await vm('diff', '/srv/nope', '--json');
  expect([slip.exitCode, JSON.parse(slip.stdout).error.code]).toEqual([1, 'NOT_FOUND']);
});

it('knows only the agent folders of a relocated VM, and says so', async () => {
  await vm('set', await writeScriptExtension(folder, { version: '1.0.0' }), '--isolation', 'relocated');
  const result = await vm('diff', '--json');
  expect(result.stderr).toContain('what handlers changed on this machine does not show');
  const { changes } = JSON.parse(result.stdout);
  expect(changes.map(({ path }: { path: string }) => path)).toContainEqual(
    expect.stringMatching(/Contoso\.Greeter-1\.0\.0\/status\/0\.status$/),
  );
});

it('says so when there is no VM', async () => {
  expect((await vm('diff')).stderr).toContain('NOT_FOUND');
});
