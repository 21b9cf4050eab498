/** `LICENSES.txt`: the licences of what a package carries besides the extension's own code: the runtime and npm packages. */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Runtime } from '@handlerkit/sdk';
import { BUN_VERSION, NODE_VERSION } from './pinned-runtimes.ts';

/** One npm package of which a module was compiled into the program. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** Absolute path of its folder, in which its package.json is. */
  readonly folder: string;
  /** SPDX expression, or what its package.json gives in its place. */
  readonly license: string | undefined;
  /** The texts of its licence files. */
  readonly texts: readonly string[];
}

/** The packages that own the given source files, by name, without the extension's own code in `ownFolder`. */
export async function findPackages(
  files: readonly string[],
  ownFolder: string,
): Promise<readonly BundledPackage[]> {
  const folders = new Map<string, string | undefined>();
  for (const file of files) {
    if (file.startsWith(`${ownFolder}/`) && !file.slice(ownFolder.length).includes('/node_modules/'))
      continue;
    folders.set(dirname(file), await packageFolder(dirname(file), folders));
  }
  const owners = new Set(
    [...folders.values()].filter((folder) => folder !== undefined && folder !== ownFolder),
  );
  const packages = await Promise.all([...owners].map((folder) => readPackage(folder ?? '/')));
  return packages
    .filter((one) => one.name !== '')
    .sort((a, b) => (`${a.name}@${a.version}` < `${b.name}@${b.version}` ? -1 : 1));
}

/** The runtime of a package, with the licence's text that came with it. */
export interface RuntimeLicense {
  readonly runtime: Runtime;
  readonly text: string | undefined;
}

/** Formats the file: the runtime first, then each package with its licence's text. The same packages give the same text. */
export function formatLicenses(
  { runtime, text }: RuntimeLicense,
  packages: readonly BundledPackage[],
): string {
  const notice = [RUNTIME_NOTICES[runtime], ...(text === undefined ? [] : [text.trim()])].join('\n\n');
  const sections = packages.map(({ name, version, license = 'see the text below', texts }) =>
    [`${name} ${version}`, `Licence: ${license}`, ...texts.map((one) => `\n${one.trim()}`)].join('\n'),
  );
  return `${[notice, ...sections].join(`\n\n${'-'.repeat(78)}\n\n`)}\n`;
}

const RUNTIME_NOTICES: Readonly<Record<Runtime, string>> = {
  bun: `Bun ${BUN_VERSION} (https://bun.com)
Licence: MIT

The programs in bin/ contain the Bun runtime. Bun is statically linked with JavaScriptCore and WebKit, which are
under the GNU Lesser General Public License, version 2, and with further libraries. Their licences, and how to
get their sources and to link Bun anew, are at https://bun.com/docs/project/license`,
  node: `Node.js ${NODE_VERSION} (https://nodejs.org)
Licence: MIT

The programs in bin/ are the official executables of Node.js. Its licence, and those of the libraries in it:`,
};

/** The nearest folder, from `folder` upwards, with a package.json that has a name. */
async function packageFolder(
  folder: string,
  known: ReadonlyMap<string, string | undefined>,
): Promise<string | undefined> {
  if (known.has(folder)) return known.get(folder);
  if ((await readPackage(folder)).name !== '') return folder;
  return folder === '/' ? undefined : packageFolder(dirname(folder), known);
}

async function readPackage(folder: string): Promise<BundledPackage> {
  const text = await readFile(join(folder, 'package.json'), 'utf8').catch(() => '{}');
  const value = parseObject(text);
  const word = (key: string): string | undefined => {
    const found = value[key];
    return typeof found === 'string' && found !== '' ? found : undefined;
  };
  const name = word('name') ?? '';
  if (name === '') return { name, version: '', folder, license: undefined, texts: [] };
  const files = (await readdir(folder))
    .filter((file) => /^(licen[cs]e|copying|notice)([.-]|$)/i.test(file))
    .sort();
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8').catch(() => '')));
  return {
    name,
    version: word('version') ?? '',
    folder,
    license: word('license'),
    texts: texts.filter((one) => one.trim() !== ''),
  };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
