/** The same extension gives the same bytes: packed by other users, in other places, at other times. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, lstatSync, lutimesSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { hostArchitecture } from './runtime.ts';

const fixture = fileURLToPath(new URL('./fixtures/hello', import.meta.url));
const sdk = fileURLToPath(new URL('../../../sdk', import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reproducible-'));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

/** A clone of the extension and the SDK; the SDK is a link in `node_modules` or lies there as files. */
function clone(name: string, asLink: boolean, seconds: number): string {
  const root = join(folder, name);
  const modules = join(root, 'node_modules/@handlerkit');
  mkdirSync(modules, { recursive: true });
  cpSync(fixture, join(root, 'hello'), { recursive: true });
  const target = asLink ? join(root, 'sdk') : join(modules, 'sdk');
  cpSync(join(sdk, 'src'), join(target, 'src'), { recursive: true });
  cpSync(join(sdk, 'package.json'), join(target, 'package.json'));
  if (asLink) symlinkSync('../../sdk', join(modules, 'sdk'));
  for (const file of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    if (!lstatSync(join(root, file)).isDirectory()) lutimesSync(join(root, file), seconds, seconds);
  }
  return join(root, 'hello');
}

/** Packs in a process of its own, with these variables and umask; gives the zip's SHA-256 and sizes. */
async function pack(
  project: string,
  runtime: string,
  env: Readonly<Record<string, string>>,
  umask: number,
): Promise<unknown> {
  const options = { folder: project, runtime, architectures: [hostArchitecture()] };
  const script = [
    `import { packProject } from ${JSON.stringify(new URL('pack.ts', import.meta.url).href)};`,
    `process.umask(${umask});`,
    `const deps = { env: process.env, progress: () => {} };`,
    `const { sha256, sizeBytes, entries, warnings } = await packProject(${JSON.stringify(options)}, deps);`,
    'process.stdout.write(JSON.stringify({ sha256, sizeBytes, entries, warnings }));',
  ].join('\n');
  const words = ['--conditions=@handlerkit/source', '--import', import.meta.resolve('tsx')];
  const cache = process.env.XDG_CACHE_HOME ?? join(process.env.HOME ?? homedir(), '.cache');
  const child = spawn(process.execPath, [...words, '--input-type=module', '--eval', script], {
    cwd: project,
    env: { PATH: process.env.PATH, XDG_CACHE_HOME: cache, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  expect(await once(child, 'close')).toEqual([0, null]);
  return JSON.parse(said);
}

it.each(['bun', 'node'])('gives the same package for %s', { timeout: 120_000 }, async (runtime) => {
  const first = clone('a', true, 1_000_000_000);
  const second = clone('another place/deep', false, 1_700_000_001);
  const there = await pack(first, runtime, { TZ: 'UTC', LANG: 'C', HOME: join(folder, 'home') }, 0o022);
  const here = await pack(
    second,
    runtime,
    { TZ: 'Pacific/Kiritimati', LC_ALL: 'tr_TR.UTF-8', LANG: 'de_DE.UTF-8', HOME: '/nonexistent', USER: 'x' },
    0o077,
  );
  expect(here).toEqual(there);
  expect(there).toMatchObject({ warnings: [] });
  expect(JSON.stringify(there)).toContain('sbom.cdx.json');
});
