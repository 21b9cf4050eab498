/** Packages with damaged bytes: the check gives findings for every one, soon and in bounded memory, and never breaks itself. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { checkPackage } from './check-package.ts';
import { entry, goodEntries } from './fixtures/good-package.ts';
import { makeRawZip } from './fixtures/raw-zip.ts';

const base = mkdtempSync(join(tmpdir(), 'handlerkit-check-properties-'));
afterAll(() => rmSync(base, { recursive: true }));
const file = join(base, 'package.zip');

const ZIPS = [
  makeRawZip({ entries: goodEntries() }),
  makeRawZip({ entries: [...goodEntries(), { name: 'large', content: 'x', zip64: true }], end64: true }),
  makeRawZip({
    entries: [...goodEntries(), entry('gr\u00fc\u00df', 'x'.repeat(5_000))],
    comment: 'a comment',
  }),
];
/** Where headers begin: what is changed there matters most. */
const headersOf = (zip: Buffer): readonly number[] =>
  [...zip.keys()].filter((at) => zip[at] === 0x50 && zip[at + 1] === 0x4b);

const change = fc.record({
  nearHeader: fc.boolean(),
  at: fc.nat(0xffff),
  offset: fc.nat(60),
  bytes: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 8 }),
    fc.constantFrom(...[0x00, 0x7f, 0x80, 0xff].map((byte) => new Uint8Array(4).fill(byte))),
  ),
});
const damaged = fc
  .record({
    zip: fc.constantFrom(...ZIPS),
    changes: fc.array(change, { minLength: 1, maxLength: 4 }),
    kept: fc.option(fc.nat(0xffff)),
  })
  .map(({ zip, changes, kept }) => {
    const bytes = Buffer.from(zip);
    const headers = headersOf(zip);
    for (const one of changes) {
      const start = one.nearHeader ? (headers[one.at % headers.length] ?? 0) + one.offset : one.at;
      Buffer.from(one.bytes).copy(bytes, start % bytes.length);
    }
    return kept === null ? bytes : bytes.subarray(0, kept % (bytes.length + 1));
  });

it('gives findings for any damage, and no error of its own', async () => {
  let slowestMs = 0;
  const property = fc.asyncProperty(damaged, async (bytes) => {
    writeFileSync(file, bytes);
    const started = performance.now();
    const { findings } = await checkPackage(file);
    slowestMs = Math.max(slowestMs, performance.now() - started);
    for (const { rule } of findings) expect(rule).toMatch(/^[a-z0-9-]+$/);
  });
  await fc.assert(property, { seed: 20_261_123, numRuns: 600 });
  expect(slowestMs).toBeLessThan(10_000);
});
