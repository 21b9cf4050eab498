/**
 * The author's first minutes, from the npm packages as they would be published: the commands of the README's "Write an
 * extension" are run in an empty folder, and print what the README says.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../handlerkit-command.ts';
import { NO_OVERLAY } from '../local-vm.ts';

const run = promisify(execFile);

/** What a project has in it when it came from the registry, and what must never be published. */
const STRAY = /\.test\.|fixtures|node_modules|\.tsbuildinfo|\.env|\.map$/;

describe('the first hour of an author', { timeout: 600_000 }, () => {
  let base: string;
  beforeAll(async () => {
    base = mkdtempSync(join(tmpdir(), 'handlerkit-first-hour-'));
    mkdirSync(join(base, 'packages'));
    await run('npm', ['run', '-s', 'build'], { cwd: REPOSITORY });
    for (const name of ['sdk', 'tools']) {
      const words = ['pack', '--silent', '--pack-destination', join(base, 'packages')];
      await run('npm', words, { cwd: join(REPOSITORY, name) });
    }
  }, 300_000);
  afterAll(() => rmSync(base, { recursive: true, force: true }));

  it.each([
    ['handlerkit-sdk-1.0.0.tgz', ['LICENSE', 'README.md', 'package.json'], ['dist', 'src']],
    [
      'handlerkit-1.0.0.tgz',
      ['LICENSE', 'README.md', 'extension.schema.json', 'package.json'],
      ['bin', 'dist', 'templates'],
    ],
  ])('%s holds what it should, and nothing else', async (file, files, folders) => {
    const { stdout } = await run('tar', ['-tzf', join(base, 'packages', file)], { maxBuffer: 2 ** 24 });
    const names = stdout
      .trim()
      .split('\n')
      .map((name) => name.replace(/^package\//, ''));
    const own = file.startsWith('handlerkit-sdk')
      ? names
      : names.filter((name) => !name.startsWith('templates/'));
    expect(own.filter((name) => STRAY.test(name))).toEqual([]);
    expect(names.filter((name) => !name.includes('/')).sort()).toEqual(files);
    expect(
      [...new Set(names.filter((name) => name.includes('/')).map((name) => name.split('/')[0]))].sort(),
    ).toEqual(folders);
    const built = (name: string) => names.includes(`dist/${name}`);
    expect(built(file.startsWith('handlerkit-sdk') ? 'index.d.ts' : 'cli.js')).toBe(true);
  });

  it('goes from an empty folder to an extension that runs, as the README shows it', async () => {
    const work = join(base, 'work');
    mkdirSync(work);
    writeFileSync(join(work, 'package.json'), '{ "private": true }');
    const { firstScreen, handler, others } = readSteps();
    expect(firstScreen.length).toBeGreaterThan(1);
    expect(others.length).toBeGreaterThan(3);
    let folder = work;
    const carryOut = async ({ command, output }: Step): Promise<void> => {
      // Each command has a shell of its own, which says where it ended.
      const script = `${command.replaceAll('$PACKAGES', join(base, 'packages'))}\npwd >&3`;
      const words = ['-c', `exec 3>${join(base, 'where')}; set -e; ${script}`];
      const { stdout, stderr } = await run('bash', words, {
        cwd: folder,
        env: { ...cleanEnvironment(), NO_COLOR: '1' },
      });
      folder = readFileSync(join(base, 'where'), 'utf8').trim();
      const printed = normalise(stdout + stderr);
      let from = 0;
      for (const line of output) {
        const at = printed.indexOf(normalise(line), from);
        expect(at, `${command} printed no line ${JSON.stringify(line)} here:\n${printed}`).not.toBe(-1);
        from = at;
      }
    };
    try {
      for (const step of others) await carryOut(step);
      expect(readdirSync(folder)).toContain('extension.json');
      writeFileSync(join(folder, 'src/main.ts'), handler);
      await run('npx', ['--no-install', 'tsc'], { cwd: folder, env: cleanEnvironment() });
      // Without an overlay it would install a package on this machine.
      if (NO_OVERLAY === undefined) for (const step of firstScreen) await carryOut(step);
    } finally {
      await run('npx', ['--no-install', 'handlerkit', 'vm', 'reset'], { cwd: folder }).catch(() => undefined);
    }
  });

  it('begins with a whole handler of at most twelve lines', () => {
    expect(readSteps().handler.trim().split('\n').length).toBeLessThanOrEqual(12);
  });
});

interface Step {
  readonly command: string;
  readonly output: readonly string[];
}

/** The handler of the README, and the commands and their output in its blocks marked `console`: above its headings, and below. */
function readSteps(): { firstScreen: readonly Step[]; handler: string; others: readonly Step[] } {
  const text = readFileSync(join(REPOSITORY, 'README.md'), 'utf8');
  const end = text.indexOf('\n## ');
  const [, handler = ''] = /^```ts\n(.*?)^```$/ms.exec(text) ?? [];
  return { firstScreen: readConsole(text.slice(0, end)), handler, others: readConsole(text.slice(end)) };
}

function readConsole(text: string): readonly Step[] {
  const blocks = [...text.matchAll(/^```console\n(.*?)^```$/gms)].map((match) => match[1] ?? '');
  return blocks
    .join('')
    .split(/^\$ /m)
    .slice(1)
    .map((step) => {
      const [command = '', ...output] = step.split('\n').filter((line) => line.trim() !== '');
      return { command, output };
    });
}

/** Times differ from run to run; so does the architecture. */
function normalise(text: string): string {
  return text.replaceAll(/\d+\.\d\d s/g, '0.00 s').replaceAll(/for (x64|arm64)/g, 'for x64');
}

/** Without what the test runner and npm set for their children. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(npm_|VITEST|NODE_OPTIONS|NODE_ENV|HANDLERKIT)/.test(name),
    ),
  );
}
