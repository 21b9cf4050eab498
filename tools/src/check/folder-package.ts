/** A folder as a package: every file in it, as it would be packed. */
import { createReadStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Project } from '../project.ts';
import type { FileKind, PackedFile } from './packed-file.ts';

/** Lists everything below `folder`, sorted by name. Follows no link. Throws the system's errors. */
export async function listFolder(folder: string, prefix = ''): Promise<readonly PackedFile[]> {
  const files: PackedFile[] = [];
  const items = await readdir(join(folder, prefix), { withFileTypes: true });
  for (const item of items.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = `${prefix}${item.name}`;
    files.push(await describe(join(folder, name), item.isDirectory() ? `${name}/` : name));
    if (item.isDirectory()) files.push(...(await listFolder(folder, `${name}/`)));
  }
  return files;
}

/** What a project ships as it is: the files that its description names. */
export async function listProjectFiles(project: Project): Promise<readonly PackedFile[]> {
  return await Promise.all(project.files.map(({ name, path }) => describe(path, name)));
}

async function describe(file: string, name: string): Promise<PackedFile> {
  const stats = await lstat(file);
  const kind: FileKind = stats.isFile()
    ? 'file'
    : stats.isDirectory()
      ? 'folder'
      : stats.isSymbolicLink()
        ? 'link'
        : 'special';
  return {
    name,
    path: name.replace(/\/$/, ''),
    kind,
    sizeBytes: kind === 'file' ? stats.size : 0,
    mode: stats.mode & 0o7777,
    body: kind === 'file' ? () => read(file) : undefined,
  };
}

async function* read(file: string): AsyncGenerator<Buffer> {
  for await (const chunk of createReadStream(file, { highWaterMark: 256 * 1024 })) {
    if (Buffer.isBuffer(chunk)) yield chunk;
  }
}
