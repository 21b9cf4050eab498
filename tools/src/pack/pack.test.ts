import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseHandlerManifest } from '@handlerkit/sdk/contract';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { packProject } from './pack.ts';
import { hostArchitecture } from './runtime.ts';

const fixture = fileURLToPath(new URL('./fixtures/hello', import.meta.url));
const sdk = fileURLToPath(new URL('../../../sdk', import.meta.url));
const deps = { env: process.env, progress: () => {} };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pack-'));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

/** Unpacks as the agent does: Python's zipfile, which drops the modes, then execution for the owner on every file. */
function unpackAsAgent(zip: string, base: string): void {
  execFileSync('python3', [
    '-c',
    'import sys,zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])',
    zip,
    base,
  ]);
  execFileSync('find', [base, '-type', 'f', '-exec', 'chmod', 'u+x', '{}', '+']);
}

it('packs an extension that runs after the agent unpacked it', { timeout: 120_000 }, async () => {
  const out = join(folder, 'out/hello.zip');
  const result = await packProject(
    { folder: fixture, out, architectures: [hostArchitecture()], version: '1.2.3' },
    deps,
  );
  expect(result).toMatchObject({
    file: out,
    handlerName: 'Contoso.Samples.Hello',
    version: '1.2.3',
    warnings: [],
  });
  expect(result.sizeBytes).toBe((await stat(out)).size);
  expect(execFileSync('sha256sum', [out], { encoding: 'utf8' })).toContain(result.sha256);
  expect(result.entries.map((entry) => entry.name)).toEqual([
    'HandlerManifest.json',
    'LICENSES.txt',
    'bin/handler',
    `bin/handler-${hostArchitecture()}`,
    'manifest.xml',
    'resources/note.txt',
    'sbom.cdx.json',
  ]);
  expect(await readdir(join(folder, 'out'))).toEqual(['hello.zip']);

  const base = join(folder, 'Contoso.Samples.Hello-1.2.3');
  unpackAsAgent(out, base);
  const manifest = parseHandlerManifest(
    readFileSync(join(base, 'HandlerManifest.json'), 'utf8'),
    'HandlerManifest.json',
  );
  expect(manifest).toMatchObject({ installOnUpdate: true, reportHeartbeat: false, nonBooleanKeys: [] });
  const said = execFileSync('/bin/sh', ['-c', `${base}/${manifest.commands.enable}`], {
    cwd: base,
    encoding: 'utf8',
  });
  expect(JSON.parse(said)).toMatchObject({ words: ['enable'] });
  expect(readFileSync(join(base, 'LICENSES.txt'), 'utf8')).toContain('@handlerkit/sdk 1.0.0\nLicence: MIT');
  expect(readFileSync(join(base, 'manifest.xml'), 'utf8')).toContain('<Version>1.2.3</Version>');
});

it.each<[object, string]>([[{ files: ['tests/**'] }, 'PACKAGE_NAME_REFUSED']])(
  'refuses %j before anything is fetched: %s',
  async (more, code) => {
    cpSync(fixture, join(folder, 'hello'), { recursive: true });
    const file = join(folder, 'hello/extension.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...more }));
    mkdirSync(join(folder, 'hello/tests'));
    writeFileSync(join(folder, 'hello/tests/handlermanifest.JSON'), '[]');
    await expect(packProject({ folder: join(folder, 'hello') }, deps)).rejects.toMatchObject({ code });
    expect(await readdir(join(folder, 'hello'))).not.toContain('dist');
  },
);

it('tells without writing it what a package would hold, the same as when it is written', {
  timeout: 120_000,
}, async () => {
  cpSync(fixture, join(folder, 'hello'), { recursive: true });
  mkdirSync(join(folder, 'node_modules/@handlerkit'), { recursive: true });
  symlinkSync(sdk, join(folder, 'node_modules/@handlerkit/sdk'));
  const options = { folder: join(folder, 'hello'), architectures: [hostArchitecture()] };
  const told = await packProject({ ...options, dryRun: true }, deps);
  expect(await readdir(join(folder, 'hello'))).not.toContain('dist');
  expect(told).toMatchObject({ written: false, runtime: 'bun', architectures: [hostArchitecture()] });
  const written = await packProject(options, deps);
  expect(told).toEqual({ ...written, written: false });
  const packedBytes = written.entries.reduce((sum, entry) => sum + entry.packedBytes, 0);
  expect(packedBytes).toBeLessThan((await stat(written.file)).size);
});

it('says how to write the zip elsewhere when there is no place for it', async () => {
  writeFileSync(join(folder, 'file'), '');
  const options = { folder: fixture, out: join(folder, 'file/hello.zip') };
  await expect(packProject(options, { ...deps, env: {} })).rejects.toMatchObject({
    code: 'ENOTDIR',
    file: expect.stringContaining(join(folder, 'file')),
    hint: expect.stringContaining('--out'),
  });
});

it('leaves no temporary file when the program cannot be compiled', { timeout: 60_000 }, async () => {
  cpSync(fixture, join(folder, 'hello'), { recursive: true });
  writeFileSync(join(folder, 'hello/src/main.ts'), 'this is no program');
  chmodSync(join(folder, 'hello/src/main.ts'), 0o644);
  const options = { folder: join(folder, 'hello'), architectures: [hostArchitecture()] };
  await expect(packProject(options, deps)).rejects.toMatchObject({ code: 'BUNDLE_FAILED' });
  expect(await readdir(join(folder, 'hello/dist'))).toEqual([]);
});
