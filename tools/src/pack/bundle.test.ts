import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, createReadStream, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { compileBundle } from './bundle.ts';
import { formatLauncher } from './launcher.ts';
import { BUN_RUNTIMES } from './pinned-runtimes.ts';
import { fetchRuntime, hostArchitecture } from './runtime.ts';

const fixture = fileURLToPath(new URL('./fixtures/hello', import.meta.url));
const sdk = fileURLToPath(new URL('../../../sdk', import.meta.url));
const architecture = hostArchitecture();

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bundle-'));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

async function compile(entry: string, work: string, env: Record<string, string> = {}, target = architecture) {
  mkdirSync(join(folder, work), { recursive: true });
  const deps = { env: process.env, folder, progress: () => {} };
  const bun = await fetchRuntime(BUN_RUNTIMES[architecture], deps);
  const runtime = await fetchRuntime(BUN_RUNTIMES[target], deps);
  const options = { entry, architecture: target, bun, runtime, workFolder: join(folder, work) };
  return compileBundle(options, { env: { PATH: process.env.PATH, ...env } });
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest('hex');
}

/** A copy of the fixture, with the SDK's sources in node_modules: as a link in one place, as files in the other. */
function copyTree(name: string, link: boolean): string {
  const root = join(folder, name);
  cpSync(fixture, join(root, 'hello'), { recursive: true });
  const modules = join(root, 'node_modules/@handlerkit');
  mkdirSync(modules, { recursive: true });
  const target = link ? join(root, 'sdk') : join(modules, 'sdk');
  cpSync(join(sdk, 'src'), join(target, 'src'), {
    recursive: true,
    filter: (path) => !path.includes('.test.'),
  });
  cpSync(join(sdk, 'package.json'), join(target, 'package.json'));
  if (link) symlinkSync('../../sdk', join(modules, 'sdk'));
  return join(root, 'hello/src/main.ts');
}

it('compiles the same sources in another folder, for another user, to the same bytes', {
  timeout: 60_000,
}, async () => {
  const first = await compile(copyTree('a', true), 'work-1');
  const old = process.umask(0o077);
  const second = await compile(copyTree('b/deeper', false), 'other/work', {
    TZ: 'Asia/Tokyo',
    HOME: '/nonexistent',
  }).finally(() => process.umask(old));
  expect(await sha256(second.executable)).toBe(await sha256(first.executable));
  expect([first.holdsBuildPath, second.holdsBuildPath]).toEqual([false, false]);
  expect(second.inputs).toContain(join(folder, 'b/deeper/hello/src/greet.ts'));

  const place = join(folder, 'place');
  mkdirSync(place);
  writeFileSync(join(place, '.env'), 'FROM_DOT_ENV=yes\n');
  writeFileSync(join(place, 'bunfig.toml'), 'preload = ["./absent.ts"]\n');
  writeFileSync(join(place, 'tsconfig.json'), 'not json');
  writeFileSync(join(place, 'package.json'), 'not json');
  const said = execFileSync(first.executable, ['enable', 'a b'], { cwd: place, encoding: 'utf8' });
  expect(JSON.parse(said)).toEqual({
    words: ['enable', 'a b'],
    fromDotEnv: null,
    text: 'Says hello, it is 1970-01-01T00:00:00Z',
  });
});

it('compiles for each architecture, with the loader that the launcher looks for', {
  timeout: 120_000,
}, async () => {
  const launcher = formatLauncher({
    handlerName: 'A.B',
    version: '1',
    architectures: ['x64', 'arm64'],
    detached: false,
    reportHeartbeat: false,
  });
  for (const [target, machine] of [
    ['x64', 62],
    ['arm64', 183],
  ] as const) {
    const { executable } = await compile(join(fixture, 'src/main.ts'), target, {}, target);
    const handle = await open(executable);
    const head = (await handle.read(Buffer.alloc(4096), 0, 4096, 0)).buffer;
    await handle.close();
    // e_machine of the ELF header; the interpreter's path lies behind the program headers.
    expect(head.readUInt16LE(18)).toBe(machine);
    const loader = /\/lib(?:64)?\/ld-linux-[\w-]+\.so\.\d/.exec(head.toString('latin1'))?.[0];
    expect(launcher).toContain(`architecture=${target} loader=${loader} ;;`);
  }
});

it('tells when the path of the build is in the program', { timeout: 60_000 }, async () => {
  const entry = join(folder, 'src/main.ts');
  mkdirSync(dirname(entry));
  writeFileSync(entry, `console.log(${JSON.stringify(entry)});\n`);
  expect((await compile(entry, 'work')).holdsBuildPath).toBe(true);
});

it("fails with bun's own words", { timeout: 60_000 }, async () => {
  const entry = join(folder, 'src/main.ts');
  mkdirSync(dirname(entry));
  writeFileSync(entry, "import './absent.ts';\n");
  await expect(compile(entry, 'work')).rejects.toMatchObject({
    code: 'BUNDLE_FAILED',
    message: expect.stringContaining('absent.ts'),
  });
});

it('loads what is imported late only when it is needed', { timeout: 60_000 }, async () => {
  const entry = join(folder, 'src/main.ts');
  mkdirSync(dirname(entry));
  writeFileSync(join(dirname(entry), 'late.ts'), "console.log('loaded');\nexport const word = 'late';\n");
  writeFileSync(
    entry,
    "console.log('begun');\nif (process.argv.includes('late')) console.log((await import('./late.ts')).word);\n",
  );
  const { executable } = await compile(entry, 'work');
  expect(execFileSync(executable, []).toString()).toBe('begun\n');
  expect(execFileSync(executable, ['late']).toString()).toBe('begun\nloaded\nlate\n');
});
