/** Where generated files go: one to a path, or all of them to a folder. Each is written whole, with its mode from the start. */
import { chmodSync, statSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import { writeWholeFile } from '@handlerkit/sdk';
import { usageError } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import type { DeployFile } from './deployment.ts';

/** What `--out` means for these files: a path that ends like the main file is that file's, one that ends like no file a folder's. */
export type DeployPlace =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'folder'; readonly path: string };

/**
 * Decides it by the disk, then by the name. `mainFile` is empty where there can be a folder only. Throws `WRONG_USAGE` for a name
 * that is neither: one that ends like another kind of file, or that a file has. Writes nothing.
 */
export function choosePlace(out: string, mainFile: string, cwd: string): DeployPlace {
  const path = resolve(cwd, out);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory() === true) return { kind: 'folder', path };
  const ending = extname(mainFile);
  const isLikeMain = ending !== '' && extname(path).toLowerCase() === ending && !out.endsWith('/');
  if (isLikeMain) return { kind: 'file', path };
  if (found === undefined && (out.endsWith('/') || !FILE_ENDING.test(path))) return { kind: 'folder', path };
  throw usageError(
    found === undefined
      ? `--out ${out} is named like a file, and this format writes no ${extname(path)} file.`
      : `--out ${out} is a file already, and this format writes ${ending === '' ? 'a folder' : `a ${ending} file or a folder`}.`,
    ending === ''
      ? 'Name a folder, with a slash at its end: --out application/'
      : `Name a ${ending} file, such as --out ${mainFile}, or a folder, with a slash at its end: --out deploy/`,
  );
}

/** `.yaml` and `.mp4`, but not the `.2` of `greeter-1.2`. */
const FILE_ENDING = /\.[a-z][a-z0-9]{0,9}$/i;

/** Writes the files and gives their paths; to a file, only the first one that is no secret. Throws the system's errors. */
export function writeDeployFiles(files: readonly DeployFile[], place: DeployPlace): readonly string[] {
  makeFolders(place.kind === 'folder' ? place.path : dirname(place.path));
  const chosen = place.kind === 'folder' ? files : files.slice(0, 1);
  return chosen.map((file) => {
    const path = place.kind === 'folder' ? join(place.path, file.name) : place.path;
    writeWholeFile(path, file.text, { mode: file.mode });
    // The umask may have taken a bit away that others need; never one from a secret.
    if (!file.isSecret) chmodSync(path, file.mode);
    return path;
  });
}
