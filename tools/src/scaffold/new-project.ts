/**
 * `handlerkit init`: writes the files of a new project from `templates/project`. All of them are checked and made in a
 * folder beside the new one, which then gets its name: a project is there whole or not at all.
 */
import { chmod, mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXTENSION_FILE, isSystemError, parseExtensionDescription } from '@handlerkit/sdk';
import { ToolError } from '../errors.ts';
import { packageNameOf } from './project-names.ts';

/** What the user chose. */
export interface NewProject {
  /** Absolute path of the folder; it is not there, or empty. */
  readonly folder: string;
  readonly publisher: string;
  readonly type: string;
  /** One sentence. */
  readonly description: string;
  /** Where npm finds the SDK and the tools, as `package.json` names it: a version, or `file:` and a path. */
  readonly packages: { readonly sdk: string; readonly handlerkit: string };
}

/**
 * Makes the project and gives the names of its files, sorted. Throws `FOLDER_NOT_EMPTY` for a folder that holds
 * something, and `FOLDER_NOT_WRITABLE` when nothing can be written there; then everything is as before.
 */
export async function writeProject(project: NewProject): Promise<readonly string[]> {
  const { folder } = project;
  await requireEmpty(folder);
  const files = await fillTemplates(project);
  const parent = dirname(folder);
  try {
    await mkdir(parent, { recursive: true });
    const made = await mkdtemp(join(parent, `.${basename(folder)}-`));
    try {
      for (const { name, text } of files) {
        await mkdir(dirname(join(made, name)), { recursive: true });
        await writeFile(join(made, name), text, { flag: 'wx' });
      }
      // A folder of mkdtemp is closed to others; the new one is as any other.
      await chmod(made, 0o777 & ~process.umask());
      await moveInto(made, folder);
    } finally {
      await rm(made, { recursive: true, force: true });
    }
  } catch (cause) {
    if (cause instanceof ToolError) throw cause;
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown reason';
    throw new ToolError('FOLDER_NOT_WRITABLE', `The project cannot be written (${code}).`, {
      file: folder,
      hint: 'Choose a folder that you may write to, with a few kilobytes of free space.',
      cause,
    });
  }
  return files.map(({ name }) => name);
}

/** Throws `FOLDER_NOT_EMPTY` unless a project can be made in `folder`. A folder with nothing but `.git` counts as empty. */
export async function requireEmpty(folder: string): Promise<void> {
  const found = await readdir(folder).catch((thrown: unknown) => {
    if (isSystemError(thrown, 'ENOENT')) return [];
    if (isSystemError(thrown, 'ENOTDIR')) return [basename(folder)];
    throw thrown;
  });
  if (found.every((name) => name === '.git')) return;
  throw new ToolError('FOLDER_NOT_EMPTY', 'There is something in the way of the new project.', {
    file: folder,
    hint: 'Name a folder that is not there yet, or an empty one.',
  });
}

const TEMPLATES = fileURLToPath(new URL('../../templates/project', import.meta.url));

/** npm leaves a file named `.gitignore` out of a package, and git would read one in the middle of this repository. */
const RENAMED: Readonly<Record<string, string>> = {
  gitignore: '.gitignore',
  'workflows/package.yml': '.github/workflows/package.yml',
};

interface ProjectFile {
  readonly name: string;
  readonly text: string;
}

async function fillTemplates(project: NewProject): Promise<readonly ProjectFile[]> {
  const { publisher, type, description, packages } = project;
  const words: Readonly<Record<string, string>> = {
    PUBLISHER: publisher,
    TYPE: type,
    NAME: packageNameOf(type),
    DESCRIPTION: description,
    SDK: packages.sdk,
    HANDLERKIT: packages.handlerkit,
  };
  const entries = await readdir(TEMPLATES, { recursive: true, withFileTypes: true });
  const files = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry): Promise<ProjectFile> => {
        const path = join(entry.parentPath, entry.name);
        const name = path.slice(TEMPLATES.length + 1);
        const template = await readFile(path, 'utf8');
        const text = template.replaceAll(/%([A-Z]+)%/g, (whole, word: string) => {
          const value = words[word];
          if (value === undefined) return whole;
          // In JSON the value stands between quotes.
          return name.endsWith('.json') ? JSON.stringify(value).slice(1, -1) : value;
        });
        return { name: RENAMED[name] ?? name, text };
      }),
  );
  const extension = files.find(({ name }) => name === EXTENSION_FILE);
  parseExtensionDescription(JSON.parse(extension?.text ?? ''), join(project.folder, EXTENSION_FILE));
  return files.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** The whole folder in one step where nothing is there yet. One that is there stays the same folder: it may be the shell's. */
async function moveInto(made: string, folder: string): Promise<void> {
  const target = await realpath(folder).catch((thrown: unknown) => {
    if (isSystemError(thrown, 'ENOENT')) return undefined;
    throw thrown;
  });
  if (target === undefined) return rename(made, folder);
  for (const name of await readdir(made)) await rename(join(made, name), join(target, name));
}
