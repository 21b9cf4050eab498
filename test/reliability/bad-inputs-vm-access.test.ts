/**
 * B VMAccess: user names, passwords, keys, dates and disks that must be refused before anything is touched, given to the packed
 * extension as root of namespaces in which /etc is a copy and homes and mail are empty, so that this machine could not be changed.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, inject, it } from 'vitest';
import { unpackPackage } from '../unpacked-handler.ts';
import type { BadInput } from './bad-input-runs.ts';
import { INPUT_CANARY, tryInputs } from './bad-input-runs.ts';

const PASSWORD = `${INPUT_CANARY}-Pa55`;
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl';
const hidden = (name: string, settings: unknown, refusal: RegExp): BadInput => ({
  name,
  refusal,
  lay: (handler) => handler.writeSettings(0, { protected: settings }),
});
const user = (username: string, refusal: RegExp): BadInput =>
  hidden(`the user ${JSON.stringify(username)}`, { username, password: PASSWORD }, refusal);
const password = (value: string, refusal: RegExp): BadInput =>
  hidden(
    `the password ${JSON.stringify(value.slice(0, 30))}`,
    { username: 'hk-nobody', password: value },
    refusal,
  );
const key = (name: string, text: string, refusal: RegExp): BadInput =>
  hidden(`a key: ${name}`, { username: 'hk-nobody', ssh_key: text }, refusal);
const expiration = (value: string, refusal: RegExp): BadInput =>
  hidden(
    `the expiration ${value}`,
    { username: 'hk-nobody', password: PASSWORD, expiration: value },
    refusal,
  );
const removal = (name: string, refusal: RegExp): BadInput =>
  hidden(`the removal of ${name}`, { remove_user: name }, refusal);
const disk = (name: string): BadInput => ({
  name: `the disk ${name}`,
  refusal: /disk|mount/,
  lay: (handler) => handler.writeSettings(0, { public: { repair_disk: true, disk_name: name } }),
});
const NAME = /user ?name|account/i;
const NO_LINE = /holds a line break or another character that no password can have/;
const NO_DATE = /expiration: is no date; write YYYY-MM-DD/;
const NO_KEY = /key/i;
const pem = (label: string): string =>
  `-----BEGIN ${label}-----\n${INPUT_CANARY}AAAA\n-----END ${label}-----\n`;

const INPUTS: readonly BadInput[] = [
  ...[
    '-rf',
    '--help',
    '..',
    'a/b',
    '$(id)',
    '`id`',
    'a;id',
    'a b',
    'a\nroot',
    'root:x',
    '%admin',
    'ALL',
    'hk$',
  ].map((name) => user(name, NAME)),
  ...['n'.repeat(33), 'm\u00fcller', '\u0430lice', '\u202eecila', 'a\0', '1000', '+x', '#0'].map((name) =>
    user(name, NAME),
  ),
  ...['daemon', 'nobody', 'sys'].map((name) => user(name, /account|user/i)),
  hidden('no user', { username: '', password: PASSWORD }, /needs `username`/),
  hidden('a user in a list', { username: ['root'], password: PASSWORD }, /username: must be a text/),
  password('', /password: is empty/),
  password(`${PASSWORD}\nroot:${INPUT_CANARY}`, NO_LINE),
  password(`${PASSWORD}\0`, NO_LINE),
  password(`${PASSWORD}\r`, NO_LINE),
  password(`${PASSWORD}\ud800`, NO_LINE),
  password(PASSWORD.repeat(50_000), /is longer than 511 bytes/),
  key('a private one', pem('OPENSSH PRIVATE KEY'), /private key/i),
  key('a private one of PEM', pem('RSA PRIVATE KEY'), /private key/i),
  key('a second line that is none', `${KEY} x\n${INPUT_CANARY}`, NO_KEY),
  key('100 KB of something', `ssh-rsa ${'A'.repeat(100_000)}`, NO_KEY),
  key('of another type than it says', KEY.replace('ssh-ed25519', 'ssh-rsa'), NO_KEY),
  key('cut off', KEY.slice(0, -20), NO_KEY),
  key('a certificate that is none', pem('CERTIFICATE'), NO_KEY),
  key('SSH2 without an end', `---- BEGIN SSH2 PUBLIC KEY ----\n${INPUT_CANARY}`, NO_KEY),
  ...['2024-02-30', 'never', '-e 2030-12-31', '2030-12-31; id', '31.12.2030'].map((date) =>
    expiration(date, NO_DATE),
  ),
  expiration('2020-01-01', /not in the future/),
  removal('root', /root|account|user/i),
  removal('daemon', /account|user/i),
  removal('hk-not-there', /hk-not-there|user|account/i),
  removal('../root', NAME),
  removal('-r', NAME),
  ...['../', '../../etc', ';id', '-o loop', '$(id)', 'a\nb', '/'].map(disk),
];

/** `$1` is a folder of the test's own; the rest is what runs. */
const ISOLATED = `
mount --make-rprivate /
mount --bind "$1/etc" /etc
for folder in /home /srv /var/mail /var/spool; do [ ! -d $folder ] || mount -t tmpfs tmpfs $folder; done
shift
exec python3 -c "$REAP" "$@"
`;
/** The first process of the namespace, with which it ends: waits for what a detached enable leaves, too. */
const REAP = `
import os, sys
first = os.fork()
if first == 0: os.execvp(sys.argv[1], sys.argv[1:])
code = 1
while True:
    try: pid, status = os.wait()
    except ChildProcessError: sys.exit(code)
    if pid == first: code = os.waitstatus_to_exitcode(status) % 256
`;
const UNSHARE = ['unshare', '--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
const canIsolate = (() => {
  try {
    execFileSync(UNSHARE[0] ?? '', [...UNSHARE.slice(1), 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

it.skipIf(!canIsolate)(
  'B VMAccess: what could be read as something else is refused before anything is touched, and no secret is shown',
  async () => {
    const unpacked = unpackPackage(inject('vmAccessZip'));
    const folder = mkdtempSync(join(tmpdir(), 'handlerkit-bad-access-'));
    const state = (): string =>
      execFileSync('sh', [
        '-c',
        'cd "$1" && find . -printf "%p %m %U %G %l %T@\\n" | sort && find . -type f -exec sha256sum {} + | sort',
        'sh',
        join(folder, 'etc'),
      ]).toString();
    try {
      execFileSync('cp', ['-a', '/etc', folder]);
      const before = state();
      const wrapper = [...UNSHARE, 'sh', '-ec', `REAP='${REAP}'${ISOLATED}`, 'sh', folder];
      const tried = await tryInputs(unpacked, INPUTS, { wrapper });
      expect(tried.filter(({ broken }) => broken.length > 0)).toEqual([]);
      expect(state()).toBe(before);
    } finally {
      rmSync(folder, { recursive: true, force: true });
      unpacked.remove();
    }
  },
);
