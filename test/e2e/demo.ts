/**
 * The main job, shown on real input: packs Custom Script, tries it on a local VM with a script from a web server and a
 * password in its protected settings, makes it fail, updates it, deletes it, and looks for the password in everything
 * that is left. Run with `npm run demo`. Ends with exit code 1 when anything is not as it should be.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { styleText } from 'node:util';
import { startFileServer } from '../file-server.ts';
import { HANDLERKIT, REPOSITORY } from '../handlerkit-command.ts';

const PASSWORD = 'Tr0ub4dor&3-demo';
const GREET = `#!/bin/sh
# Signs in somewhere with the password that it is given, and never prints it.
echo "hello from $(uname -s), as $(id -un)"
echo "the password has \${#1} characters"
echo "a word on stderr" >&2
`;

class DemoFailure extends Error {}

interface Step {
  readonly words: readonly string[];
  /** Exit code that the command must have; default 0. */
  readonly exitCode?: number;
}

async function main(): Promise<void> {
  const started = performance.now();
  const work = mkdtempSync(join(tmpdir(), 'handlerkit-demo-'));
  const vm = join(work, 'vm');
  const server = await startFileServer({ '/greet.sh': GREET });
  let vmExists = false;
  try {
    title('1. Pack the extension: one zip that needs nothing on the VM but a kernel, libc and /bin/sh');
    const zip = join(work, 'custom-script-1.0.0.zip');
    await handlerkit({ words: ['pack', 'extensions/custom-script', '--out', zip] });

    title('2. Apply it to a local VM: a public file, a protected command with a password');
    say(`A web server on loopback serves ${server.url}/greet.sh`);
    const settings = inputFile(work, 'settings.json', { fileUris: [`${server.url}/greet.sh`] });
    const secret = inputFile(work, 'protected.json', { commandToExecute: `sh ./greet.sh '${PASSWORD}'` });
    // The web server is on this machine's loopback; a VM has one of its own unless told.
    const where = ['--vm', vm, '--network', 'host'];
    const apply = [...where, '--settings', `@${settings}`, '--protected-settings', `@${secret}`];
    vmExists = true;
    const first = await handlerkit({ words: ['vm', 'set', zip, ...apply] });
    expectView(first, 'ProvisioningState/succeeded', 'Enable succeeded: \n[stdout]\nhello from Linux');
    expectView(first, 'ProvisioningState/succeeded', `the password has ${PASSWORD.length} characters`);
    showEncryption(vm);

    title('3. Apply settings whose command is misspelt');
    const misspelt = inputFile(work, 'misspelt.json', { commandToExecute: 'ech "hello"' });
    const failed = await handlerkit({
      words: ['vm', 'set', zip, '--vm', vm, '--settings', `@${misspelt}`],
      exitCode: 1,
    });
    expectView(
      failed,
      'ProvisioningState/failed/',
      'Enable failed: failed to execute command: command terminated with exit status=127\n[stdout]\n\n[stderr]\n/bin/sh: 1: ech: not found\n',
    );

    title('4. Put it right again, then update to a newer version: the script does not run a second time');
    await handlerkit({ words: ['vm', 'set', zip, ...apply] });
    const runsBefore = server.requests.length;
    const newer = join(work, 'custom-script-1.0.1.zip');
    const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
    await handlerkit({
      words: [
        'pack',
        'extensions/custom-script',
        '--package-version',
        '1.0.1',
        '--architectures',
        architecture,
        '--out',
        newer,
      ],
    });
    const updated = await handlerkit({ words: ['vm', 'set', newer, '--vm', vm, '--keep-settings'] });
    expectView(updated, 'ProvisioningState/succeeded', 'hello from Linux');
    check(server.requests.length === runsBefore, 'the web server was asked for the script again');
    say('The web server was not asked again, and the result of the run is still there.');
    await handlerkit({ words: ['vm', 'list', '--vm', vm] });

    title('5. Delete the extension, and look for the password in every file that is left');
    await handlerkit({ words: ['vm', 'delete', 'CustomScript', '--vm', vm] });
    rmSync(secret);
    const { files, hits } = search(work, forms(PASSWORD));
    check(hits.length === 0, `the password is in ${hits.join(', ')}`);
    say(`Read ${files} files below ${work}: the password is in none of them, neither plain nor encoded.`);
    title(`Done in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  } finally {
    if (vmExists) await handlerkit({ words: ['vm', 'reset', '--vm', vm] }).catch(() => undefined);
    await server.close();
    rmSync(work, { recursive: true, force: true });
  }
}

/** Runs the tool as a user does, shows the command and what it says, and gives its stdout. */
function handlerkit(step: Step): Promise<string> {
  process.stdout.write(`\n${styleText('bold', `$ handlerkit ${step.words.map(quote).join(' ')}`)}\n`);
  const [program = '', ...args] = HANDLERKIT;
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args, ...step.words], {
      cwd: REPOSITORY,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      process.stdout.write(chunk);
    });
    child.once('error', reject);
    child.once('close', (exitCode) => {
      if (exitCode === (step.exitCode ?? 0)) resolve(output);
      else reject(new DemoFailure(`handlerkit ${step.words[0]} ended with exit code ${exitCode}`));
    });
  });
}

/** Checks the one extension in an instance view. */
function expectView(output: string, code: string, message: string): void {
  const views: unknown = JSON.parse(output);
  const text = JSON.stringify(views);
  check(text.includes(`"code":"${code}`), `the instance view does not say ${code}`);
  check(text.includes(JSON.stringify(message).slice(1, -1)), `the instance view does not say ${message}`);
}

function showEncryption(vm: string): void {
  const found = walk(vm).find(
    (file) => file.endsWith('.settings') && readFileSync(file).includes('protectedSettings'),
  );
  check(found !== undefined, 'no settings file was found in the VM');
  if (found === undefined) return;
  const text = readFileSync(found, 'utf8');
  check(!text.includes(PASSWORD), 'the password is readable in the settings file');
  say(
    `What the agent wrote for the handler (${relative(vm, found)}), encrypted to the VM's own certificate:`,
  );
  say(`  ${text.slice(0, 260)}…`);
}

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Every byte of every file; large ones too. */
function search(folder: string, needles: readonly string[]): { files: number; hits: string[] } {
  const files = walk(folder);
  const hits = files.filter((file) => {
    const content = readFileSync(file);
    return needles.some((needle) => content.includes(needle));
  });
  return { files: files.length, hits };
}

function forms(secret: string): string[] {
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64'),
  ];
}

function inputFile(folder: string, name: string, value: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  return path;
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function title(text: string): void {
  process.stdout.write(`\n${styleText(['bold', 'cyan'], text)}\n`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function check(isRight: boolean, otherwise: string): void {
  if (!isRight) throw new DemoFailure(otherwise);
}

try {
  await main();
} catch (thrown) {
  const message = thrown instanceof DemoFailure ? thrown.message : String(thrown);
  process.stderr.write(`\n${styleText('red', 'The demo did not go as it should:')} ${message}\n`);
  process.exitCode = 1;
}
