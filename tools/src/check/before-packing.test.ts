import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { checkPackedZip } from './before-packing.ts';
import { entry, goodEntries } from './fixtures/good-package.ts';
import { makeRawZip, type RawEntry } from './fixtures/raw-zip.ts';

const base = mkdtempSync(join(tmpdir(), 'handlerkit-packed-'));
afterAll(() => rmSync(base, { recursive: true }));

function pack(...more: readonly RawEntry[]): string {
  const file = join(base, 'package.zip');
  writeFileSync(file, makeRawZip({ entries: [...goodEntries(), ...more] }));
  return file;
}

it('refuses a packed zip with errors under the name that it was to get, and says each fault once', async () => {
  const token = `ghp_${'a1B2c3'.repeat(6)}`;
  const zip = pack(entry('bin/handler-x64', token), entry('bin/handler-arm64', token));
  await expect(checkPackedZip(zip, '/out/greeter.zip', [])).rejects.toMatchObject({
    code: 'PACKAGE_CHECK_FAILED',
    file: '/out/greeter.zip',
    message: expect.stringMatching(
      /^secret-content: bin\/handler-x64 holds .*\. The same: bin\/handler-arm64\.$/,
    ),
  });
});

it('gives the warnings that are not known yet', async () => {
  const zip = pack(entry('tests/a.txt', ''), entry('.DS_Store', ''));
  const all = await checkPackedZip(zip, zip, []);
  expect(all.map(({ rule }) => rule)).toEqual(['content-tests', 'content-junk']);
  expect(await checkPackedZip(zip, zip, all.slice(0, 1))).toEqual(all.slice(1));
});
