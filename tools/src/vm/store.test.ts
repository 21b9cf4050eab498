import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StoredExtension, VmStore } from './store.ts';
import {
  dropPackage,
  EMPTY_STORE,
  findExtension,
  formatGoalState,
  keepPackage,
  markLeaving,
  readStore,
  takePackage,
  writeStore,
} from './store.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'handlerkit-store-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const GREETER: StoredExtension = {
  name: 'Greeter',
  publisher: 'Contoso.Samples',
  type: 'Greeter',
  version: '1.0.0',
  packageFile: 'a.zip',
  packageDigest: 'abc',
  settings: {
    public: { greeting: 'hello' },
    protected: 'AAAA',
    thumbprint: 'A'.repeat(40),
    protectedDigest: 'ffff',
  },
  sequence: 3,
  forceUpdateTag: 'again',
};
const STORE: VmStore = {
  incarnation: 4,
  certificate: { thumbprint: 'A'.repeat(40), pem: 'PEM' },
  extensions: [GREETER, { ...GREETER, name: 'Bare', settings: null, forceUpdateTag: null, sequence: 0 }],
};

describe('the store of a VM', () => {
  it('is empty where there is none', () => {
    expect(readStore(join(folder, 'none'))).toEqual(EMPTY_STORE);
  });

  it('comes back as it was written, for its owner only, and leaves no temporary file', async () => {
    writeStore(folder, STORE);
    expect(readStore(folder)).toEqual(STORE);
    expect(readdirSync(folder)).toEqual(['extensions.json']);
    expect((await stat(join(folder, 'extensions.json'))).mode & 0o777).toBe(0o600);
  });

  it('remembers which extension is being deleted, until it is gone', () => {
    const store = markLeaving(STORE, ['Bare']);
    writeStore(folder, store);
    expect(readStore(folder)).toEqual(store);
    expect(readStore(folder).extensions.map((one) => one.leaving)).toEqual([undefined, true]);
  });

  it('keeps the former one, and says so, when the disk takes only a part of the new one', () => {
    writeStore(folder, STORE);
    const certificate = { thumbprint: 'A'.repeat(40), pem: 'x'.repeat(5000) };
    const script = [
      `import { writeStore } from ${JSON.stringify(new URL('store.ts', import.meta.url).href)};`,
      `writeStore(${JSON.stringify(folder)}, ${JSON.stringify({ ...STORE, certificate })});`,
    ].join('\n');
    // The limit on a file's size does what a full disk does: the first write is short, the next one fails.
    const limited = 'trap "" XFSZ; ulimit -f 1; exec "$@"';
    const options = ['--conditions=@handlerkit/source', '--import', import.meta.resolve('tsx')];
    const node = [process.execPath, ...options, '--input-type=module', '--eval', script];
    // A cache of compiled modules would meet the limit, too.
    const env = { ...process.env, TSX_DISABLE_CACHE: '1' };
    const child = spawnSync('/bin/sh', ['-c', limited, 'sh', ...node], { encoding: 'utf8', env });
    expect(child.stderr).toContain('EFBIG');
    expect(child.status).toBe(1);
    expect(readStore(folder)).toEqual(STORE);
  });

  it.each([
    ['', /is empty/],
    ['{', /not valid JSON/],
    ['[]', /must be an object/],
    ['{}', /format is missing/],
    ['{"format":"handlerkit-vm-extensions/2"}', /another version of handlerkit/],
    [edit({ incarnation: -1 }), /incarnation must be a whole number/],
    [edit({ incarnation: '1' }), /incarnation must be a number/],
    [edit({ certificate: { thumbprint: '../x', pem: 'x' } }), /certificate\.thumbprint must be 40/],
    [edit({ extensions: {} }), /extensions must be an array/],
    [edit({ extensions: [{ ...GREETER, packageFile: '../../etc/passwd' }] }), /packageFile must be the name/],
    [edit({ extensions: [{ ...GREETER, sequence: 1.5 }] }), /extensions\[0\]\.sequence must be a whole/],
    [
      edit({ extensions: [{ ...GREETER, leaving: 'yes' }] }),
      /extensions\[0\]\.leaving must be true or false/,
    ],
    [edit({ extensions: [{ ...GREETER, settings: { public: 3 } }] }), /settings\.public must be an object/],
  ])('refuses %j, naming the file and the place', async (text, problem) => {
    await writeFile(join(folder, 'extensions.json'), text);
    expect(() => readStore(folder)).toThrow(
      expect.objectContaining({
        code: 'VM_STATE_INVALID',
        message: expect.stringMatching(problem),
        file: join(folder, 'extensions.json'),
        hint: expect.stringContaining('vm reset'),
      }),
    );
  });

  it('keeps a copy of the package, so that the author may build the next one', async () => {
    const zip = join(folder, 'built.zip');
    await writeFile(zip, 'first build');
    const first = takePackage(folder, zip, 'Contoso.Greeter', '1.0.0');
    await writeFile(zip, 'second build');
    keepPackage(folder, first);
    const second = takePackage(folder, zip, 'Contoso.Greeter', '1.0.0');
    keepPackage(folder, second);
    expect(second.packageDigest).not.toBe(first.packageDigest);
    const packages = join(folder, 'packages');
    expect(await readFile(join(packages, first.packageFile), 'utf8')).toBe('first build');
    expect(await readFile(join(packages, second.packageFile), 'utf8')).toBe('second build');
    expect(second.packageDigest).toBe(createHash('sha256').update('second build').digest('hex'));

    writeStore(folder, { ...EMPTY_STORE, extensions: [{ ...GREETER, ...second }] });
    expect(readdirSync(packages)).toEqual([second.packageFile]);
  });

  it('leaves no copy of a package that was taken and not kept, or that it has already', async () => {
    const zip = join(folder, 'built.zip');
    await writeFile(zip, 'build');
    const taken = takePackage(folder, zip, 'Contoso.Greeter', '1.0.0');
    dropPackage(folder);
    expect(readdirSync(folder)).toEqual(['built.zip']);
    for (let times = 0; times < 2; times++) {
      keepPackage(folder, takePackage(folder, zip, 'Contoso.Greeter', '1.0.0'));
      dropPackage(folder);
    }
    expect(readdirSync(folder).sort()).toEqual(['built.zip', 'packages']);
    expect(readdirSync(join(folder, 'packages'))).toEqual([taken.packageFile]);
  });

  it('finds an extension by its name in any case', () => {
    expect(findExtension(STORE, 'gREETER')).toBe(GREETER);
    expect(findExtension(STORE, 'Greet')).toBeUndefined();
  });

  it('disables one of several configurations, and uninstalls the handler with the last', () => {
    const one = { ...GREETER, isConfiguration: true };
    const two = { ...one, name: 'Second' };
    const store = { ...STORE, extensions: [one, two] };
    writeStore(folder, store);
    expect(readStore(folder)).toEqual(store);
    const wanted = (leaving: readonly string[]) =>
      formatGoalState('/vm', markLeaving(store, leaving)).extensions.map(
        ({ extensionName, requestedState, extensionState }) => [
          extensionName,
          requestedState,
          extensionState,
        ],
      );
    expect(wanted([])).toEqual([
      ['Greeter', 'enabled', 'enabled'],
      ['Second', 'enabled', 'enabled'],
    ]);
    expect(wanted(['Second'])).toEqual([
      ['Greeter', 'enabled', 'enabled'],
      ['Second', 'enabled', 'disabled'],
    ]);
    expect(wanted(['Greeter', 'Second']).map((row) => row[1])).toEqual(['uninstall', 'uninstall']);
  });

  it('becomes the goal state of all extensions, without what only the platform knows', () => {
    expect(formatGoalState('/vm', markLeaving(STORE, ['Bare']))).toEqual({
      id: 'incarnation_4',
      extensions: [
        {
          handlerName: 'Contoso.Samples.Greeter',
          version: '1.0.0',
          requestedState: 'enabled',
          packageFile: '/vm/packages/a.zip',
          sequence: 3,
          settings: {
            publicSettings: { greeting: 'hello' },
            protectedSettings: 'AAAA',
            thumbprint: 'A'.repeat(40),
          },
          dependencyLevel: 0,
        },
        expect.objectContaining({ requestedState: 'uninstall', settings: undefined, sequence: 0 }),
      ],
    });
  });
});

function edit(change: Record<string, unknown>): string {
  return JSON.stringify({ format: 'handlerkit-vm-extensions/1', ...STORE, ...change });
}
