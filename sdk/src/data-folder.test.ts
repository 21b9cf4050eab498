import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DataFolder } from './data-folder.ts';
import { openDataFolder } from './data-folder.ts';
import type { HandlerFolder } from './handler-files.ts';
import { createHost } from './host.ts';

let lib: string;
beforeEach(() => {
  lib = mkdtempSync(join(tmpdir(), 'handlerkit-data-'));
});
afterEach(() => rmSync(lib, { recursive: true, force: true }));

function version(text: string): HandlerFolder {
  return { folder: join(lib, `A.B-${text}`), handlerName: 'A.B', version: text, libFolder: lib };
}
const open = (text: string): DataFolder => openDataFolder(createHost(), version(text), 'A.B.data');
function unpack(text: string, state?: string): void {
  mkdirSync(join(version(text).folder, 'config'), { recursive: true });
  if (state !== undefined) writeFileSync(join(version(text).folder, 'config', 'HandlerState'), state);
}

describe('the data folder', () => {
  it('is made with mode 0700, a second time without complaint, and removed with all that it holds', () => {
    const data = open('1.0.0');
    expect([data.path, data.exists()]).toEqual([join(lib, 'A.B.data'), false]);
    data.create();
    data.create();
    expect(statSync(data.path).mode & 0o777).toBe(0o700);
    mkdirSync(join(data.path, 'a', 'b'), { recursive: true });
    data.remove();
    data.remove();
    expect(existsSync(data.path)).toBe(false);
  });

  it('says what to do when a file has its name', () => {
    writeFileSync(join(lib, 'A.B.data'), '');
    expect(() => open('1.0.0').create()).toThrow(
      expect.objectContaining({
        code: 'STATE_UNUSABLE',
        message: `${lib}/A.B.data is no folder, and the extension keeps its data in a folder of that name; move it away and apply the settings again`,
      }),
    );
  });

  it('belongs to nobody, then to the version that claimed it', () => {
    const data = open('1.0.0');
    data.create();
    expect([data.owner(), data.isAdopted(), data.home()]).toEqual([undefined, false, version('1.0.0')]);
    data.claim('1.0.0');
    expect([data.owner(), data.isAdopted()]).toEqual(['1.0.0', false]);
    expect(statSync(join(data.path, '.owner')).mode & 0o777).toBe(0o600);
  });

  it('loses what killed processes have left of its own files, and nothing that lives', () => {
    const data = open('1.0.0');
    data.create();
    const dead = '4000000:1:';
    for (const name of ['.owner.4000000.tmp', '.lock.4000000.tmp']) writeFileSync(join(data.path, name), '');
    symlinkSync(dead, join(data.path, `.lock.turn.${dead}`));
    for (const name of [`.owner.${process.pid}.tmp`, 'mine.4000000.tmp'])
      writeFileSync(join(data.path, name), '');
    data.removeLeftovers();
    expect(readdirSync(data.path).sort()).toEqual([`.owner.${process.pid}.tmp`, 'mine.4000000.tmp']);
  });

  it.each([
    ['Installed', true],
    ['Enabled', true],
    ['NotInstalled', true],
    [undefined, true],
    ['FailedUpgrade', false],
    [' FailedUpgrade\n', false],
  ])('claimed by another version whose state is %s: adopted is %s', (state, isAdopted) => {
    unpack('2.0.0', state);
    const data = open('1.0.0');
    data.create();
    data.claim('2.0.0');
    expect(data.isAdopted()).toBe(isAdopted);
    expect(data.home()).toEqual(version(isAdopted ? '2.0.0' : '1.0.0'));
    expect(open('2.0.0').isAdopted()).toBe(false);
  });

  it('claimed by a version whose folder has gone is not adopted', () => {
    const data = open('1.0.0');
    data.create();
    data.claim('2.0.0');
    expect(data.isAdopted()).toBe(false);
    unpack('2.0.0');
    expect(data.isAdopted()).toBe(true);
    rmSync(version('2.0.0').folder, { recursive: true });
    expect(data.home()).toEqual(version('1.0.0'));
  });

  it.each(['', ' \n'])('whose owner file holds %j belongs to nobody', (text) => {
    const data = open('1.0.0');
    data.create();
    writeFileSync(join(data.path, '.owner'), text);
    expect(data.owner()).toBeUndefined();
  });
});
