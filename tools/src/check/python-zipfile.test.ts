import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkPackage } from './check-package.ts';
import { ALL_FAULTS } from './fixtures/faulty-packages.ts';
import { makeRawZip } from './fixtures/raw-zip.ts';
import { listFolder } from './folder-package.ts';
import { openZipPackage } from './zip-package.ts';

/** Rules that say that unpacking fails. */
const FATAL =
  /^(zip-(unreadable|header|encrypted|method|version|damaged|name-invalid)|name-(file-and-folder|long))$/;
/** Only newer Pythons refuse the first, and nobody should unpack the others. */
const LEFT_OUT = /^(zip-overlap|zip-bomb|size-)/;

/** Unpacks each zip of a folder as the agent does, and prints why it could not. */
const SCRIPT = `
import json, os, sys, zipfile
failures = {}
for name in sorted(os.listdir(sys.argv[1])):
    try:
        zipfile.ZipFile(os.path.join(sys.argv[1], name)).extractall(os.path.join(sys.argv[2], name))
    except Exception as error:
        failures[name] = repr(error)
print(json.dumps(failures))
`;

const rows = ALL_FAULTS.filter(([rule]) => !LEFT_OUT.test(rule)).map(([rule, what, zip], index) => ({
  rule,
  what,
  zip,
  name: `${index}.zip`,
}));
const base = mkdtempSync(join(tmpdir(), 'handlerkit-python-'));
const [zips, out] = [join(base, 'zips'), join(base, 'out')];
const failures = new Map<string, string>();
const hasPython = spawnSync('python3', ['-c', 'import zipfile, bz2']).status === 0;

beforeAll(() => {
  mkdirSync(zips);
  mkdirSync(out);
  for (const { name, zip } of rows) writeFileSync(join(zips, name), makeRawZip(zip));
  if (!hasPython) return;
  const { stdout } = spawnSync('python3', ['-c', SCRIPT, zips, out], { encoding: 'utf8' });
  const printed: unknown = JSON.parse(stdout);
  for (const [name, text] of Object.entries(Object(printed))) failures.set(name, String(text));
});
afterAll(() => rmSync(base, { recursive: true }));

describe.skipIf(!hasPython)("Python's zipfile", () => {
  it.each(rows)('agrees about $rule: $what', async ({ name }) => {
    const file = join(zips, name);
    const fatal = (await checkPackage(file)).findings.filter(({ rule }) => FATAL.test(rule));
    const failure = failures.get(name);
    expect({ failure, fatal: fatal.length > 0 }).toMatchObject({ fatal: failure !== undefined });
    if (failure !== undefined) return;
    const { files } = await openZipPackage(file);
    const wanted = new Set(files.map(({ path }) => path));
    const got = (await listFolder(join(out, name))).filter(({ kind }) => kind === 'file');
    // A link and a device have become files; folders of names are made on the way.
    expect(new Set(got.map(({ path }) => path))).toEqual(
      new Set(files.flatMap(({ path, kind }) => (kind === 'folder' || path === '' ? [] : [path]))),
    );
    expect(got.every(({ path }) => wanted.has(path))).toBe(true);
  });
});
