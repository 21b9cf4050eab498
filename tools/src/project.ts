/** A project: the folder of one extension, with its `extension.json` decoded and the files that it names found. */
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EXTENSION_FILE, type ExtensionDescription, parseExtensionDescription } from '@handlerkit/sdk';
import { parseJson } from '@handlerkit/sdk/contract';
import { ToolError } from './errors.ts';

export interface Project {
  /** Absolute, without links. */
  readonly folder: string;
  readonly description: ExtensionDescription;
  /** The main module, absolute. */
  readonly entry: string;
  /** What `files` in `extension.json` names, sorted by name. */
  readonly files: readonly ProjectFile[];
}

export interface ProjectFile {
  /** Relative to the folder, with `/`. */
  readonly name: string;
  readonly path: string;
  readonly executable: boolean;
}

/**
 * Reads the project in `folder`. Throws {@link ToolError} when there is none or something that it names is missing, and
 * `ContractError` for a malformed `extension.json`. `version` takes the place of the one in the file.
 */
export async function readProject(
  folder: string,
  overrides: { readonly version?: string | undefined } = {},
): Promise<Project> {
  const root = await realpath(folder).catch(() => folder);
  const file = join(root, EXTENSION_FILE);
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new ToolError('PROJECT_NOT_FOUND', `There is no readable ${EXTENSION_FILE} in this folder.`, {
      file: root,
      hint: 'Name the folder of an extension. To make a new one: handlerkit init greeter',
      cause: error,
    });
  });
  const { value } = parseJson(text, file);
  const written = parseExtensionDescription(value, file);
  const description =
    overrides.version === undefined
      ? written
      : parseExtensionDescription({ ...Object(value), version: overrides.version }, file);
  const entry = join(root, description.entry);
  const found = await stat(entry).catch(() => undefined);
  if (found?.isFile() !== true) {
    throw new ToolError('ENTRY_NOT_FOUND', `The entry ${description.entry} is not a file.`, {
      file: entry,
      hint: `Write the main module's path to "entry" in ${EXTENSION_FILE}.`,
    });
  }
  return { folder: root, description, entry, files: await findFiles(root, description.files) };
}

async function findFiles(root: string, patterns: readonly string[]): Promise<readonly ProjectFile[]> {
  if (patterns.length === 0) return [];
  const all = await listFiles(root, '');
  const chosen = new Set<string>();
  for (const pattern of patterns) {
    const expression = toExpression(pattern);
    const names = all.filter((name) => expression.test(name));
    if (names.length === 0) {
      throw new ToolError('FILES_NOT_FOUND', `No file matches ${JSON.stringify(pattern)} of "files".`, {
        file: root,
        hint: `Correct "files" in ${EXTENSION_FILE}; names that begin with a dot have to be written out.`,
      });
    }
    for (const name of names) chosen.add(name);
  }
  return Promise.all(
    [...chosen].sort().map(async (name) => {
      const path = join(root, name);
      return { name, path, executable: ((await stat(path)).mode & 0o100) !== 0 };
    }),
  );
}

/** Every file and link below `root`, without what npm and git keep there. */
async function listFiles(root: string, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for (const item of await readdir(join(root, prefix), { withFileTypes: true })) {
    const name = `${prefix}${item.name}`;
    if (!item.isDirectory()) names.push(name);
    else if (item.name !== 'node_modules' && item.name !== '.git') {
      names.push(...(await listFiles(root, `${name}/`)));
    }
  }
  return names;
}

/** `**` is any number of folders, `*` and `?` stay within a name; neither matches a dot at the beginning of one. */
function toExpression(pattern: string): RegExp {
  const parts = pattern.replace(/^\.\//, '').replace(/\/$/, '/**').split('/');
  const source = parts.map((part, index) => {
    const last = index === parts.length - 1;
    if (part === '**') return last ? '(?:(?!\\.)[^/]+/)*(?!\\.)[^/]+' : '(?:(?!\\.)[^/]+/)*';
    const name = part.replace(/[.*+?^${}()|[\]\\]/g, (character) =>
      character === '*' ? '[^/]*' : character === '?' ? '[^/]' : `\\${character}`,
    );
    return `${part.startsWith('.') ? '' : '(?!\\.)'}${name}${last ? '' : '/'}`;
  });
  return new RegExp(`^${source.join('')}$`);
}
