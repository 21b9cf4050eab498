import { existsSync } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TestVm } from './fixtures/test-vm.ts';
import { createTestVm, HANDLER, writeZip } from './fixtures/test-vm.ts';
import { entryPath, unpackPackage } from './package-unpack.ts';

let vm: TestVm;
beforeEach(async () => {
  vm = await createTestVm();
});
afterEach(() => vm.dispose());

const mode = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8);

describe('where an entry of a package lands', () => {
  const rows: readonly [string, string, string][] = [
    ['bin/handler', 'bin/handler', 'a plain name stays'],
    ['../../evil1', 'evil1', 'leading .. parts go'],
    ['/abs/evil2', 'abs/evil2', 'an absolute name becomes a relative one'],
    ['sub/../../../evil3', 'sub/evil3', '.. is dropped, not resolved'],
    ['./a//b/.', 'a/b', 'empty and . parts go'],
    ['a\0b', 'a', 'a NUL ends the name'],
    ['a\\b', 'a\\b', 'a backslash is part of a name on Linux'],
  ];
  it.each(rows)('%j lands in %j: %s', (name, path) => {
    expect(entryPath(name)).toBe(path);
  });
});

describe('unpacking a package', () => {
  const handWritten = (entries: [string, string][]) => rawZip(entries);

  it('keeps hostile names inside the folder', async () => {
    const file = join(vm.folder, 'evil.zip');
    await writeFile(
      file,
      handWritten([
        ['../../evil1', '1'],
        ['/abs/evil2', '2'],
        ['sub/../../../evil3', '3'],
      ]),
    );
    const folder = join(vm.folder, 'deep', 'er', 'target');
    await unpackPackage(file, folder);
    expect(await readFile(join(folder, 'evil1'), 'utf8')).toBe('1');
    expect(await readFile(join(folder, 'abs', 'evil2'), 'utf8')).toBe('2');
    expect(await readFile(join(folder, 'sub', 'evil3'), 'utf8')).toBe('3');
    expect(existsSync(join(vm.folder, 'evil1'))).toBe(false);
  });

  it('writes over what is there and leaves the rest', async () => {
    const file = join(vm.folder, 'a.zip');
    await writeZip(file, [{ path: 'a', text: 'new' }]);
    const folder = join(vm.folder, 'target');
    await mkdir(folder);
    await writeFile(join(folder, 'a'), 'old and longer');
    await writeFile(join(folder, 'b'), 'stale');
    await unpackPackage(file, folder);
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('new');
    expect(await readFile(join(folder, 'b'), 'utf8')).toBe('stale');
  });

  it('fails for a damaged file', async () => {
    const file = join(vm.folder, 'a.zip');
    const bytes = handWritten([['a', 'hello']]);
    bytes.write('jello', bytes.indexOf('hello'));
    await writeFile(file, bytes);
    await expect(unpackPackage(file, join(vm.folder, 'target'))).rejects.toThrow('a is damaged');
  });

  it('fails for an entry that would replace a folder', async () => {
    const file = join(vm.folder, 'a.zip');
    await writeFile(
      file,
      handWritten([
        ['a/b', '1'],
        ['a', '2'],
      ]),
    );
    await expect(unpackPackage(file, join(vm.folder, 'target'))).rejects.toThrow('a would replace a folder');
  });
});

describe('a package on the VM', () => {
  it('has no modes of its own: every file is 0744, every folder 0755, a symlink is a text file', async () => {
    const packageFile = join(vm.folder, 'a.zip');
    const manifest = [{ handlerManifest: { installCommand: 'bin/run', enableCommand: 'bin/run' } }];
    await writeZip(packageFile, [
      { path: 'HandlerManifest.json', text: JSON.stringify(manifest) },
      { path: 'bin/run', text: '#!/bin/sh\n', mode: 0o100600 },
      { path: 'bin/deep/secret', text: 'x', mode: 0o100666 },
      { path: 'bin/link', text: 'run', mode: 0o120777 },
    ]);
    await vm.apply(await vm.want('1.0.0', { packageFile }));
    expect(await vm.noted('1.0.0')).toBe('Ready/0: Plugin enabled');
    for (const name of ['bin/run', 'bin/deep/secret', 'bin/link']) {
      expect(await mode(vm.path('1.0.0', name))).toBe('744');
    }
    expect(await mode(vm.path('1.0.0', 'bin', 'deep'))).toBe('755');
    expect(await readFile(vm.path('1.0.0', 'bin', 'link'), 'utf8')).toBe('run');
    expect(await mode(vm.path('1.0.0', 'config', 'HandlerState'))).toBe('744');
    expect(await mode(vm.path('1.0.0', 'HandlerEnvironment.json'))).toBe('644');
    expect(await mode(vm.path('1.0.0', 'config', '0.settings'))).toBe('644');
    expect(await mode(join(vm.machine.logFolder, HANDLER, 'events'))).toBe('700');
  });

  it('has its manifest found in a folder, without byte order mark, and copied to the top', async () => {
    const packageFile = join(vm.folder, 'a.zip');
    const manifest = [{ handlerManifest: { installCommand: 'in/run', enableCommand: 'in/run' } }];
    await writeZip(packageFile, [
      { path: 'in/HandlerManifest.json', text: `\uFEFF${JSON.stringify(manifest)}` },
      { path: 'in/run', text: '#!/bin/sh\n' },
    ]);
    await vm.apply(await vm.want('1.0.0', { packageFile }));
    expect(await vm.noted('1.0.0')).toBe('Ready/0: Plugin enabled');
    expect(await readFile(vm.path('1.0.0', 'HandlerManifest.json'), 'utf8')).toBe(JSON.stringify(manifest));
  });

  it('gets a handler environment with the folders as the handler sees them', async () => {
    await vm.apply(await vm.want('1.0.0'));
    const text = await readFile(vm.path('1.0.0', 'HandlerEnvironment.json'), 'utf8');
    const logFolder = join(vm.machine.logFolder, HANDLER);
    expect(JSON.parse(text)).toEqual([
      {
        name: HANDLER,
        version: 1,
        handlerEnvironment: {
          logFolder,
          configFolder: vm.path('1.0.0', 'config'),
          statusFolder: vm.path('1.0.0', 'status'),
          heartbeatFile: vm.path('1.0.0', 'heartbeat.log'),
          eventsFolder: join(logFolder, 'events'),
          eventsFolder_preview: join(logFolder, 'events'),
        },
      },
    ]);
  });

  it('that cannot be unpacked leaves nothing but a status that says why', async () => {
    const packageFile = join(vm.folder, 'broken.zip');
    await writeFile(packageFile, 'no zip');
    await vm.apply(await vm.want('1.0.0', { packageFile }));
    expect(await vm.calls()).toEqual([]);
    expect(await vm.state('1.0.0')).toBe('NotInstalled');
    expect(existsSync(vm.path('1.0.0', 'config', 'HandlerState'))).toBe(false);
    expect(await vm.noted('1.0.0')).toMatch(
      /^NotReady\/1001: Failed to download artifacts: \[ExtensionDownloadError\] The package .*broken\.zip cannot be unpacked: /,
    );
    await vm.apply(await vm.want('1.0.0'));
    expect(await vm.noted('1.0.0')).toBe('Ready/0: Plugin enabled');
  });

  it('without a manifest is refused', async () => {
    const packageFile = join(vm.folder, 'a.zip');
    await writeZip(packageFile, [{ path: 'bin/run', text: '' }]);
    await vm.apply(await vm.want('1.0.0', { packageFile }));
    expect(await vm.noted('1.0.0')).toBe(
      'NotReady/-1: Failed to download artifacts: [ExtensionDownloadError] HandlerManifest.json not found',
    );
  });

  it('with booleans that are none is warned about', async () => {
    const packageFile = await vm.pack('1.0.0', {
      manifest: { reportHeartbeat: 'yes', continueOnUpdateFailure: 'True' },
    });
    await vm.apply(await vm.want('1.0.0', { packageFile }));
    const notes = vm.events.flatMap((event) => (event.kind === 'note' ? [event.text] : []));
    expect(notes.filter((text) => text.includes('non-boolean')).length).toBe(2);
  });

  it('loses the cached zip of an agent that was in the VM before', async () => {
    const cached = join(vm.machine.libFolder, `${HANDLER}__1.0.0.zip`);
    await writeFile(cached, '');
    await vm.apply(await vm.want('1.0.0'));
    expect(existsSync(cached)).toBe(false);
  });
});

/** A zip of stored entries, written by hand because no zip writer takes hostile names. */
function rawZip(entries: readonly (readonly [name: string, text: string])[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, text] of entries) {
    const [nameBytes, data] = [Buffer.from(name), Buffer.from(text)];
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt32LE(checksum(data), 10);
    fields.writeUInt32LE(data.length, 14);
    fields.writeUInt32LE(data.length, 18);
    fields.writeUInt16LE(nameBytes.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), fields, nameBytes, data]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00'), fields, tail, nameBytes]));
    parts.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...parts, central, Buffer.from('PK\x05\x06'), end]);
}

function checksum(data: Buffer): number {
  let sum = 0xffffffff;
  for (const byte of data) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return (sum ^ 0xffffffff) >>> 0;
}
