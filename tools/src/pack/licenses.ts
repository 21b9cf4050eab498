/** `LICENSES.txt`: the licences of what a package carries besides the extension's own code: the runtime and npm packages. */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BUN_VERSION } from './runtime.ts';

/** One npm package of which a module was compiled into the program. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX expression as its package.json gives it. */
  readonly license: string;
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

/** Formats the file: bun first, then each package with its licence's text. The same packages give the same text. */
export function formatLicenses(packages: readonly BundledPackage[]): string {
  const sections = packages.map(({ name, version, license, texts }) =>
    [`${name} ${version}`, `Licence: ${license}`, ...texts.map((text) => `\n${text.trim()}`)].join('\n'),
  );
  return `${[BUN_NOTICE, ...sections].join(`\n\n${'-'.repeat(78)}\n\n`)}\n`;
}

const BUN_NOTICE = `Bun ${BUN_VERSION} (https://bun.com)
Licence: MIT

The programs in bin/ contain the Bun runtime. Bun is statically linked with JavaScriptCore and WebKit, which are
under the GNU Lesser General Public License, version 2, and with further libraries. Their licences, and how to
get their sources and to link Bun anew, are at https://bun.com/docs/project/license`;

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
  const word = (key: string, otherwise: string): string => {
    const found = value[key];
    return typeof found === 'string' ? found : otherwise;
  };
  const name = word('name', '');
  if (name === '') return { name, version: '', license: '', texts: [] };
  const files = (await readdir(folder))
    .filter((file) => /^(licen[cs]e|copying|notice)([.-]|$)/i.test(file))
    .sort();
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8').catch(() => '')));
  return {
    name,
    version: word('version', ''),
    license: word('license', 'see the text below'),
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
