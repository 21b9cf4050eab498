import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseSshKeys } from './ssh-key.ts';
import { encodePublicKey } from './ssh-wire.ts';

/** A key of a real `ssh-keygen`, made once. */
const RECORDED =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAzMYRvC786Z7+ifP4B/2pBgFge0pjQgM5IN+oQJzU+o alice@example';
const RECORDED_DATA = RECORDED.split(' ')[1] ?? '';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-access-keys-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Text of a public key that the real `ssh-keygen` has just made. */
function keygen(name: string, ...options: readonly string[]): string {
  const file = join(folder, name);
  execFileSync('ssh-keygen', ['-q', '-N', '', '-C', name, '-f', file, ...options]);
  return readFileSync(`${file}.pub`, 'utf8');
}

/** Text of a private key. */
function secretOf(name: string): string {
  keygen(name);
  return readFileSync(join(folder, name), 'utf8');
}

function openssl(...args: readonly string[]): string {
  return execFileSync('openssl', args, {
    encoding: 'utf8',
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

/** A key in the wire format, of these fields. */
function wire(...fields: readonly (string | Buffer)[]): string {
  const parts = fields.flatMap((field) => {
    const bytes = Buffer.from(field);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts).toString('base64');
}

const reasonOf = (text: string): string => {
  try {
    return `taken: ${parseSshKeys(text).map(({ line }) => line)}`;
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: 'SSH_KEY_INVALID' });
    return thrown instanceof Error ? thrown.message : '';
  }
};

const REFUSED: readonly (readonly [text: string, reason: string])[] = [
  ['', 'it is empty'],
  [' \n ', 'it is empty'],
  ['# only this', 'only comments'],
  ['hello', 'it is no public key'],
  ['ssh-rsa not!a!key', 'it is no public key'],
  ['ssh-ed25519', 'it is no public key'],
  [RECORDED.replace('ssh-ed', 'SSH-ED'), 'small letters: ssh-ed25519'],
  [RECORDED.replace('ssh-ed25519', 'ssh-rsa'), 'it says ssh-rsa, but the key is of another type'],
  [`ssh-ed25519 ${RECORDED_DATA.slice(0, 41)}`, 'base64 is damaged'],
  [`ssh-ed25519 ${RECORDED_DATA.slice(0, 40)}`, 'it ends in the middle'],
  [`${RECORDED}\nssh-ed25519 AAAA`, 'line 2: it ends in the middle'],
  [`ssh-ed25519 ${wire('ssh-ed25519', Buffer.alloc(31))}`, 'has not 32 bytes'],
  [`ssh-ed25519 ${wire('ssh-ed25519', Buffer.alloc(32), 'x')}`, 'bytes that do not belong to it'],
  [`ssh-dss ${wire('ssh-dss', 'p', 'q', 'g', 'y')}`, 'DSA key (ssh-dss), which no sshd takes any more'],
  [
    `ssh-rsa ${wire('ssh-rsa', Buffer.of(1, 0, 1), Buffer.alloc(96, 0x7f))}`,
    'has 767 bits, and sshd takes none below 1024',
  ],
  [
    `ssh-rsa ${wire('ssh-rsa', Buffer.of(1, 0, 1), Buffer.alloc(128, 0xff))}`,
    'not written as SSH writes them',
  ],
  [`ssh-rsa ${wire('ssh-rsa', Buffer.of(2), Buffer.alloc(256, 0x7f))}`, 'none of an RSA key'],
  [`ssh-rsa ${wire('ssh-rsa', Buffer.of(1, 0, 1), Buffer.alloc(3000, 0x7f))}`, 'and sshd reads 16384'],
  [
    `ecdsa-sha2-nistp256 ${wire('ecdsa-sha2-nistp256', 'nistp256', Buffer.alloc(65, 4))}`,
    'does not lie on nistp256',
  ],
  [
    `ecdsa-sha2-nistp256 ${wire('ecdsa-sha2-nistp256', 'nistp384', Buffer.alloc(65, 4))}`,
    'curve is not that of its type',
  ],
  [
    `ecdsa-sha2-nistp256 ${wire('ecdsa-sha2-nistp256', 'nistp256', Buffer.alloc(33, 2))}`,
    'no uncompressed point',
  ],
  [`ssh-xmss@openssh.com ${wire('ssh-xmss@openssh.com', 'x')}`, 'its type is none of'],
  [
    `sk-ssh-ed25519@openssh.com ${wire('sk-ssh-ed25519@openssh.com', Buffer.alloc(32), '')}`,
    'the application',
  ],
  [`comand="x" ${RECORDED}`, "does not know its option 'comand'"],
  [`command=x ${RECORDED}`, "its option 'command'"],
  [`restrict="x" ${RECORDED}`, "its option 'restrict'"],
  [`pty,,restrict ${RECORDED}`, 'does not know its option'],
  [`${RECORDED} \u0007`, 'control characters'],
  [`${RECORDED} \u0085x`, 'control characters'],
  [`${RECORDED}${'x'.repeat(9_000)}`, 'more than 8192 characters'],
  [`${RECORDED}\n`.repeat(101), '101 lines, 100 are allowed'],
  ['x'.repeat(300_000), 'more than 262144 characters'],
];

describe('a key line', () => {
  it.each([
    ['ed25519', ['-t', 'ed25519'], 256],
    ['rsa1024', ['-t', 'rsa', '-b', '1024'], 1024],
    ['rsa2048', ['-t', 'rsa', '-b', '2048'], 2048],
    ['p256', ['-t', 'ecdsa', '-b', '256'], 256],
    ['p384', ['-t', 'ecdsa', '-b', '384'], 384],
    ['p521', ['-t', 'ecdsa', '-b', '521'], 521],
  ] as const)('of ssh-keygen is taken as it is, with its fingerprint: %s (W27)', (name, options, bits) => {
    const text = keygen(name, ...options);
    const [key] = parseSshKeys(text);
    expect(key).toMatchObject({ line: text.trim(), bits, comment: name, options: '' });
    const listed = execFileSync('ssh-keygen', ['-l', '-f', join(folder, `${name}.pub`)], {
      encoding: 'utf8',
    });
    expect(listed.split(' ').slice(0, 2)).toEqual([String(bits), key?.fingerprint]);
  });

  it.each(['ed25519', 'ecdsa'])('of a security key is taken: %s (W27)', (kind) => {
    const raw = Buffer.from(RECORDED_DATA, 'base64').subarray(-32);
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const point = encodePublicKey(publicKey).subarray(-65);
    const line =
      kind === 'ed25519'
        ? `sk-ssh-ed25519@openssh.com ${wire('sk-ssh-ed25519@openssh.com', raw, 'ssh:')} sk`
        : `sk-ecdsa-sha2-nistp256@openssh.com ${wire('sk-ecdsa-sha2-nistp256@openssh.com', 'nistp256', point, 'ssh:')} sk`;
    expect(parseSshKeys(line).map((key) => key.line)).toEqual([line]);
    const listed = execFileSync('ssh-keygen', ['-l', '-f', '-'], { encoding: 'utf8', input: line });
    expect(listed).toContain(parseSshKeys(line)[0]?.fingerprint);
  });

  it('comes with options, comments, Windows line ends and a byte order mark; each key once', () => {
    const options = 'from="10.0.0.0/8,192.0.2.1",command="echo \\"a b\\", c",no-PTY';
    const text = `\uFEFF# mine\r\n${RECORDED}\r\n\r\n${options} ${RECORDED} two\r\n${RECORDED} again\r\n`;
    expect(parseSshKeys(text).map((key) => [key.options, key.comment])).toEqual([
      ['', 'alice@example again'],
      [options, 'alice@example two'],
    ]);
  });

  it.each(REFUSED.map(([text, reason]) => [reason, text] as const))(
    'is refused: %s (W27)',
    (reason, text) => {
      expect(reasonOf(text)).toContain(reason);
    },
  );

  it('of an OpenSSH certificate is refused: sshd does not look for it there', () => {
    keygen('authority', '-t', 'ed25519');
    keygen('user', '-t', 'ed25519');
    execFileSync('ssh-keygen', ['-q', '-s', 'authority', '-I', 'id', '-n', 'alice', 'user.pub'], {
      cwd: folder,
    });
    expect(reasonOf(readFileSync(join(folder, 'user-cert.pub'), 'utf8'))).toContain('TrustedUserCAKeys');
  });
});

describe('a private key', () => {
  it.each([
    ['of OpenSSH', () => secretOf('secret1')],
    ['in PEM', () => openssl('genpkey', '-algorithm', 'ed25519')],
    [
      'behind a certificate',
      () => `${certificate('rsa:1024')}\n${openssl('genpkey', '-algorithm', 'ed25519')}`,
    ],
    ['of PuTTY', () => 'PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\ncanary'],
    ['without its markers', () => secretOf('secret2').replace(/---.*---/g, '')],
  ])('%s is refused and shown nowhere (W28)', (_, make) => {
    const text = make();
    const reason = reasonOf(text);
    expect(reason).toContain('it holds a private key');
    for (const word of text.split(/\s+/).filter((part) => part.length > 20))
      expect(reason).not.toContain(word);
  });
});

function certificate(kind: string, ...options: readonly string[]): string {
  const file = `${kind.replace(/\W/g, '')}.pem`;
  return openssl(
    'req',
    '-x509',
    '-nodes',
    '-newkey',
    kind,
    '-keyout',
    file,
    '-subj',
    '/CN=x',
    '-days',
    '1',
    ...options,
  );
}

describe('other forms', () => {
  it.each(['ed25519', 'rsa', 'ecdsa'])('SSH2: %s', (kind) => {
    const text = keygen(`ssh2-${kind}`, '-t', kind, ...(kind === 'rsa' ? ['-b', '1024'] : []));
    const ssh2 = execFileSync('ssh-keygen', ['-e', '-f', `ssh2-${kind}.pub`], {
      cwd: folder,
      encoding: 'utf8',
    });
    const [key] = parseSshKeys(ssh2);
    expect(`${key?.type} ${key?.data}`).toBe(text.split(' ').slice(0, 2).join(' '));
    expect(key?.comment).toContain(', converted by ');
    expect(parseSshKeys(ssh2.replaceAll('\n', '\r\n'))[0]?.data).toBe(key?.data);
  });

  it('SSH2 with headers that go on in the next line', () => {
    const text = `---- BEGIN SSH2 PUBLIC KEY ----\nSubject: me\nComment: "a \\\nb"\nx-tag: \\\nlong\n${RECORDED_DATA}\n---- END SSH2 PUBLIC KEY ----\n`;
    expect(parseSshKeys(text).map(({ line }) => line)).toEqual([`ssh-ed25519 ${RECORDED_DATA} a b`]);
  });

  it.each([
    ['PKCS8', 'BEGIN PUBLIC KEY'],
    ['PEM', 'BEGIN RSA PUBLIC KEY'],
  ])('PEM: %s', (format, marker) => {
    const text = keygen(`pem-${format}`, '-t', 'rsa', '-b', '1024');
    const pem = execFileSync('ssh-keygen', ['-e', '-m', format, '-f', `pem-${format}.pub`], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(pem).toContain(marker);
    const expected = text.split(' ').slice(0, 2).join(' ');
    expect(parseSshKeys(pem).map(({ line }) => line)).toEqual([expected]);
    expect(parseSshKeys(pem.replaceAll('\n', ' ')).map(({ line }) => line)).toEqual([expected]);
    expect(parseSshKeys(pem.replaceAll('\n', '\\n')).map(({ line }) => line)).toEqual([expected]);
  });

  it.each([
    ['rsa:1024', 'ssh-rsa'],
    ['ed25519', 'ssh-ed25519'],
  ])('an X.509 certificate with %s, also with text around it or without its markers', (kind, type) => {
    const pem = certificate(kind);
    const publicKey = openssl('pkey', '-in', `${kind.replace(/\W/g, '')}.pem`, '-pubout');
    const [key] = parseSshKeys(pem);
    expect(key?.type).toBe(type);
    expect(parseSshKeys(publicKey)).toEqual([key]);
    expect(parseSshKeys(`Bag Attributes\n  friendlyName: x\n${pem}\n`)).toEqual([key]);
    expect(parseSshKeys(pem.replace(/---.*---/g, ''))).toEqual([key]);
  });

  it.each(['P-256', 'P-384', 'P-521'])('an X.509 certificate with %s', (curve) => {
    const pem = certificate('ec', '-pkeyopt', `ec_paramgen_curve:${curve}`);
    expect(parseSshKeys(pem)[0]?.type).toBe(`ecdsa-sha2-nistp${curve.slice(2)}`);
  });

  it.each<[string, () => string, string]>([
    ['two certificates', () => certificate('rsa:1024').repeat(2), 'it holds 2 PEM blocks'],
    [
      'a request',
      () => openssl('req', '-new', '-nodes', '-newkey', 'rsa:1024', '-keyout', 'q', '-subj', '/CN=x'),
      'is no public key and no X.509 certificate',
    ],
    ['a cut certificate', () => certificate('rsa:1024').slice(0, 300), 'its PEM is damaged'],
    [
      'a broken certificate',
      () => certificate('rsa:1024').replace(/MI.{30}/, (text) => text.toLowerCase()),
      'cannot be read',
    ],
    ['a weak certificate', () => certificate('rsa:768'), 'has 768 bits'],
    [
      'a curve of others',
      () =>
        openssl(
          'req',
          '-x509',
          '-nodes',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:secp256k1',
          '-keyout',
          'k',
          '-subj',
          '/CN=x',
        ),
      'SSH knows no such kind',
    ],
    ['Ed448', () => certificate('ed448'), 'SSH knows no such kind'],
    ['bare base64 of something', () => 'MIIBCgKCAQEAk6Rr', 'cannot be read'],
    ['SSH2 without an end', () => '---- BEGIN SSH2 PUBLIC KEY ----\nAAAA', 'no end marker'],
    [
      'SSH2 with damage',
      () => '---- BEGIN SSH2 PUBLIC KEY ----\nAA!A\n---- END SSH2 PUBLIC KEY ----',
      'is damaged',
    ],
    [
      'SSH2 twice',
      () => '---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n'.repeat(2),
      'one key at a time',
    ],
  ])('%s is refused with the reason', (_, make, reason) => {
    expect(reasonOf(make())).toContain(reason);
  });
});
