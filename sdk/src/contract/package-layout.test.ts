import { describe, expect, it } from 'vitest';
import {
  compareVersions,
  formatCertificateFiles,
  formatCommandLogFile,
  formatHandlerFolder,
  formatHandlerName,
  formatHandlerStateFile,
  formatPackageFile,
  formatSequenceFile,
  formatSettingsFile,
  formatStatusFile,
  isVersion,
  parseHandlerFolder,
  parseSettingsFile,
  parseStatusFile,
} from './package-layout.ts';

describe('names', () => {
  it('are those of the agent', () => {
    const name = formatHandlerName('Contoso.Samples', 'Greeter');
    expect(name).toBe('Contoso.Samples.Greeter');
    expect(formatHandlerFolder(name, '1.2.3')).toBe('Contoso.Samples.Greeter-1.2.3');
    expect(formatPackageFile(name, '1.2.3')).toBe('Contoso.Samples.Greeter__1.2.3.zip');
    expect([formatSettingsFile(0), formatSettingsFile(7, 'first')]).toEqual([
      '0.settings',
      'first.7.settings',
    ]);
    expect([formatStatusFile(0), formatStatusFile(7, 'first')]).toEqual(['0.status', 'first.7.status']);
    expect([formatSequenceFile(), formatSequenceFile('first')]).toEqual(['mrseq', 'first.mrseq']);
    expect([formatHandlerStateFile(), formatHandlerStateFile('first')]).toEqual([
      'HandlerState',
      'first.HandlerState',
    ]);
    expect([formatCommandLogFile(), formatCommandLogFile('$&')]).toEqual([
      'CommandExecution.log',
      'CommandExecution_$&.log',
    ]);
    expect(formatCertificateFiles('AB')).toEqual({ certificate: 'AB.crt', privateKey: 'AB.prv' });
  });
});

describe('parseHandlerFolder', () => {
  it.each([
    ['Contoso.Samples.Greeter-1.2.3', 'Contoso.Samples.Greeter', '1.2.3'],
    ['a-b-1.0', 'a-b', '1.0'],
    ['a-1', 'a', '1'],
    ['a-1.2.3.alpha1', 'a', '1.2.3.alpha1'],
    ['a-1.2-3', 'a-1.2', '3'],
  ])('splits %s at the last hyphen', (folder, handlerName, version) => {
    expect(parseHandlerFolder(folder)).toEqual({ handlerName, version });
  });

  it.each([
    ['Greeter', 'no hyphen'],
    ['-1.0', 'no name'],
    ['-a-1.0', 'a hyphen at the beginning'],
    ['a-', 'no version'],
    ['a-1.2.3-alpha1', 'a pre-release after a hyphen: the last hyphen is there'],
    ['a-v1', 'a letter before the version'],
    ['Contoso.Samples.Greeter.data', 'the data folder of an extension'],
    ['WALinuxAgent-2.15.0.1', 'a folder of the agent itself'],
    ['', 'nothing'],
  ])('ignores %j: %s', (folder) => {
    expect(parseHandlerFolder(folder)).toBeUndefined();
  });
});

describe('parseSettingsFile and parseStatusFile', () => {
  it.each([
    ['7', 7, undefined],
    ['0', 0, undefined],
    ['first.7', 7, 'first'],
    ['my-config.7', 7, 'my-config'],
    ['a.b.7', 7, 'a.b'],
    ['1.7', 7, '1'],
  ])('read %s', (stem, sequence, extensionName) => {
    expect(parseSettingsFile(`${stem}.settings`)).toEqual({ sequence, extensionName });
    expect(parseStatusFile(`${stem}.status`)).toEqual({ sequence, extensionName });
  });

  it.each([
    ['.settings', 'no number'],
    ['x.settings', 'a word'],
    ['-1.settings', 'a negative number'],
    ['.7.settings', 'an empty name: a temporary file'],
    ['7.settings.tmp', 'a temporary file'],
    ['7.status', 'another kind'],
    [`${'9'.repeat(16)}.settings`, 'a number that no sequence has'],
    ['7.Settings', 'another case'],
  ])('ignore %s: %s', (file) => {
    expect(parseSettingsFile(file)).toBeUndefined();
  });
});

describe('isVersion', () => {
  it.each(['1', '1.0', '1.2.3.4.5', '1.2.3alpha', '1.2.3-beta2', '1.2.3.rc1', '99999999999999999999'])(
    'accepts %s',
    (text) => {
      expect(isVersion(text)).toBe(true);
    },
  );

  it.each([
    '',
    'x',
    'v1',
    '1.',
    '.1',
    '1..2',
    '1-2',
    '1.2.3gamma1',
    '1.2.3alpha.1',
    '1.2.3ALPHA',
    '1 ',
    '1\n',
    '-1',
  ])('refuses %j', (text) => {
    expect(isVersion(text)).toBe(false);
  });
});

describe('compareVersions', () => {
  it('orders as the agent does', () => {
    const ascending = [
      '0.9',
      '1.0.0.alpha',
      '1.0alpha1',
      '1.0-alpha2',
      '1.0alpha10',
      '1.0beta1',
      '1.0rc1',
      '1.0',
      '1.0.0.1',
      '1.2',
      '1.10',
      '2',
      '99999999999999999998.1',
      '99999999999999999999.1',
    ];
    for (const [i, a] of ascending.entries()) {
      for (const [j, b] of ascending.entries()) {
        expect([a, b, Math.sign(compareVersions(a, b))]).toEqual([a, b, Math.sign(i - j)]);
      }
    }
  });

  it.each([
    ['1.0', '1.0.0'],
    ['1', '1.0.0.0'],
    ['1.0rc1', '1.0.0-rc1'],
    ['01.2', '1.2'],
  ])('takes %s and %s for the same', (a, b) => {
    expect(compareVersions(a, b)).toBe(0);
    expect(compareVersions(b, a)).toBe(0);
  });
});
