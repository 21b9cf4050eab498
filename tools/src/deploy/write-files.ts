/** Where generated files go: one to a path, or all of them to a folder. Each is written whole, with its mode from the start. */
import { chmodSync, statSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import { writeWholeFile } from '@handlerkit/sdk';
import { makeFolders } from '../folders.ts';
import type { DeployFile } from './deployment.ts';

/** What `--out` means for these files: a path that ends like the main file is that file's, any other one is a folder. */
export type DeployPlace =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'folder'; readonly path: string };

/** Decides it by the disk, then by the name. Writes nothing. */
export function choosePlace(out: string, mainFile: string, cwd: string): DeployPlace {
  const path = resolve(cwd, out);
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return !isFolder && !out.endsWith('/') && extname(path) !== '' && extname(path) === extname(mainFile)
    ? { kind: 'file', path }
    : { kind: 'folder', path };
}

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
