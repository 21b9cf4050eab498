/**
 * The pages of `docs`, carried out: each page in a project of its own, as `handlerkit init` makes it. Every file is written,
 * every command run, every output compared; in the end all programs of all pages are checked by the compiler.
 */
import { execFile, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HANDLERKIT, REPOSITORY, runHandlerkit } from '../handlerkit-command.ts';
import { normalisePrinted } from './normalise-printed.ts';
import { type PageStep, readPages } from './page.ts';

const CARRIED_OUT = readPages();
/** Of these the commands are run elsewhere: by CI, and by the test of the first hour. */
const OTHERS = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'sdk/README.md',
  'tools/README.md',
];
const TEXTS = [
  ...CARRIED_OUT,
  ...OTHERS.map((path) => ({ path, text: readFileSync(join(REPOSITORY, path), 'utf8') })),
];
const COMMAND_LIMIT_MS = 240_000;
const CONDITIONS = "{ conditions: ['@handlerkit/source', 'node', 'default'] }";
const VITEST_CONFIG = `export default { resolve: ${CONDITIONS}, ssr: { resolve: ${CONDITIONS} } };\n`;

let base: string;
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'handlerkit-docs-'));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** One after the other: they pack more than they wait, and the other worker has work, too. */
describe('the pages of docs', { timeout: 300_000 }, () => {
  it.each(CARRIED_OUT.filter(({ steps }) => steps.length > 0))(
    '$path does what it says',
    async ({ path, steps }) => {
      const folder = await makeProject(path);
      try {
        let where = folder;
        for (const step of steps) where = await carryOut(path, folder, where, step);
      } finally {
        await runHandlerkit(['vm', 'reset'], { cwd: folder });
      }
    },
  );
});

describe('all pages', () => {
  it('have programs that the compiler accepts', { timeout: 300_000 }, async () => {
    const config = join(base, 'tsconfig.json');
    const include = CARRIED_OUT.map(({ path }) => `${folderOf(path)}/**/*.ts`);
    writeFileSync(config, JSON.stringify({ extends: join(REPOSITORY, 'tsconfig.json'), include }));
    const words = [
      '-p',
      config,
      '--noEmit',
      '--types',
      'node',
      '--typeRoots',
      join(REPOSITORY, 'node_modules/@types'),
    ];
    const { exitCode, stdout } = await run(
      [join(REPOSITORY, 'node_modules/.bin/tsc'), ...words],
      base,
      process.env,
    );
    expect(stdout).toBe('');
    expect(exitCode).toBe(0);
  });

  it('link to files and headings that are there', () => {
    const broken: string[] = [];
    for (const { path, text } of TEXTS) {
      const prose = text.replaceAll(/^```.*?^```$/gms, '');
      for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [file = '', heading] = target.split('#');
        const found = file === '' ? path : join(dirname(path), file);
        if (!existsSync(resolve(REPOSITORY, found))) broken.push(`${path}: ${target}`);
        else if (heading !== undefined && !headingsOf(found).includes(heading))
          broken.push(`${path}: ${target}`);
      }
    }
    expect(broken).toEqual([]);
  });
});

/** The folder of a page's project, with what `npm install` would have brought. */
async function makeProject(path: string): Promise<string> {
  const folder = folderOf(path);
  const { exitCode, stderr } = await runHandlerkit(['init', folder, '--type', 'Greeter', '--yes']);
  expect(stderr).toBe('');
  expect(exitCode).toBe(0);
  symlinkSync(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
  // Inside the repository the SDK is not built.
  writeFileSync(join(folder, 'vitest.config.mjs'), VITEST_CONFIG);
  const programs = join(folder, '.programs');
  mkdirSync(programs);
  // What npx would start, without npm's own half second.
  const words = HANDLERKIT.map((word) => `'${word}'`).join(' ');
  writeFileSync(
    join(programs, 'npx'),
    `#!/bin/sh\n[ "$1" = handlerkit ] && shift && exec ${words} "$@"\nexit 127\n`,
    { mode: 0o755 },
  );
  return folder;
}

function folderOf(path: string): string {
  return join(base, path.replace(/^docs\//, '').replace(/\.md$/, ''));
}

/** Carries one step out, and gives the folder in which the reader is then. */
async function carryOut(path: string, folder: string, where: string, step: PageStep): Promise<string> {
  if (step.kind === 'file') {
    mkdirSync(dirname(join(where, step.name)), { recursive: true });
    writeFileSync(join(where, step.name), step.text);
    return where;
  }
  const place = join(folder, '.where');
  const script = `exec 3>'${place}'; trap 'pwd >&3' EXIT\n${step.command}`;
  const env = { ...process.env, NO_COLOR: '1', PATH: `${folder}/.programs:${process.env.PATH}` };
  const ran = step.isInterrupted
    ? await runUntilPrinted(
        script,
        where,
        env,
        (text) => findMissing(step.output, text, folder) === undefined,
      )
    : await run(['bash', '-c', script], where, env);
  const after = existsSync(place) ? readFileSync(place, 'utf8').trim() : where;
  const { exitCode } = ran;
  const printed = normalisePrinted(ran.stdout + ran.stderr, folder);
  const at = `${path}:${step.line}: ${step.command}`;
  expect(exitCode, `${at}\n${printed}`).toBe(step.exitCode);
  const missing = findMissing(step.output, ran.stdout + ran.stderr, folder);
  expect(missing, `${at}\nprinted no such line here:\n${printed}`).toBeUndefined();
  return after;
}

/** The first of the lines that is not in the text behind the one before it. */
function findMissing(lines: readonly string[], text: string, folder: string): string | undefined {
  const printed = normalisePrinted(text, folder);
  let from = 0;
  return lines.find((line) => {
    from = printed.indexOf(normalisePrinted(line, folder), from);
    return from === -1;
  });
}

interface Ran {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(argv: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<Ran> {
  const [program = '', ...words] = argv;
  return new Promise((done) => {
    const options = { cwd, env, timeout: COMMAND_LIMIT_MS, maxBuffer: 2 ** 26 };
    const child = execFile(program, words, options, (_failure, stdout, stderr) => {
      done({ exitCode: child.exitCode, stdout, stderr });
    });
    child.stdin?.end();
  });
}

/** Runs a script, and presses Ctrl-C once it has printed what was to come; it is killed at the limit. */
function runUntilPrinted(
  script: string,
  cwd: string,
  env: NodeJS.ProcessEnv,
  isEnough: (text: string) => boolean,
): Promise<Ran> {
  return new Promise((done) => {
    // A group of its own, as a terminal gives to what it runs.
    const child = spawn('bash', ['-c', script], {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const signal = (name: NodeJS.Signals) => child.pid !== undefined && process.kill(-child.pid, name);
    const limit = setTimeout(() => signal('SIGKILL'), COMMAND_LIMIT_MS);
    const printed = { stdout: '', stderr: '' };
    let isStopped = false;
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        printed[name] += text;
        if (isStopped || !isEnough(printed.stdout + printed.stderr)) return;
        isStopped = true;
        signal('SIGINT');
      });
    }
    child.once('close', (exitCode) => {
      clearTimeout(limit);
      done({ exitCode, ...printed });
    });
  });
}

/** The headings of a page as links name them. */
function headingsOf(path: string): string[] {
  const text = readFileSync(join(REPOSITORY, path), 'utf8').replaceAll(/^```.*?^```$/gms, '');
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
