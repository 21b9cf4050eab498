import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readElf } from './elf.ts';
import { makeElf } from './fixtures/good-package.ts';

const hasObjdump = spawnSync('objdump', ['--version']).status === 0;

describe('an ELF file', () => {
  it.each([process.execPath, '/bin/sh'])('%s is read as its own machine with its loader', (file) => {
    const elf = readElf(readFileSync(file));
    expect(elf).toMatchObject({ machine: process.arch, is64Bit: true, isProgram: true });
    expect(elf?.interpreter).toMatch(/^\/lib.*\/ld-/);
  });

  it.skipIf(!hasObjdump).each([process.execPath, '/bin/sh'])(
    '%s needs the glibc that objdump says',
    (file) => {
      const { stdout } = spawnSync('objdump', ['-T', file], { encoding: 'utf8', maxBuffer: 1 << 28 });
      const minors = [...stdout.matchAll(/GLIBC_2\.(\d+)/g)].map((match) => Number(match[1]));
      expect(readElf(readFileSync(file))?.glibc).toBe(`2.${Math.max(...minors)}`);
    },
  );

  it.each([
    ['is none when it is a script', Buffer.from('#!/bin/sh\necho a script that is long enough\n')],
    ['is none when it is empty', Buffer.alloc(0)],
    ['is none when it is of the other byte order', Buffer.from(`7f454c460202${'00'.repeat(60)}`, 'hex')],
  ])('%s', (_what, bytes) => {
    expect(readElf(bytes)).toBeUndefined();
  });

  it('is read as far as it goes when it is cut off or points nowhere', () => {
    const whole = makeElf({ machine: 62, interpreter: '/lib64/ld-linux-x86-64.so.2', needs: ['GLIBC_2.30'] });
    expect(readElf(whole)?.glibc).toBe('2.30');
    for (let length = 20; length < whole.length; length += 7) {
      expect(readElf(whole.subarray(0, length))?.machine).toBe('x64');
    }
    const lost = Buffer.from(whole);
    lost.writeBigUInt64LE(0xffff_ffff_ffffn, 32);
    expect(readElf(lost)).toMatchObject({ machine: 'x64', glibc: undefined });
  });
});
