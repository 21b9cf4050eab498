import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeyMachine, KeyMachineOptions } from './fixtures/key-machine.ts';
import { ALICE, BOB, createKeyMachine, factsOf } from './fixtures/key-machine.ts';

const DATA = 'AAAAC3NzaC1lZDI1NTE5AAAAIAzMYRvC786Z7+ifP4B/2pBgFge0pjQgM5IN+oQJzU+o';
const KEY = `ssh-ed25519 ${DATA} mine`;
const OLD = `ssh-ed25519 ${DATA.replace(/o$/, 'p')} old`;
const FILE = '/home/alice/.ssh/authorized_keys';

let vm: KeyMachine;
const make = async (options?: KeyMachineOptions): Promise<void> => {
  vm?.machine.remove();
  vm = await createKeyMachine(options);
};
beforeEach(() => make());
afterEach(() => vm.machine.remove());

/** Everything below a folder, as far as somebody could have changed it. */
function snapshot(real: string): readonly unknown[] {
  const { uid, gid, mode, mtimeMs, size, nlink } = lstatSync(real);
  const entry = { real, uid, gid, mode, mtimeMs, size, nlink };
  if (!lstatSync(real).isDirectory()) return [entry];
  return [entry, ...readdirSync(real).flatMap((name) => snapshot(`${real}/${name}`))];
}

describe.runIf(process.getuid?.() === 0)('a key', () => {
  it('comes into a new file of the user’s, which only the user reads', async () => {
    const report = await vm.run(KEY);
    expect(vm.readKeys()).toBe(`${KEY}\n`);
    expect(factsOf(vm.home('.ssh'))).toEqual({ uid: ALICE, gid: ALICE, mode: '700' });
    expect(factsOf(vm.home('.ssh/authorized_keys'))).toEqual({ uid: ALICE, gid: ALICE, mode: '600' });
    expect(report).toEqual({
      changed: true,
      message: expect.stringMatching(
        /^alice can log in with ssh-ed25519 SHA256:\S{43}, added to \/home\/alice\/\.ssh\/authorized_keys; made \/home\/alice\/\.ssh$/,
      ),
    });
  });

  it('comes behind those that are there, which stay byte for byte, with their mode and owner (W25)', async () => {
    const old = Buffer.concat([Buffer.from('# \xff\r\n', 'latin1'), Buffer.from(OLD)]);
    vm.write(FILE, old, 0o640);
    chownSync(vm.home('.ssh/authorized_keys'), ALICE, BOB);
    await vm.run(KEY);
    expect(readFileSync(vm.home('.ssh/authorized_keys'))).toEqual(
      Buffer.concat([old, Buffer.from(`\n${KEY}\n`)]),
    );
    expect(factsOf(vm.home('.ssh/authorized_keys'))).toEqual({ uid: ALICE, gid: BOB, mode: '640' });
    expect(readdirSync(vm.home('.ssh'))).toEqual(['authorized_keys']);
  });

  it('that is there already changes nothing (W27)', async () => {
    vm.write(FILE, `${OLD}\nssh-ed25519 ${DATA} another comment`);
    const before = snapshot(vm.home());
    const report = await vm.run(KEY);
    expect(report).toEqual({ changed: false, message: expect.stringContaining('has the key') });
    expect(snapshot(vm.home())).toEqual(before);
  });

  it('that is there with restrictions is put in front, and that is said', async () => {
    vm.write(FILE, `command="false" ${KEY}\n`);
    const { message } = await vm.run(KEY);
    expect(vm.readKeys()).toBe(`${KEY}\ncommand="false" ${KEY}\n`);
    expect(message).toContain('was there with options that allow something else');
  });

  it('replaces all others when that is asked for, also where sshd looks second', async () => {
    vm.write(FILE, `${OLD}\n${KEY}\n# x\n`);
    vm.write('/home/alice/.ssh/authorized_keys2', `${OLD}\n`);
    const { message } = await vm.run(KEY, { removePriorKeys: true });
    expect(vm.readKeys()).toBe(`${KEY}\n`);
    expect(readFileSync(vm.home('.ssh/authorized_keys2'), 'utf8')).toBe('');
    expect(message).toContain('has the key');
    expect(message).toContain('2 other keys removed');
    expect(message).toContain('emptied /home/alice/.ssh/authorized_keys2');
    await vm.undo.rollBack();
    expect(vm.readKeys()).toBe(`${OLD}\n${KEY}\n# x\n`);
    expect(readFileSync(vm.home('.ssh/authorized_keys2'), 'utf8')).toBe(`${OLD}\n`);
  });

  it('that ssh-keygen of the VM does not take is refused before anything is changed (W27)', async () => {
    await make({
      exec: ([program = '']) => (program.endsWith('ssh-keygen') ? { exitCode: 255 } : undefined),
    });
    await expect(vm.plan(KEY)).rejects.toMatchObject({ code: 'SSH_KEY_INVALID' });
    await make({ programs: ['dd', 'cp'] });
    expect((await vm.run(KEY)).changed).toBe(true);
  });

  it('for an account that is made later is planned before, and finds the home of then (W26)', async () => {
    await make({
      home: '/srv/elsewhere',
      exec: ([, database]) => (database === 'passwd' ? { exitCode: 2 } : undefined),
    });
    rmSync(vm.home(), { recursive: true });
    const { act } = await vm.plan(KEY);
    vm.makeFolder('/srv/elsewhere', 0o750);
    await act();
    expect(vm.readKeys()).toBe(`${KEY}\n`);
    expect(existsSync(vm.machine.path('/home'))).toBe(false);
  });

  it('makes a home that is missing, and names it', async () => {
    rmSync(vm.home(), { recursive: true });
    const { message } = await vm.run(KEY);
    expect(message).toContain('made /home/alice; made /home/alice/.ssh');
    expect(factsOf(vm.home())).toEqual({ uid: ALICE, gid: ALICE, mode: '700' });
    expect(await vm.undo.rollBack()).toEqual([]);
    expect(existsSync(vm.home())).toBe(false);
  });

  it('is written where a home lies behind a link of root’s', async () => {
    renameSync(vm.machine.path('/home'), vm.machine.path('/moved'));
    symlinkSync('moved', vm.machine.path('/home'));
    await vm.run(KEY);
    expect(readFileSync(vm.machine.path('/moved/alice/.ssh/authorized_keys'), 'utf8')).toBe(`${KEY}\n`);
  });

  it('comes after leftovers of a killed run are cleared away', async () => {
    vm.write(`${FILE}`, OLD);
    vm.write('/home/alice/.ssh/.authorized_keys.vm-access-0123456789ab', 'half', 0o600, 0);
    await vm.run(KEY);
    expect(readdirSync(vm.home('.ssh'))).toEqual(['authorized_keys']);
  });

  it('goes where sshd looks as a rule when there is none to ask, and that is said', async () => {
    await make({ sshd: null });
    expect((await vm.run(KEY)).warning).toContain('no sshd was found');
    expect(vm.readKeys()).toBe(`${KEY}\n`);
  });
});

describe.runIf(process.getuid?.() === 0)(
  'what StrictModes would refuse is mended, said and taken back (W26)',
  () => {
    it('modes of home, folder and file', async () => {
      chmodSync(vm.home(), 0o2777);
      vm.write(FILE, OLD, 0o666);
      chmodSync(vm.home('.ssh'), 0o775);
      const { message } = await vm.run(KEY);
      expect(factsOf(vm.home()).mode).toBe('2755');
      expect(factsOf(vm.home('.ssh')).mode).toBe('755');
      expect(factsOf(vm.home('.ssh/authorized_keys')).mode).toBe('644');
      expect(message).toContain('mended /home/alice: others than its owner could write to it');
      expect(message).toContain('mended /home/alice/.ssh/authorized_keys: its mode was 666');
      expect(await vm.undo.rollBack()).toEqual([]);
      expect([factsOf(vm.home()).mode, factsOf(vm.home('.ssh')).mode]).toEqual(['2777', '775']);
      expect(factsOf(vm.home('.ssh/authorized_keys')).mode).toBe('666');
      expect(vm.readKeys()).toBe(OLD);
    });

    it('also when the key is there already', async () => {
      vm.write(FILE, KEY, 0o660);
      expect((await vm.run(KEY)).changed).toBe(true);
      expect(factsOf(vm.home('.ssh/authorized_keys')).mode).toBe('640');
      expect(vm.readKeys()).toBe(KEY);
    });

    it('not when sshd does not look at modes', async () => {
      await make({ sshd: { strictmodes: 'no' } });
      vm.write(FILE, KEY, 0o666);
      chmodSync(vm.home(), 0o777);
      expect((await vm.run(KEY)).changed).toBe(false);
    });

    it('a file and a folder of root’s that the user cannot read, when there are only keys in them', async () => {
      vm.write(FILE, OLD, 0o600, 0);
      vm.makeFolder('/home/alice/.ssh', 0o700, 0);
      const { message } = await vm.run(KEY);
      expect(message).toContain('mended /home/alice/.ssh: it belonged to root');
      expect(factsOf(vm.home('.ssh'))).toEqual({ uid: ALICE, gid: ALICE, mode: '700' });
      expect(factsOf(vm.home('.ssh/authorized_keys'))).toEqual({ uid: ALICE, gid: ALICE, mode: '600' });
      expect(await vm.undo.rollBack()).toEqual([]);
      expect(factsOf(vm.home('.ssh'))).toEqual({ uid: 0, gid: 0, mode: '700' });
      expect(factsOf(vm.home('.ssh/authorized_keys'))).toEqual({ uid: 0, gid: 0, mode: '600' });
    });

    it('root’s file stays root’s when the user can read it', async () => {
      vm.write(FILE, OLD, 0o644, 0);
      await vm.run(KEY);
      expect(factsOf(vm.home('.ssh/authorized_keys'))).toEqual({ uid: 0, gid: 0, mode: '644' });
    });

    it.each<[string, () => void, string]>([
      [
        'a home of root’s to which others may write',
        () => vm.makeFolder('/home/alice', 0o1777, 0),
        'others may write to it',
      ],
      [
        'a folder of root’s with other things in it',
        () => {
          vm.write('/home/alice/.ssh/other', 'secret', 0o600, 0);
          vm.makeFolder('/home/alice/.ssh', 0o700, 0);
        },
        'alice cannot enter it',
      ],
      [
        'a file of root’s with other things in it',
        () => vm.write(FILE, '# secret', 0o600, 0),
        'holds more than keys',
      ],
      [
        'such a file in a folder of root’s',
        () => {
          vm.write(FILE, '# secret', 0o644, 0);
          vm.makeFolder('/home/alice/.ssh', 0o700, 0);
        },
        'holds more than keys',
      ],
    ])('but not %s', async (_, prepare, text) => {
      prepare();
      const before = snapshot(vm.home());
      await expect(vm.plan(KEY)).rejects.toMatchObject({
        code: 'PATH_UNUSABLE',
        message: expect.stringContaining(text),
      });
      expect(snapshot(vm.home())).toEqual(before);
    });
  },
);

describe.runIf(process.getuid?.() === 0)(
  'what stands in the way is refused before anything is changed',
  () => {
    const outside = (): string => {
      mkdirSync(vm.machine.path('/etc/victim'), { recursive: true });
      writeFileSync(vm.machine.path('/etc/victim/authorized_keys'), 'root’s\n', { mode: 0o600 });
      return vm.machine.path('/etc/victim');
    };

    it.each<[string, () => void, string, string]>([
      [
        'a folder that is a link (W22)',
        () => symlinkSync(outside(), vm.home('.ssh')),
        'PATH_UNSAFE',
        'is a symbolic link',
      ],
      [
        'a link of root’s in the home (W22)',
        () => {
          symlinkSync(outside(), vm.home('.ssh'));
        },
        'PATH_UNSAFE',
        'is a symbolic link',
      ],
      [
        'a file that is a link (W22)',
        () => {
          vm.makeFolder('/home/alice/.ssh', 0o700);
          symlinkSync(`${outside()}/authorized_keys`, vm.home('.ssh/authorized_keys'));
        },
        'PATH_UNSAFE',
        'is a symbolic link',
      ],
      [
        'a link to nothing (W22)',
        () => {
          vm.makeFolder('/home/alice/.ssh', 0o700);
          symlinkSync('/nowhere', vm.home('.ssh/authorized_keys'));
        },
        'PATH_UNSAFE',
        'is a symbolic link',
      ],
      [
        'a hard link to root’s file (W23)',
        () => {
          vm.makeFolder('/home/alice/.ssh', 0o700);
          linkSync(`${outside()}/authorized_keys`, vm.home('.ssh/authorized_keys'));
        },
        'PATH_UNSAFE',
        'is also another file (hard link)',
      ],
      [
        'a named pipe (W23)',
        () => {
          vm.makeFolder('/home/alice/.ssh', 0o700);
          execFileSync('mkfifo', [vm.home('.ssh/authorized_keys')]);
        },
        'PATH_UNSAFE',
        'is a named pipe',
      ],
      [
        'a device (W23)',
        () => {
          vm.makeFolder('/home/alice/.ssh', 0o700);
          execFileSync('mknod', [vm.home('.ssh/authorized_keys'), 'c', '1', '5']);
        },
        'PATH_UNSAFE',
        'is a device',
      ],
      ['a folder in the file’s place', () => vm.makeFolder(FILE), 'PATH_UNSAFE', 'is a folder'],
      ['a file in the folder’s place', () => vm.write('/home/alice/.ssh', ''), 'PATH_UNSAFE', 'is no folder'],
      [
        'another user’s folder',
        () => vm.makeFolder('/home/alice/.ssh', 0o755, BOB),
        'PATH_UNSAFE',
        'belongs to another user (uid 54322)',
      ],
      [
        'another user’s file',
        () => vm.write(FILE, OLD, 0o644, BOB),
        'PATH_UNSAFE',
        'belongs to another user',
      ],
      [
        'another user’s home',
        () => vm.makeFolder('/home/alice', 0o755, BOB),
        'PATH_UNSAFE',
        'belongs to another user',
      ],
      [
        'a file of 100 MB',
        () => truncateSync(vm.write(FILE, ''), 100 << 20),
        'PATH_UNUSABLE',
        'has more than 1048576 bytes',
      ],
    ])('%s', async (_, prepare, code, text) => {
      prepare();
      const before = snapshot(vm.machine.root);
      await expect(vm.plan(KEY)).rejects.toMatchObject({ code, message: expect.stringContaining(text) });
      expect(snapshot(vm.machine.root)).toEqual(before);
    });

    it('a socket (W23)', async () => {
      vm.makeFolder('/home/alice/.ssh', 0o700);
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(vm.home('.ssh/authorized_keys'), resolve));
      await expect(vm.plan(KEY)).rejects.toMatchObject({
        code: 'PATH_UNSAFE',
        message: expect.stringContaining('a socket'),
      });
      await new Promise((resolve) => server.close(resolve));
    });

    it.each(['/', '/nonexistent'])('a home that is none: %s', async (home) => {
      await make({ home });
      await expect(vm.plan(KEY)).rejects.toMatchObject({ code: 'PATH_UNUSABLE' });
    });

    it('and also when it comes between plan and act (W24)', async () => {
      vm.write(FILE, OLD);
      const { act } = await vm.plan(KEY);
      renameSync(vm.home('.ssh'), vm.home('.moved'));
      symlinkSync(outside(), vm.home('.ssh'));
      const before = snapshot(vm.machine.path('/etc/victim'));
      await expect(act()).rejects.toMatchObject({ code: 'PATH_UNSAFE' });
      expect(snapshot(vm.machine.path('/etc/victim'))).toEqual(before);
      expect(await vm.undo.rollBack()).toEqual([]);
    });
  },
);

describe.runIf(process.getuid?.() === 0)('AuthorizedKeysFile (W26)', () => {
  const sshd = (authorizedkeysfile: string): KeyMachineOptions => ({ sshd: { authorizedkeysfile } });

  it('outside of homes: the file of this user, root’s as its folder is', async () => {
    await make(sshd('/etc/ssh/keys/%u'));
    mkdirSync(vm.machine.path('/etc/ssh/keys'), { recursive: true, mode: 0o755 });
    expect((await vm.run(KEY)).message).toContain('added to /etc/ssh/keys/alice');
    expect(factsOf(vm.machine.path('/etc/ssh/keys/alice'))).toEqual({ uid: 0, gid: 0, mode: '644' });
    expect(existsSync(vm.home('.ssh'))).toBe(false);
    expect(await vm.undo.rollBack()).toEqual([]);
    expect(readdirSync(vm.machine.path('/etc/ssh/keys'))).toEqual([]);
  });

  it('in folders that are missing: they are made, and taken back', async () => {
    await make(sshd('/etc/ssh/keys/%u/authorized_keys'));
    await vm.run(KEY);
    expect(factsOf(vm.machine.path('/etc/ssh/keys/alice'))).toEqual({ uid: 0, gid: 0, mode: '755' });
    expect(await vm.undo.rollBack()).toEqual([]);
    expect(existsSync(vm.machine.path('/etc/ssh'))).toBe(false);
  });

  it('several: the first whose folder is there, and the home needs none', async () => {
    await make(sshd('/etc/ssh/keys/%u .ssh/authorized_keys'));
    await vm.run(KEY);
    expect(vm.readKeys()).toBe(`${KEY}\n`);
    mkdirSync(vm.machine.path('/etc/ssh/keys'), { recursive: true, mode: 0o755 });
    await vm.run(KEY);
    expect(readFileSync(vm.machine.path('/etc/ssh/keys/alice'), 'utf8')).toBe(`${KEY}\n`);
  });

  it('of all users: is not written to, since the key would open every account', async () => {
    await make(sshd('/etc/ssh/all_keys'));
    await expect(vm.plan(KEY)).rejects.toMatchObject({ code: 'SSH_KEY_NOT_LOOKED_AT' });
    await make(sshd('/etc/ssh/all_keys .ssh/authorized_keys'));
    const { warning } = await vm.run(KEY, { removePriorKeys: true });
    expect(warning).toContain('keys in /etc/ssh/all_keys, which is also for other users, were not removed');
  });

  it('below a folder to which others may write: sshd would refuse it', async () => {
    await make(sshd('/srv/keys/%u'));
    vm.makeFolder('/srv/keys', 0o777, 0);
    await expect(vm.plan(KEY)).rejects.toMatchObject({
      code: 'PATH_UNUSABLE',
      message: expect.stringContaining('/srv/keys'),
    });
  });

  it('none, or keys not taken at all: an error, unless sshd is reset first', async () => {
    await make({ sshd: { authorizedkeysfile: 'none', pubkeyauthentication: 'no' } });
    await expect(vm.plan(KEY)).rejects.toMatchObject({ code: 'SSH_KEY_NOT_LOOKED_AT' });
    const { act } = await vm.plan(KEY, { afterReset: true });
    await expect(act()).rejects.toMatchObject({ code: 'SSH_KEY_NOT_LOOKED_AT' });
    expect(existsSync(vm.home('.ssh'))).toBe(false);
  });
});

describe.runIf(process.getuid?.() === 0)('a user whom sshd does not let in', () => {
  it.each<[string, Readonly<Record<string, string>>]>([
    ['DenyUsers, which names alice', { denyusers: 'a*' }],
    ['AllowUsers, which does not name alice', { allowusers: 'bob' }],
  ])('is an error before anything is changed: %s', async (text, sshd) => {
    await make({ sshd });
    await expect(vm.plan(KEY)).rejects.toMatchObject({
      code: 'SSH_KEY_NOT_LOOKED_AT',
      message: expect.stringContaining(text),
    });
  });

  it('from everywhere is a warning', async () => {
    await make({ sshd: { allowusers: 'alice@192.0.2.1' } });
    expect((await vm.run(KEY)).warning).toContain('which lets alice in from 192.0.2.1 only');
  });
});

describe.runIf(process.getuid?.() === 0)('the write', () => {
  it('is verified by reading the file as the user', async () => {
    vm.makeFolder('/home', 0o700, 0);
    await expect(vm.run(KEY)).rejects.toMatchObject({
      code: 'SSH_KEY_NOT_VERIFIED',
      message: expect.stringContaining('cannot read /home/alice/.ssh/authorized_keys'),
    });
    expect(await vm.undo.rollBack()).toEqual([]);
    expect(readdirSync(vm.home())).toEqual([]);
  });

  it('does not lose what the user writes at the same moment', async () => {
    let hasWritten = false;
    await make({
      exec: ([program = '']) => {
        if (!program.endsWith('/cp') || hasWritten) return undefined;
        hasWritten = true;
        writeFileSync(vm.home('.ssh/authorized_keys'), `${OLD}\n# written meanwhile\n`);
        return {};
      },
    });
    vm.write(FILE, `${OLD}\n`);
    await vm.run(KEY);
    expect(vm.readKeys()).toBe(`${OLD}\n# written meanwhile\n${KEY}\n`);
  });

  it('is not taken back over what somebody wrote since', async () => {
    vm.write(FILE, OLD);
    await vm.run(KEY);
    writeFileSync(vm.home('.ssh/authorized_keys'), 'new\n');
    expect(await vm.undo.rollBack()).toEqual(['the keys in /home/alice/.ssh/authorized_keys']);
    expect(vm.readKeys()).toBe('new\n');
  });

  it('that the file system does not take leaves the old file as it was', async ({ skip }) => {
    vm.write(FILE, `${OLD}\n`);
    const folder = vm.home('.ssh');
    if (spawnSync('chattr', ['+i', folder]).status !== 0) skip('this file system has no attributes');
    try {
      await expect(vm.run(KEY)).rejects.toMatchObject({
        code: 'PATH_UNUSABLE',
        message: expect.stringMatching(/authorized_keys cannot be written \(E\w+\); look at its disk/),
      });
    } finally {
      execFileSync('chattr', ['-i', folder]);
    }
    expect(await vm.undo.rollBack()).toEqual([]);
    expect(vm.readKeys()).toBe(`${OLD}\n`);
  });
});

describe.runIf(process.getuid?.() === 0)('labels and attributes', () => {
  const labelled = async (matchpathcon: boolean): Promise<readonly (readonly string[])[]> => {
    await make({
      programs: ['dd', 'cp', 'chcon', ...(matchpathcon ? ['matchpathcon'] : [])],
      exec: ([program = '']) => {
        if (program.endsWith('matchpathcon')) return { stdout: 'unconfined_u:object_r:ssh_home_t:s0' };
        return program.endsWith('chcon') ? {} : undefined;
      },
    });
    mkdirSync(vm.machine.path('/sys/fs/selinux'), { recursive: true });
    writeFileSync(vm.machine.path('/sys/fs/selinux/enforce'), '1');
    return vm.machine.commands;
  };
  const chcons = (commands: readonly (readonly string[])[]): readonly string[] =>
    commands
      .filter(([program = '']) => program.endsWith('chcon'))
      .map((argv) =>
        argv
          .slice(1)
          .join(' ')
          .replace(/\/proc\/\d+\/fd\/\d+/g, 'FD'),
      );

  it.each([
    [true, '-- unconfined_u:object_r:ssh_home_t:s0 FD'],
    [false, '-t ssh_home_t -- FD'],
  ])(
    'a new folder and file get the policy’s label where there is SELinux: matchpathcon there %s',
    async (has, words) => {
      const commands = await labelled(has);
      await vm.run(KEY);
      expect(chcons(commands)).toEqual([words, words]);
    },
  );

  it('a file keeps its own', async () => {
    const commands = await labelled(true);
    vm.write(FILE, OLD);
    await vm.run(KEY);
    expect(chcons(commands)).toEqual(['--reference=FD -- FD']);
    const copy = commands.find(([program = '']) => program.endsWith('/cp'));
    expect(copy?.slice(1, 4)).toEqual(['--attributes-only', '--preserve=mode,xattr', '--']);
  });

  it('that cannot be set are a warning', async () => {
    await make({
      exec: ([program = '']) => (program.endsWith('/cp') ? { exitCode: 1, stderr: 'no xattr' } : undefined),
    });
    vm.write(FILE, OLD);
    expect((await vm.run(KEY)).warning).toContain('could not be kept (cp failed with exit code 1: no xattr)');
  });
});
