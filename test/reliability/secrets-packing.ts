/** What gets into packages, packed where secrets are in the environment, in the home and beside the sources. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY, runHandlerkit } from '../handlerkit-command.ts';
import type { Canaries } from './canaries.ts';
import type { Ledger } from './secrets-ledger.ts';

/**
 * Packs an extension with each of `runtimes`, and the two packages for npm, in copies, and searches what comes out. Gives how
 * many.
 */
export async function packWithSecrets(
  folder: string,
  runtimes: readonly string[],
  canaries: Canaries,
  ledger: Ledger,
): Promise<number> {
  const plant = (field: string): string => canaries.plant(`packing ${field}`, 'name');
  const home = join(folder, 'home');
  mkdirSync(home, { recursive: true });
  const npmrc = (): string => `//registry.example.com/:_authToken=${plant('.npmrc')}\n`;
  writeFileSync(join(home, '.npmrc'), npmrc());
  const { XDG_CACHE_HOME: cache = join(homedir(), '.cache') } = process.env;
  const env = {
    HOME: home,
    XDG_CACHE_HOME: cache,
    npm_config_cache: join(home, 'npm'),
    AZURE_CLIENT_SECRET: plant('environment'),
    NPM_TOKEN: plant('environment'),
    NODE_AUTH_TOKEN: plant('environment'),
  };
  const besides = (project: string): void => {
    writeFileSync(join(project, '.npmrc'), npmrc());
    for (const name of ['.env', '.env.production', 'id_rsa', 'settings.json', 'protected-settings.json']) {
      writeFileSync(join(project, name), `{"password": "${plant(name)}"}\n`);
    }
  };
  const project = join(folder, 'test/fixtures/probe');
  cpSync(join(REPOSITORY, 'test/fixtures/probe'), project, { recursive: true });
  symlinkSync(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
  besides(project);
  let packages = 0;
  for (const runtime of runtimes) {
    const zip = join(folder, `${runtime}.zip`);
    const words = [
      'pack',
      project,
      '--runtime',
      runtime,
      '--architectures',
      'x64',
      '--out',
      zip,
      '--verbose',
    ];
    const { exitCode, stdout, stderr } = await runHandlerkit(words, { env });
    ledger.text(`stdout, stderr of pack --runtime ${runtime}`, `${stdout}\n${stderr}`);
    if (exitCode !== 0) throw new Error(`the probe could not be packed: ${stderr}`);
    const content = join(folder, `content-${runtime}`);
    execFileSync('python3', ['-c', UNPACK, zip, content]);
    ledger.tree(`zip for ${runtime}`, content);
    packages++;
  }
  for (const name of ['sdk', 'tools']) {
    const copy = join(folder, name);
    const filter = (path: string): boolean => !/\/node_modules(?:\/|$)/.test(path);
    cpSync(join(REPOSITORY, name), copy, { recursive: true, filter });
    besides(copy);
    mkdirSync(join(copy, 'dist'), { recursive: true });
    besides(join(copy, 'src'));
    const said = execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], {
      cwd: copy,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    ledger.text(`stdout of npm pack ${name}`, said);
  }
  for (const tarball of readdirSync(folder).filter((name) => name.endsWith('.tgz'))) {
    const content = join(folder, `content-${tarball}`);
    mkdirSync(content);
    execFileSync('tar', ['-xzf', join(folder, tarball), '-C', content]);
    ledger.tree(`npm package ${tarball}`, content);
    packages++;
  }
  return packages;
}

const UNPACK = 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])';
