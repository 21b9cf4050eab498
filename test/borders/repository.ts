/**
 * The repository as the border tests see it: its workspaces with what each one declares, and every TypeScript module.
 * Read from the disk, so that a file counts before it is committed.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

export interface Workspace {
  readonly name: string;
  /** Folder relative to the repository, such as `extensions/custom-script`. */
  readonly folder: string;
  readonly dependencies: readonly string[];
  readonly devDependencies: readonly string[];
  /** Names that others may import: the package's name, and with each sub-path of its `exports`. */
  readonly publicNames: readonly string[];
}

export interface SourceModule {
  /** Path relative to the repository, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** All workspaces that are there now. */
export function readWorkspaces(): Workspace[] {
  const extensions = folderNames(join(REPOSITORY, 'extensions')).map((name) => `extensions/${name}`);
  return ['sdk', 'tools', 'test', ...extensions]
    .filter((folder) => existsSync(join(REPOSITORY, folder, 'package.json')))
    .map((folder) => parseWorkspace(folder, readFileSync(join(REPOSITORY, folder, 'package.json'), 'utf8')));
}

/** Decodes a `package.json`. Throws when it has no name. */
export function parseWorkspace(folder: string, text: string): Workspace {
  const value: unknown = JSON.parse(text);
  const name = field(value, 'name');
  if (typeof name !== 'string') throw new Error(`${folder}/package.json has no name`);
  const subPaths = keysOf(field(value, 'exports')).filter((key) => key.startsWith('.'));
  return {
    name,
    folder,
    dependencies: keysOf(field(value, 'dependencies')),
    devDependencies: keysOf(field(value, 'devDependencies')),
    publicNames: subPaths.map((key) => `${name}${key.slice(1)}`),
  };
}

/** The development tools that the root declares, and the text of all npm scripts of the repository. */
export function readRootTools(): { readonly tools: readonly string[]; readonly scripts: string } {
  const folders = ['', ...readWorkspaces().map((workspace) => workspace.folder)];
  const packages = folders.map((folder): unknown =>
    JSON.parse(readFileSync(join(REPOSITORY, folder, 'package.json'), 'utf8')),
  );
  const commands = packages.flatMap((value) => Object.values(field(value, 'scripts') ?? {}));
  return { tools: keysOf(field(packages[0], 'devDependencies')), scripts: commands.join('\n') };
}

/** Names of the commands that an installed package brings. */
export function readCommandNames(packageName: string): string[] {
  const value: unknown = JSON.parse(
    readFileSync(join(REPOSITORY, 'node_modules', packageName, 'package.json'), 'utf8'),
  );
  const bin = field(value, 'bin');
  return typeof bin === 'string' ? [packageName] : keysOf(bin);
}

/** Every `.ts` module of the workspaces, without what is built, installed, or input of a test. */
export function readModules(): SourceModule[] {
  return readWorkspaces()
    .flatMap((workspace) => listFiles(join(REPOSITORY, workspace.folder)))
    .filter((path) => path.endsWith('.ts') && !isTestInput(path))
    .map((path) => ({ path, text: readFileSync(join(REPOSITORY, path), 'utf8') }));
}

/** Paths of all files below a folder, relative to the repository, sorted; without hidden, built and installed ones. */
export function listFiles(folder: string): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !SKIPPED_FOLDERS.has(entry.name)) found.push(...listFiles(path));
    if (entry.isFile()) found.push(relative(REPOSITORY, path));
  }
  return found.sort();
}

/** True for a unit test, and for everything in the workspace `test`. */
export function isTest(path: string): boolean {
  return path.endsWith('.test.ts') || path.startsWith('test/') || isTestInput(path);
}

/** True for the code that goes to users: sdk, tools and extensions without their tests. */
export function isProduct(path: string): boolean {
  return path.includes('/src/') && !isTest(path);
}

function isTestInput(path: string): boolean {
  return path.split('/').some((part) => part === 'fixtures' || part === 'templates');
}

const SKIPPED_FOLDERS = new Set(['node_modules', 'dist']);

function folderNames(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

function keysOf(value: unknown): string[] {
  return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}
