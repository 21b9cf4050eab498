import { describe, expect, it } from 'vitest';
import { findNoexecMount } from './noexec-mount.ts';

const LIB = '/var/lib/waagent';
const ROOT = 'overlay / overlay rw,relatime 0 0';

describe('the mount that keeps programs from running', () => {
  const rows: readonly [string, readonly string[], string | undefined][] = [
    ['none when no mount is noexec', [ROOT], undefined],
    ['the root when that is noexec', ['overlay / overlay rw,noexec 0 0'], '/'],
    ['the nearest one above', [ROOT, 'x /var ext4 rw,nosuid,noexec,relatime 0 0'], '/var'],
    ['none when a nearer one allows it', ['x /var ext4 rw,noexec 0 0', 'y /var/lib ext4 rw 0 0'], undefined],
    ['none when only a neighbour forbids it', [ROOT, 'x /var/lib/waa ext4 rw,noexec 0 0'], undefined],
    ['the later of two at one place', ['x /var ext4 rw 0 0', 'y /var ext4 rw,noexec 0 0'], '/var'],
    ['the folder itself', [ROOT, `x ${LIB} tmpfs rw,noexec 0 0`], LIB],
  ];
  it.each(rows)('is %s', (_title, lines, mount) => {
    expect(findNoexecMount(lines.join('\n'), LIB)).toBe(mount);
  });

  it('may have a blank in its name', () => {
    expect(findNoexecMount('x /my\\040disk ext4 noexec 0 0', '/my disk/lib')).toBe('/my disk');
  });
});
