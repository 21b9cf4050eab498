/** What VM Access needs of other programs on a real system, and what it hands to them and leaves on the disk: no secret. */
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { useAccessVm } from './access-vm.ts';
import { findRoot } from './roots.ts';

const root = await findRoot('bookworm');
const PASSWORD = 'canary-Password-8c1f';
/** Every program of the system that VM Access could call in this run. */
const PROGRAMS =
  'useradd usermod userdel chpasswd passwd chage getent visudo sudo sshd ssh-keygen service id pkill';

/** Puts a script in the place of each, which writes down its arguments and its environment and becomes the program. */
const TRACE = `
for name in "$@"; do
  program=$(command -v "$name") || continue
  program=$(readlink -f "$program")
  [ -e "$program.traced" ] && continue
  mv "$program" "$program.traced"
  printf '%s\\n' '#!/bin/sh' 'cat "/proc/$$/cmdline" "/proc/$$/environ" >>/run/trace' "exec $program.traced \\"\\$@\\"" >"$program"
  chmod 755 "$program"
done
`;

describe.skipIf(root.reason !== undefined)(`other programs on ${root.title}`, () => {
  const vm = useAccessVm(root, () => inject('vmAccessZip'));
  let key = '';
  beforeAll(async () => {
    await vm.startSshd();
    await vm.get('mkdir -m 700 /run/keys; ssh-keygen -q -N "" -t ed25519 -C alice -f /run/keys/alice');
    key = await vm.get('cat /run/keys/alice.pub');
    await vm.get(TRACE, ...PROGRAMS.split(' '));
  });

  it('need not be a Python, of which this system has none (W10)', async () => {
    expect(await vm.get('command -v python python2 python3 || true')).toBe('');
    const { level, message } = await vm.set({ public: { check_disk: true } });
    expect([level, message]).toEqual(['Info', expect.stringContaining('Enable succeeded')]);
  });

  it('get no secret in an argument or the environment, and the password is in no file (W19)', async () => {
    const { level, message } = await vm.set({
      protected: { username: 'alice', password: PASSWORD, ssh_key: key },
    });
    expect(message).toContain('Enable succeeded');
    expect(level).toBe('Info');
    const trace = await vm.get('tr "\\0" "\\n" </run/trace');
    expect(trace).toMatch(/^\/usr\/sbin\/chpasswd$/m);
    expect(trace).not.toMatch(/canary|\$y\$|\$6\$/);
    expect(trace).not.toContain(key.split(' ')[1]);
    const { stdout } = await vm.exec('grep -rlI --exclude-dir=proc --exclude-dir=sys canary / 2>/dev/null');
    expect(stdout).toBe('');
  });

  it('get none either in a run that fails, and leave none behind', async () => {
    await vm.get('printf "#!/bin/sh\\nexit 1\\n" >"$(command -v chpasswd)"');
    const { level } = await vm.set({ protected: { username: 'bob', password: `${PASSWORD}-2` } });
    expect(level).toBe('Error');
    expect((await vm.exec('getent passwd bob')).exitCode).toBe(2);
    expect(await vm.get('tr "\\0" "\\n" </run/trace')).not.toContain('canary');
    const { stdout } = await vm.exec('grep -rlI --exclude-dir=proc --exclude-dir=sys canary / 2>/dev/null');
    expect(stdout).toBe('');
  });
});
