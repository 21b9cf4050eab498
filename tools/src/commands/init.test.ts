import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { parseExtensionDescription } from '@handlerkit/sdk';
import { afterAll, describe, expect, it } from 'vitest';
import { runCli } from '../fixtures/run-cli.ts';
import { readToolVersion } from '../tool-version.ts';

const base = mkdtempSync(join(tmpdir(), 'handlerkit-init-'));
afterAll(() => rmSync(base, { recursive: true }));

const init = (...words: string[]) => runCli(['init', ...words], { cwd: base });
const read = (...names: string[]) => readFileSync(join(base, ...names), 'utf8');
const FILES = [
  '.github/workflows/package.yml',
  '.gitignore',
  'README.md',
  'extension.json',
  'package.json',
  'src/handler.test.ts',
  'src/handler.ts',
  'src/main.ts',
  'tsconfig.json',
];

describe('handlerkit init', () => {
  it('makes a project that is named after its folder, without a question where nobody sits', async () => {
    const { exitCode, stdout } = await init('my-greeter');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('Contoso.Samples.MyGreeter in my-greeter');
    expect(stdout).toContain('cd my-greeter\n  npm install\n  npx handlerkit vm set .');
    const description = parseExtensionDescription(JSON.parse(read('my-greeter/extension.json')), 'x');
    expect(description).toMatchObject({ publisher: 'Contoso.Samples', type: 'MyGreeter', version: '1.0.0' });
    const version = readToolVersion();
    expect(JSON.parse(read('my-greeter/package.json'))).toMatchObject({
      name: 'my-greeter',
      dependencies: { '@handlerkit/sdk': version },
      devDependencies: { handlerkit: version },
    });
    for (const name of FILES) expect(read('my-greeter', name), name).not.toMatch(/%[A-Z]+%/);
    expect(statSync(join(base, 'my-greeter')).mode & 0o777).toBe(0o777 & ~process.umask());
  });

  it('takes what the command line says, and prints one document with --json', async () => {
    const words = ['--publisher', 'Fabrikam.Ops', '--type', 'Agent', '--description', 'Says "hi"\nto all'];
    const { stdout } = await init('named', ...words, '--json');
    expect(JSON.parse(stdout)).toEqual({
      folder: join(base, 'named'),
      publisher: 'Fabrikam.Ops',
      type: 'Agent',
      files: FILES,
      next: ['cd named', 'npm install', `npx handlerkit vm set . --settings '{"name": "Ada"}'`],
    });
    expect(JSON.parse(read('named/extension.json'))).toMatchObject({ description: 'Says "hi" to all.' });
    expect(read('named/README.md')).toContain('Says "hi" to all.');
  });

  it('asks on a terminal for what is missing, again after an answer that cannot be, and takes Enter for the default', async () => {
    const input = new PassThrough();
    const output = new PassThrough();
    let asked = '';
    const answers = ['Contoso-Samples', 'Contoso.Tools', '', 'Installs the agent'];
    output.on('data', (data: Buffer) => {
      asked += data.toString();
      const answer = answers[0];
      if (answer !== undefined && /\]: $/.test(asked)) {
        answers.shift();
        asked += '\n';
        input.write(`${answer}\n`);
      }
    });
    const { exitCode, stdout } = await runCli(['init', 'asked'], { cwd: base, terminal: { input, output } });
    expect(exitCode).toBe(0);
    expect(asked).toContain('Publisher [Contoso.Samples]: ');
    expect(asked).toContain('publisher must be');
    expect(asked).toContain('Type of the extension [Asked]: ');
    expect(stdout).toContain('Contoso.Tools.Asked in asked');
    expect(read('asked/README.md')).toContain('Installs the agent.');
  });

  it('is stopped by Ctrl-C and by the end of the input, and leaves nothing', async () => {
    const output = new PassThrough();
    const input = new PassThrough();
    input.end();
    const ended = await runCli(['init', 'ended'], { cwd: base, terminal: { input, output } });
    expect(ended).toMatchObject({ exitCode: 130, stderr: expect.stringContaining('INTERRUPTED') });
    expect(existsSync(join(base, 'ended'))).toBe(false);
  });

  it('fills an empty folder, and this one, which stays the same folder', async () => {
    mkdirSync(join(base, 'empty', '.git'), { recursive: true });
    const before = statSync(join(base, 'empty')).ino;
    const { stdout } = await runCli(['init', '.'], { cwd: join(base, 'empty') });
    expect(stdout).toContain('Contoso.Samples.Empty in this folder');
    expect(stdout).not.toContain('cd ');
    expect(statSync(join(base, 'empty')).ino).toBe(before);
    expect(existsSync(join(base, 'empty', 'src/handler.ts'))).toBe(true);
    expect(readdirSync(base).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('touches nothing in a folder that holds something', async () => {
    mkdirSync(join(base, 'full'));
    writeFileSync(join(base, 'full', 'note'), 'mine');
    const { exitCode, stderr } = await init('full');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('FOLDER_NOT_EMPTY');
    expect(readdirSync(join(base, 'full'))).toEqual(['note']);
    expect((await init('full/note')).stderr).toContain('FOLDER_NOT_EMPTY');
  });

  it.each([
    [['--publisher', 'Contoso-Samples'], 2, '--publisher: publisher must be'],
    [['--type', ''], 2, '--type: type '],
    [['--packages', '.'], 1, 'PACKAGES_NOT_FOUND'],
    [['--pubisher', 'X'], 2, 'Did you mean --publisher?'],
    [[], 2, 'missing'],
  ])('refuses %j before anything is written', async (words, code, text) => {
    const { exitCode, stderr } = await init(...(words.length === 0 ? [] : ['refused', ...words]));
    expect(exitCode).toBe(code);
    expect(stderr).toContain(text);
    expect(existsSync(join(base, 'refused'))).toBe(false);
  });

  it('names the packages of a folder in place of the registry', async () => {
    const version = readToolVersion();
    const packages = mkdtempSync(join(base, 'packages-'));
    for (const name of ['handlerkit-sdk', 'handlerkit'])
      writeFileSync(join(packages, `${name}-${version}.tgz`), '');
    await init('local', '--packages', packages);
    expect(JSON.parse(read('local/package.json'))).toMatchObject({
      dependencies: { '@handlerkit/sdk': `file:${packages}/handlerkit-sdk-${version}.tgz` },
      devDependencies: { handlerkit: `file:${packages}/handlerkit-${version}.tgz` },
    });
  });
});
