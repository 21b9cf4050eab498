import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseOsRelease, readDistribution, requireDistribution } from './distribution.ts';
import type { Host } from './host.ts';
import { createHost } from './host.ts';

let root: string;
let host: Host;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-distribution-'));
  host = { ...createHost({}), root, path: (absolute) => join(root, absolute) };
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const write = (file: string, ...lines: readonly string[]): void => {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), lines.map((line) => `${line}\n`).join(''));
};
const describeAs = (...lines: readonly string[]): void => write('/etc/os-release', ...lines);

describe('the distribution', () => {
  it.each([
    [
      'Debian 11',
      ['PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"', 'VERSION_ID="11"', 'ID=debian'],
      'debian',
      '11',
      'apt',
    ],
    ['Debian 12', ['VERSION_ID="12"', 'VERSION_CODENAME=bookworm', 'ID=debian'], 'debian', '12', 'apt'],
    ['Debian 13', ['VERSION_ID="13"', 'DEBIAN_VERSION_FULL=13.1', 'ID=debian'], 'debian', '13', 'apt'],
    ['Debian testing', ['PRETTY_NAME="Debian GNU/Linux forky/sid"', 'ID=debian'], 'debian', undefined, 'apt'],
    ['Ubuntu 18.04', ['ID=ubuntu', 'ID_LIKE=debian', 'VERSION_ID="18.04"'], 'ubuntu', '18.04', 'apt'],
    ['Ubuntu 20.04', ['ID=ubuntu', 'ID_LIKE=debian', 'VERSION_ID="20.04"'], 'ubuntu', '20.04', 'apt'],
    ['Ubuntu 22.04', ['VERSION_ID="22.04"', 'ID=ubuntu', 'ID_LIKE=debian'], 'ubuntu', '22.04', 'apt'],
    ['Ubuntu 24.04', ['VERSION_ID="24.04"', 'ID=ubuntu', 'ID_LIKE=debian'], 'ubuntu', '24.04', 'apt'],
    ['RHEL 7', ['ID="rhel"', 'ID_LIKE="fedora"', 'VERSION_ID="7.9"'], 'rhel', '7.9', 'yum'],
    ['RHEL 8', ['ID="rhel"', 'ID_LIKE="fedora"', 'VERSION_ID="8.10"'], 'rhel', '8.10', 'dnf'],
    ['RHEL 9', ['ID="rhel"', 'ID_LIKE="fedora"', 'VERSION_ID="9.4"'], 'rhel', '9.4', 'dnf'],
    ['CentOS 7', ['ID="centos"', 'ID_LIKE="rhel fedora"', 'VERSION_ID="7"'], 'centos', '7', 'yum'],
    [
      'AlmaLinux',
      ['ID="almalinux"', 'ID_LIKE="rhel centos fedora"', 'VERSION_ID="9.4"'],
      'almalinux',
      '9.4',
      'dnf',
    ],
    [
      'Rocky Linux',
      ['ID="rocky"', 'ID_LIKE="rhel centos fedora"', 'VERSION_ID="8.9"'],
      'rocky',
      '8.9',
      'dnf',
    ],
    ['Oracle Linux', ['ID="ol"', 'ID_LIKE="fedora"', 'VERSION_ID="9.3"'], 'ol', '9.3', 'dnf'],
    ['Oracle Linux 7', ['ID="ol"', 'ID_LIKE="fedora"', 'VERSION_ID="7.9"'], 'ol', '7.9', 'yum'],
    ['Fedora', ['ID=fedora', 'VERSION_ID=41', 'VERSION_CODENAME=""'], 'fedora', '41', 'dnf'],
    ['SLES 15', ['ID="sles"', 'ID_LIKE="suse"', 'VERSION_ID="15.5"'], 'sles', '15.5', 'zypper'],
    ['SLES for SAP', ['ID="sles_sap"', 'VERSION_ID="15.5"'], 'sles_sap', '15.5', 'zypper'],
    [
      'openSUSE',
      ['ID="opensuse-leap"', 'ID_LIKE="suse opensuse"', 'VERSION_ID="15.6"'],
      'opensuse-leap',
      '15.6',
      'zypper',
    ],
    ['Azure Linux 3', ['ID=azurelinux', 'VERSION_ID="3.0"'], 'azurelinux', '3.0', 'tdnf'],
    ['Mariner 2', ['ID=mariner', 'VERSION_ID="2.0"'], 'mariner', '2.0', 'tdnf'],
    ['Flatcar', ['ID=flatcar', 'ID_LIKE=coreos', 'VERSION_ID=3975.2.1'], 'flatcar', '3975.2.1', undefined],
    ['Arch Linux', ['ID=arch', 'BUILD_ID=rolling'], 'arch', undefined, undefined],
  ])(
    'of %s is told with its version and package manager',
    async (_, lines, id, versionId, packageManager) => {
      describeAs(...lines);
      expect(await readDistribution(host)).toMatchObject({ id, versionId, packageManager });
    },
  );

  it('is told in full', async () => {
    describeAs(
      'PRETTY_NAME="Ubuntu 22.04.4 LTS"',
      'NAME="Ubuntu"',
      'VERSION_ID="22.04"',
      'VERSION_CODENAME=jammy',
      'ID=ubuntu',
      'ID_LIKE="debian  other"',
    );
    expect(await readDistribution(host)).toEqual({
      id: 'ubuntu',
      idLike: ['debian', 'other'],
      versionId: '22.04',
      codename: 'jammy',
      name: 'Ubuntu 22.04.4 LTS',
      packageManager: 'apt',
    });
  });

  it('comes from /usr/lib where /etc says nothing, and from /etc where both do', async () => {
    write('/usr/lib/os-release', 'ID=fedora', 'VERSION_ID=40');
    expect(await readDistribution(host)).toMatchObject({ id: 'fedora' });
    describeAs('ID=debian');
    expect(await readDistribution(host)).toMatchObject({ id: 'debian', versionId: undefined });
  });

  it('comes from /usr/lib where /etc/os-release is no file', async () => {
    mkdirSync(join(root, 'etc/os-release'), { recursive: true });
    write('/usr/lib/os-release', 'ID=fedora', 'VERSION_ID=40');
    expect(await readDistribution(host)).toMatchObject({ id: 'fedora', versionId: '40' });
  });

  it.each<[string | undefined, string]>([
    [undefined, 'no file'],
    ['', 'an empty file'],
    ['\0\u0001\ufffd<html>', 'no os-release at all'],
    ['ID="deb', 'a quote that stays open'],
    ['ID=', 'an empty value'],
    ['NAME = "Debian"\nID : debian', 'no assignments'],
  ])('%# is unknown Linux, and no error: %s', async (text) => {
    if (text !== undefined) describeAs(text);
    expect(await readDistribution(host)).toEqual({
      id: 'linux',
      idLike: [],
      versionId: undefined,
      codename: undefined,
      name: 'Linux',
      packageManager: undefined,
    });
  });

  it('has no package manager where the root is an image', async () => {
    describeAs('ID=fedora', 'VERSION_ID=41', 'VARIANT_ID=coreos');
    write('/run/ostree-booted');
    expect(await readDistribution(host)).toMatchObject({ id: 'fedora', packageManager: undefined });
  });
});

describe('a value of os-release', () => {
  it.each<[string, string | undefined, string]>([
    ['plain', 'plain', 'no quotes'],
    ['"two words"', 'two words', 'double quotes'],
    ["'two words'", 'two words', 'single quotes'],
    ['"a \\"b\\" \\$c \\\\ \\`d\\`"', 'a "b" $c \\ `d`', 'the four escapes within double quotes'],
    ['"a\\nb"', 'a\\nb', 'a backslash that escapes nothing within double quotes'],
    ["'a\\\\b'", 'a\\\\b', 'backslashes within single quotes'],
    ['a\\ b', 'a b', 'a space that is escaped'],
    ['"$HOME `id`"', '$HOME `id`', 'what a shell would expand'],
    ['plain # comment', 'plain', 'text after a space'],
    ['"it\'s"', "it's", 'the other quote'],
    ['"ab"\'cd\'', 'abcd', 'two quoted parts'],
    ['"a=b"', 'a=b', 'an equals sign'],
    ['"open', undefined, 'a quote that stays open'],
    ['"open\\"', undefined, 'a quote that only an escaped one ends'],
    ['""', undefined, 'nothing'],
  ])('%s is %s (%s)', (raw, value) => {
    expect(parseOsRelease(`KEY=${raw}\n`).get('KEY')).toBe(value);
  });

  it('is the last one of its key, in lines of either ending, after comments and a byte order mark', () => {
    const fields = parseOsRelease('\uFEFFID=one\r\n# ID=two\r\n\r\n  VERSION_ID="3"\r\nID=four\r\n');
    expect([...fields]).toEqual([
      ['ID', 'four'],
      ['VERSION_ID', '3'],
    ]);
  });
});

describe('a supported distribution', () => {
  it.each([
    ['ubuntu', '20.04', { id: 'ubuntu' }, true],
    ['ubuntu', '20.04', { id: 'ubuntu', from: '20.04' }, true],
    ['ubuntu', '20.04.6', { id: 'ubuntu', from: '20.04' }, true],
    ['ubuntu', '18.04', { id: 'ubuntu', from: '20.04' }, false],
    ['ubuntu', '24.04', { id: 'ubuntu', from: '20.04', below: '24.04' }, false],
    ['ubuntu', '23.10', { id: 'ubuntu', from: '20.04', below: '24.04' }, true],
    ['rhel', '8.10', { id: 'rhel', from: '8.9' }, true],
    ['rhel', '8.10', { id: 'rhel', below: '8.9' }, false],
    ['rhel', '10.0', { id: 'rhel', below: '9' }, false],
    ['rhel', '8', { id: 'rhel', from: '8.0' }, true],
    ['debian', undefined, { id: 'debian' }, true],
    ['debian', undefined, { id: 'debian', from: '11' }, false],
    ['almalinux', '9.4', { id: 'rhel', from: '9' }, false],
  ])('%s %s within %j: %s', async (id, version, row, expected) => {
    describeAs(`ID=${id}`, ...(version === undefined ? [] : [`VERSION_ID="${version}"`]));
    const outcome = await requireDistribution(host, [{ id: 'other' }, row]).catch(
      (thrown: unknown) => thrown,
    );
    expect(outcome).toMatchObject(expected ? { id } : { code: 'UNSUPPORTED_SYSTEM', exitCode: 51 });
  });

  it('that is another one ends with what was found and what is supported', async () => {
    describeAs('PRETTY_NAME="Ubuntu 16.04.7 LTS"', 'ID=ubuntu', 'VERSION_ID="16.04"');
    const supported = [
      { id: 'ubuntu', from: '20.04', below: '26.04' },
      { id: 'debian', from: '11' },
      { id: 'sles' },
    ];
    await expect(requireDistribution(host, supported)).rejects.toMatchObject({
      code: 'UNSUPPORTED_SYSTEM',
      statusCode: 51,
      message:
        'this extension does not support Ubuntu 16.04.7 LTS (ubuntu 16.04); it supports ' +
        'ubuntu from 20.04 below 26.04, debian from 11, sles; use a VM image of one of these',
    });
  });

  it('shows what a broken machine says in one short line', async () => {
    describeAs(`NAME="\u001b[31m${'x'.repeat(5_000)}"`, 'ID="\u0007"');
    const error = await requireDistribution(host, [{ id: 'debian' }]).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ message: expect.stringMatching(/^[ -~…]{1,300}$/) });
  });

  it('with a limit that is no version is the fault of the extension, on every machine', async () => {
    describeAs('ID=debian', 'VERSION_ID="12"');
    await expect(
      requireDistribution(host, [{ id: 'debian' }, { id: 'ubuntu', from: 'jammy' }]),
    ).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining('jammy') });
  });
});
