import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeRawZip, type RawEntry, type RawZip } from '../check/fixtures/raw-zip.ts';
import { unpackPackage } from './package-unpack.ts';

const HELLO = 'hello'.repeat(3);
/** `printf hellohellohello | bzip2 | base64`, and the same as Python's zipfile writes it with LZMA. */
const BZIP2 = Buffer.from(
  spawnSync('python3', ['-c', `import bz2, sys; sys.stdout.buffer.write(bz2.compress(b'${HELLO}'))`]).stdout,
);
const LZMA = Buffer.from('CQQFAF0AAIAAADQZSe6OhvVR+7///vBAAA==', 'base64');

const zip = (...entries: readonly RawEntry[]): RawZip => ({ entries });
const a = (more: Partial<RawEntry> = {}): RawEntry => ({ name: 'a', content: HELLO, ...more });

/** 64 bytes, or the number that is said, one after the other. */
function bytesFrom(first: number, count = 64): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, index) => first + index));
}

/** What is odd about a zip, the zip, and why it cannot be unpacked. */
const ROWS: readonly (readonly [what: string, zip: RawZip, reason?: RegExp])[] = [
  ['a program in front', { entries: [a(), a({ name: 'b/c' })], prefix: Buffer.from('#!/bin/sh\nexit 0\n') }],
  ['something behind', { entries: [a()], trailing: Buffer.from('garbage') }],
  ['a comment', { entries: [a()], comment: 'by hand' }],
  ['zip64', { entries: [a({ zip64: true })], end64: true }],
  ['zip64 in its own header only', zip(a({ localZip64: true }))],
  ['stored', zip(a({ method: 0 }))],
  ['compressed with bzip2', zip(a({ method: 12, data: BZIP2 }))],
  ['compressed with LZMA', zip(a({ method: 14, data: LZMA, flags: 2 }))],
  [
    'damaged bzip2',
    zip(a({ method: 12, data: Buffer.from('no bzip2') })),
    /^a needs the module bz2 .*Invalid/,
  ],
  ['a method that Python does not know', zip(a({ method: 9 })), /^a is compressed with method 9,/],
  ['control characters in names', zip(a({ name: 'a\x01\n\x1bb' }), a({ name: '\x7f/\t' }))],
  [
    'names of an old code page',
    zip(a({ name: bytesFrom(0x80) }), a({ name: bytesFrom(0xc0) }), a({ name: bytesFrom(0x01, 0x2e) })),
  ],
  ['names in UTF-8', zip(a({ name: 'grüß', flags: 0x800 }))],
  ['a name that is no UTF-8', zip(a({ name: Buffer.from([0x61, 0xff]), flags: 0x800 })), /marked as UTF-8/],
  [
    'one name in two encodings',
    zip(a({ name: 'grüß', flags: 0x800, localFlags: 0 })),
    /^grüß has another name in its own header/,
  ],
  ['names that climb', zip(a({ name: '../../b' }), a({ name: '/abs/c' }), a({ name: './d//../e/.' }))],
  ['a name that a NUL ends', zip(a({ name: 'a\0b' }))],
  ['no name', zip(a({ name: '' })), /would replace a folder/],
  ['nothing but dots', zip(a({ name: '..' })), /would replace a folder/],
  ['a folder of its own entry, after its file', zip(a({ name: 'b/c' }), { name: 'b/' })],
  ['a folder with content', zip({ name: 'b/', content: 'x' })],
  ['a folder where a file is', zip(a(), { name: 'a/' }), /EEXIST|ENOTDIR/],
  ['a file below a file', zip(a(), a({ name: 'a/b' })), /EEXIST|ENOTDIR/],
  [
    'a name twice, of which the last counts',
    zip(a({ content: 'first' }), a(), a({ name: './a', content: 'x' })),
  ],
  ['a name twice, of which the first is damaged', zip(a({ crc: 7 }), a())],
  ['a symbolic link', zip({ name: 'link', content: '/etc/passwd', mode: 0o120777 })],
  ['a stream', zip(a({ flags: 8 }))],
  ['less content than it says', zip(a({ sizeBytes: 99 }))],
  ['more content than it says', zip(a({ content: 'hellojunk', sizeBytes: 5, crc: 0x3610a686 }))],
  [
    'more stored content than it says',
    zip(a({ method: 0, content: 'hellojunk', sizeBytes: 5, crc: 0x3610a686 })),
  ],
  ['a stream that is cut off', zip(a({ data: deflateRawSync(HELLO).subarray(0, -1) }))],
  ['nothing in it', zip(a({ content: '' }), { name: 'b', method: 0 })],
  ['no entries', zip()],
  ['another checksum', zip(a({ crc: 7 })), /^a is damaged: its checksum does not match/],
  ['a stream that is none', zip(a({ data: Buffer.from([0xff, 0xff]) })), /^a is damaged/],
  ['another name in its own header', zip(a({ localName: 'b' })), /^a has another name in its own header/],
  ['a password', zip(a({ flags: 1 })), /^a is encrypted, and the agent has no password/],
  ['patched data', zip(a({ flags: 0x20 })), /^a is packed in a way that Python cannot read/],
  ['a newer format', zip(a({ versionNeeded: 90 })), /^a needs version 9 of the format/],
  [
    'a damaged extra field',
    zip(a({ extra: Buffer.from([7, 7, 9, 0, 1]) })),
    /an extra field in it is damaged/,
  ],
  ['an extra field of another program', zip(a({ extra: Buffer.from([7, 7, 1, 0, 1]) }))],
  ['no end', { entries: [a()], cut: 30 }, /it has no end record/],
];

/** Unpacks each zip of a folder into the folder of its name, as the agent does, and prints which it could not. */
const SCRIPT = `
import json, os, sys, zipfile
failures = []
for name in sorted(os.listdir(sys.argv[1])):
    # The folder is there, because the agent keeps its state in it.
    os.mkdir(os.path.join(sys.argv[2], name))
    try:
        zipfile.ZipFile(os.path.join(sys.argv[1], name)).extractall(os.path.join(sys.argv[2], name))
    except Exception as error:
        failures.append(name)
print(json.dumps(failures))
`;

const base = mkdtempSync(join(tmpdir(), 'handlerkit-unpack-'));
const [zips, byPython, byTool] = [join(base, 'zips'), join(base, 'python'), join(base, 'tool')];
const rows = ROWS.map(([what, content, reason], index) => ({ what, content, reason, name: `${index}.zip` }));
let failures: unknown;

beforeAll(() => {
  for (const folder of [zips, byPython, byTool]) mkdirSync(folder);
  for (const { name, content } of rows) writeFileSync(join(zips, name), makeRawZip(content));
  const ran = spawnSync('python3', ['-c', SCRIPT, zips, byPython], { encoding: 'utf8' });
  failures = JSON.parse(ran.stdout);
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** Every file with its content, and every folder. */
function tree(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => {
      const path = join(folder, name);
      return statSync(path).isDirectory() ? `${name}/` : `${name}: ${readFileSync(path, 'latin1')}`;
    })
    .sort();
}

describe("a package is unpacked, or refused, as Python's zipfile does it", () => {
  it.each(rows)('with $what', async ({ name, reason }) => {
    const unpacked = unpackPackage(join(zips, name), join(byTool, name));
    if (reason === undefined) await unpacked;
    else await expect(unpacked).rejects.toThrow(reason);
    expect(failures).toEqual(
      reason === undefined ? expect.not.arrayContaining([name]) : expect.arrayContaining([name]),
    );
    if (reason === undefined) expect(tree(join(byTool, name))).toEqual(tree(join(byPython, name)));
  });
});
