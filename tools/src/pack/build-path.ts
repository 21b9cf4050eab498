/** Finds the paths of this machine in what was built: with them another folder gives other bytes. */
import { createReadStream } from 'node:fs';
import { dirname } from 'node:path';

/** True when the folder that all of `inputs` (absolute paths) are in is written out in `file`. Never for the root. */
export async function holdsBuildPath(file: string, inputs: readonly string[]): Promise<boolean> {
  const folder = commonFolder(inputs);
  if (folder === undefined) return false;
  const wanted = Buffer.from(`${folder}/`);
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { highWaterMark: 4 * 1024 * 1024 })) {
    const window = Buffer.concat([rest, Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk))]);
    if (window.includes(wanted)) return true;
    rest = window.subarray(-wanted.length);
  }
  return false;
}

/** The deepest folder that holds all of the files; undefined when that is the root. */
function commonFolder(files: readonly string[]): string | undefined {
  let common = dirname(files[0] ?? '/');
  for (const file of files) {
    while (common !== '/' && !file.startsWith(`${common}/`)) common = dirname(common);
  }
  return common === '/' ? undefined : common;
}
