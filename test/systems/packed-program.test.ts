/**
 * The packed program by itself: which C library it needs, and that files beside it, in the folder where it is started and
 * at home change nothing, whatever its runtime would make of them.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RUNTIME_VARIABLES } from '@handlerkit/sdk';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import {
  type LaidOutHandler,
  layOutHandler,
  type UnpackedPackage,
  unpackPackage,
} from '../unpacked-handler.ts';
import { GLIBC_LIBRARIES, newestGlibc, readLibraryNeeds } from './library-needs.ts';

const PROGRAM = `bin/handler-${process.arch}`;

let unpacked: UnpackedPackage;
beforeAll(() => {
  unpacked = unpackPackage(inject('probeZip'));
});
afterAll(() => unpacked.remove());

it('needs glibc 2.17 and no other library', () => {
  const needs = readLibraryNeeds(join(unpacked.folder, PROGRAM));
  expect(needs.libraries).toContain('libc.so.6');
  expect(needs.libraries.filter((name) => !GLIBC_LIBRARIES.test(name))).toEqual([]);
  expect(newestGlibc(needs)).toBe(17);
});

it("hands on none of the launcher's variables for its runtime to what it starts", async () => {
  const handler = layOutHandler(unpacked);
  try {
    const steps = [{ do: 'exec', argv: ['/bin/sh', '-c', 'env >given'] }, { do: 'end' }];
    handler.writeSettings(0, { public: { steps } });
    expect(await handler.run('enable', { sequence: 0 })).toMatchObject({ exitCode: 0, stderr: '' });
    const given = readFileSync(join(handler.folder(), 'given'), 'utf8').split('\n');
    const names = given.map((line) => line.slice(0, line.indexOf('=')));
    expect(names).toContain('PATH');
    expect(names.filter((name) => name in RUNTIME_VARIABLES)).toEqual([]);
  } finally {
    handler.remove();
  }
});

const VARIABLE = (): string => 'HOSTILE=loaded\n';
const PRELOAD = (evil: string): string => `preload = [${JSON.stringify(evil)}]\n`;
const PATHS = (evil: string): string =>
  JSON.stringify({ compilerOptions: { baseUrl: '.', paths: { '*': [evil] }, jsxImportSource: evil } });

/** What bun reads when it starts something: each would leave a variable or load the script of this path. */
const HOSTILE_FILES: Readonly<Record<string, (evil: string) => string>> = {
  '.env': VARIABLE,
  '.env.local': VARIABLE,
  '.env.production': VARIABLE,
  '.env.development': VARIABLE,
  'bunfig.toml': PRELOAD,
  '.bunfig.toml': PRELOAD,
  'tsconfig.json': PATHS,
  'jsconfig.json': PATHS,
  'package.json': (evil) => JSON.stringify({ main: evil, preload: [evil], imports: { '#*': evil } }),
};

describe('hostile files', () => {
  let folder: string;
  let handler: LaidOutHandler;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'handlerkit-hostile-'));
    handler = layOutHandler(unpacked);
  });
  afterEach(() => {
    handler.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const marker = (): string => join(folder, 'loaded');
  /** Writes the hostile files, or some of them, and the script that they would load. */
  const plant = (where: string, names: readonly string[] = Object.keys(HOSTILE_FILES)): void => {
    mkdirSync(where, { recursive: true });
    const evil = join(where, 'evil.js');
    const text = `require('node:fs').writeFileSync(${JSON.stringify(marker())}, 'loaded');`;
    writeFileSync(evil, text);
    for (const name of names) writeFileSync(join(where, name), HOSTILE_FILES[name]?.(evil) ?? '');
  };

  it.each<[string, string, boolean]>([
    ['.env', 'loaded\n', false],
    ['bunfig.toml', 'undefined\n', true],
    ['tsconfig.json', '', true],
  ])('do what they are meant to where bun runs as bun: %s', (name, output, isLoaded) => {
    plant(folder, [name]);
    const script = join(folder, 'script.js');
    writeFileSync(script, 'console.log(process.env.HOSTILE)');
    const { stdout } = spawnSync(join(unpacked.folder, PROGRAM), ['run', script], {
      cwd: folder,
      encoding: 'utf8',
      env: { PATH: process.env.PATH ?? '', BUN_BE_BUN: '1' },
    });
    expect([stdout, existsSync(marker())]).toEqual([output, isLoaded]);
  });

  it('are not looked at by a packed handler', async () => {
    const home = join(folder, 'home');
    const config = join(folder, 'config');
    const bin = join(handler.folder(), 'bin');
    for (const where of [handler.folder(), bin, handler.libFolder, home, config]) plant(where);
    const env = { HOME: home, XDG_CONFIG_HOME: config };
    handler.writeSettings(0, { public: { steps: [{ do: 'end', message: 'done' }] } });
    expect(await handler.run('install', { env })).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await handler.run('enable', { env })).toMatchObject({ exitCode: 0, stderr: '' });
    expect(handler.readStatus(0)).toMatchObject({ status: 'success', message: 'Enable succeeded: done' });
    const [install, enable] = handler.trace();
    expect([install?.env.HOME, enable?.env.HOME]).toEqual([home, home]);
    expect([install?.env.HOSTILE, enable?.env.HOSTILE]).toEqual([undefined, undefined]);
    expect(existsSync(marker())).toBe(false);
  });
});
