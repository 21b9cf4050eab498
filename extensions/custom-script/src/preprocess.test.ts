import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { convertScriptFile } from './preprocess.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'custom-script-convert-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function convert(
  name: string,
  content: string | Uint8Array,
): Promise<{ isNew: boolean; text: string; mode: number }> {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o500 });
  chmodSync(path, 0o500);
  const isNew = await convertScriptFile(path, `/vm/${name}`);
  expect(readdirSync(folder)).toEqual([name]);
  return { isNew, text: readFileSync(path, 'latin1'), mode: statSync(path).mode & 0o777 };
}

it.each<[string, string | Uint8Array, string]>([
  ['a.sh', 'a\r\n', 'a\n'],
  ['a.TXT', 'a\r\n', 'a\n'],
  ['a.py', '\xef\xbb\xbfa\n', 'a\n'],
  ['a.pl', 'a\r\n', 'a\n'],
  ['.sh.bin', '#!/bin/sh\r\n', '#!/bin/sh\n'],
  ['run', '#!/bin/sh\r\n', '#!/bin/sh\n'],
  ['marked', '\xef\xbb\xbf#!/bin/sh\n', '#!/bin/sh\n'],
  ['wide', Buffer.from('\uFEFF#!/bin/sh\r\n', 'utf16le'), '#!/bin/sh\n'],
])('%s is a script and is converted', async (name, content, expected) => {
  const input = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  expect(await convert(name, input)).toEqual({ isNew: true, text: expected, mode: 0o500 });
});

it.each<[string, string]>([
  ['a.png', 'a\r\n'],
  ['run', ' #!/bin/sh\r\n'],
  ['a.sh', 'a\nb\rc\n'],
  ['a.sh', ''],
  ['sh', 'a\r\n'],
])('%s with %j stays as it is', async (name, content) => {
  expect(await convert(name, content)).toEqual({ isNew: false, text: content, mode: 0o500 });
});

it('a CR LF on the border of two pieces is seen, wherever it lies', async () => {
  for (const before of [65_534, 65_535, 65_536, 131_069, 131_070, 131_071]) {
    const { text, isNew } = await convert('a.sh', `${'x'.repeat(before)}\r\ny`);
    expect({ before, isNew, length: text.length, end: text.slice(-3) }).toEqual({
      before,
      isNew: true,
      length: before + 2,
      end: 'x\ny',
    });
    rmSync(join(folder, 'a.sh'));
  }
});

it('a file that cannot be read is an error that names it', async () => {
  await expect(convertScriptFile(join(folder, 'gone.sh'), '/vm/gone.sh')).rejects.toMatchObject({
    code: 'FILE_NOT_PREPARED',
    statusCode: 0,
    message: expect.stringContaining('/vm/gone.sh could not be converted (ENOENT)'),
  });
});
