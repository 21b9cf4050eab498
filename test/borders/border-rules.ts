/**
 * The borders of the repository: who may import what, who may touch the process, and that each package declares what it
 * uses and nothing else. Each function gives one sentence per violation.
 */
import { dirname, join, normalize } from 'node:path';
import {
  type Import,
  parseModule,
  readClockUses,
  readDefaultExports,
  readFreeNames,
  readGlobalUses,
  readImports,
} from './module-syntax.ts';
import { isProduct, isTest, type SourceModule, type Workspace } from './repository.ts';

const CONTRACT = 'sdk/src/contract/';
const TESTING = 'sdk/src/testing/';

/** The ASN.1 reader is the one package that the contract may load, and late: it only turns bytes into a tree. */
const CONTRACT_PACKAGE = 'node-forge/lib/asn1.js';

/** What the contract, being pure, never names. */
const IMPURE_GLOBALS = [
  'process',
  'console',
  'fetch',
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'globalThis',
  'crypto',
];

/** What an extension may import besides the sdk. */
const EXTENSION_PACKAGES = ['zod', '@azure/storage-blob'];

/** The program of the import test: which modules it imports is its input. */
const IMPORTER = 'test/borders/import-every-module.ts';

/** Programs: the only modules that read argv or set the exit code. */
const PROGRAMS = ['main.ts', 'cli.ts', 'bin.ts'];

/** `cli.ts` sets the exit code through its deps, so that a test can give others; the real ones are made there. */
const EXIT_CODE_DOOR = 'tools/src/tool-deps.ts';

/** Programs that fixtures of tests start as child processes, which no import shows. */
const PROGRAMS_OF_TESTS = ['azurite'];

/** Development tools of the root that tests may import. */
const ROOT_TOOLS_OF_TESTS = ['vitest', 'typescript', 'tsx'];

/** Imports of one module that cross a border. */
export function checkImports(module: SourceModule, workspaces: readonly Workspace[]): string[] {
  const own = ownerOf(module.path, workspaces);
  return readImports(parseModule(module)).flatMap((one) => {
    const reason = refusal(module, one, own, workspaces);
    return reason === undefined ? [] : [`${module.path}:${one.line} ${reason}`];
  });
}

/** `process.exit` anywhere; argv and exit codes outside programs; default exports; impure names in the contract. */
export function checkSyntax(module: SourceModule): string[] {
  const source = parseModule(module);
  const found = readGlobalUses(source, ['process']).flatMap(({ name, line }) =>
    isAllowedProcessUse(module.path, name) ? [] : [`${module.path}:${line} must not use ${name}`],
  );
  for (const line of readDefaultExports(source)) found.push(`${module.path}:${line} has a default export`);
  if (module.path.startsWith(CONTRACT) && !isTest(module.path)) {
    for (const { name, line } of [...readFreeNames(source, IMPURE_GLOBALS), ...readClockUses(source)])
      found.push(`${module.path}:${line} is not pure: it uses ${name}`);
  }
  return found;
}

/** Both ways: a package that is used but not declared, or declared but not used (or used by tests only). */
export function checkDependencies(workspace: Workspace, modules: readonly SourceModule[]): string[] {
  const product = new Set<string>();
  const tests = new Set<string>();
  for (const module of modules) {
    const into = isTest(module.path) && workspace.folder !== 'test' ? tests : product;
    for (const { specifier } of readImports(parseModule(module))) {
      const name = specifier === undefined ? undefined : packageOf(specifier);
      if (name !== undefined) into.add(name);
    }
  }
  const where = `${workspace.folder}/package.json`;
  const found: string[] = [];
  const isTool = (name: string): boolean => ROOT_TOOLS_OF_TESTS.includes(name);
  for (const name of product) {
    const isDeclared =
      workspace.dependencies.includes(name) ||
      (workspace.folder === 'test' && (workspace.devDependencies.includes(name) || isTool(name)));
    if (!isDeclared) found.push(`${where} does not declare ${name}, which its code imports`);
  }
  for (const name of tests) {
    if (name === workspace.name || isTool(name)) continue;
    if (!workspace.dependencies.includes(name) && !workspace.devDependencies.includes(name))
      found.push(`${where} does not declare ${name}, which its tests import`);
  }
  for (const name of workspace.dependencies) {
    if (!product.has(name)) found.push(`${where} declares ${name}, which its code does not import`);
  }
  for (const name of workspace.devDependencies) {
    if (PROGRAMS_OF_TESTS.includes(name)) continue;
    const used = typesFor(name) ?? name;
    if (!product.has(used) && !tests.has(used))
      found.push(`${where} declares ${name}, which nothing in it imports`);
    else if (used === name && product.has(name) && workspace.folder !== 'test')
      found.push(`${where} declares ${name} for development, but its code imports it`);
  }
  return found;
}

/** The package that a specifier names, `undefined` for a relative path or a built-in module. */
export function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return undefined;
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
}

/** Why the import is refused, `undefined` when it is not. */
function refusal(
  module: SourceModule,
  { specifier, dynamic, typeOnly }: Import,
  own: Workspace,
  workspaces: readonly Workspace[],
): string | undefined {
  if (specifier === undefined) {
    return module.path === IMPORTER ? undefined : 'imports a name that it computes, which no border can hold';
  }
  if (specifier.startsWith('.')) return relativeRefusal(module.path, specifier, own);
  if (specifier.startsWith('/') || specifier.startsWith('file:')) return `imports ${specifier} by its place`;
  const inContract = module.path.startsWith(CONTRACT) && !isTest(module.path);
  const isAsn1 = dynamic ? specifier === CONTRACT_PACKAGE : typeOnly && specifier === 'node-forge';
  if (inContract && !isAsn1 && !module.path.endsWith('.d.ts'))
    return `imports ${specifier}, but the contract imports only itself`;
  const name = packageOf(specifier);
  const other = workspaces.find((workspace) => workspace.name === name);
  if (other === undefined) {
    const isForeign = name !== undefined && !EXTENSION_PACKAGES.includes(name);
    return own.folder.startsWith('extensions/') && isProduct(module.path) && isForeign
      ? `imports ${specifier}, but an extension needs the sdk, zod, the client of Azure Storage and nothing else`
      : undefined;
  }
  if (other.folder === 'test') return `imports ${specifier}, but nothing imports test`;
  if (!other.publicNames.includes(specifier)) return `imports ${specifier}, which is no public name`;
  if (other === own) return undefined;
  if (own.folder === 'sdk') return `imports ${specifier}, but the sdk stands alone`;
  if (own.folder !== 'test' && other.folder !== 'sdk')
    return `imports ${specifier}, but may use the sdk only`;
  if (own.folder.startsWith('extensions/') && specifier.endsWith('/testing') && isProduct(module.path))
    return `imports ${specifier}, which is for tests`;
  return undefined;
}

function relativeRefusal(path: string, specifier: string, own: Workspace): string | undefined {
  const target = normalize(join(dirname(path), specifier));
  if (!target.startsWith(`${own.folder}/`)) return `imports ${specifier}, which lies outside ${own.folder}`;
  if (isTest(path)) return undefined;
  if (isTest(target)) return `imports ${specifier}, which is a test`;
  if (path.startsWith(CONTRACT) && !target.startsWith(CONTRACT))
    return `imports ${specifier}, but the contract imports only itself`;
  if (target.startsWith(TESTING) && !path.startsWith(TESTING))
    return `imports ${specifier}, but only tests and tools need testing`;
  return undefined;
}

function isAllowedProcessUse(path: string, use: string): boolean {
  if (use === 'process.exit' || use === 'process.?') return false;
  if (!isProduct(path) || !['process.argv', 'process.exitCode'].includes(use)) return true;
  if (path === EXIT_CODE_DOOR) return use === 'process.exitCode';
  return PROGRAMS.some((name) => path.endsWith(`/${name}`));
}

function ownerOf(path: string, workspaces: readonly Workspace[]): Workspace {
  const own = workspaces.find(({ folder }) => path.startsWith(`${folder}/`));
  if (own === undefined) throw new Error(`${path} is in no workspace`);
  return own;
}

/** The package that `@types/…` describes. */
function typesFor(name: string): string | undefined {
  return name.startsWith('@types/') ? name.slice('@types/'.length) : undefined;
}
