/**
 * B Symlink: links, pipes, devices and folders where a packed handler keeps its files. Nothing outside is written, nothing hangs, and
 * the error names the path.
 */
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatCertificateFiles, formatSequenceFile } from '@handlerkit/sdk/contract';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { unpackPackage } from '../unpacked-handler.ts';
import type { BadInput } from './bad-input-runs.ts';
import { tryInputs } from './bad-input-runs.ts';

let unpacked: UnpackedPackage;
beforeAll(() => {
  unpacked = unpackPackage(inject('probeZip'));
});
afterAll(() => unpacked.remove());

const UNTOUCHED = 'somebody else’s';
const victim = (handler: LaidOutHandler): string => join(handler.libFolder, 'victim');
type PathOf = (handler: LaidOutHandler) => string;

/** What stands in place of a file. */
const KINDS = {
  'a link': (path: string, target: string) => symlinkSync(target, path),
  'a hard link': (path: string, target: string) => linkSync(target, path),
  'a link that leads nowhere': (path: string) => symlinkSync('/nowhere/file', path),
  'a pipe': (path: string) => execFileSync('mkfifo', [path]),
  'a device': (path: string) => symlinkSync('/dev/zero', path),
  'a folder': (path: string) => mkdirSync(path),
} as const;
type Kind = keyof typeof KINDS;

function inPlace(kind: Kind, what: string, pathOf: PathOf, refusal?: RegExp): BadInput {
  return {
    name: `${kind} for ${what}`,
    refusal,
    lay: (handler) => {
      writeFileSync(victim(handler), UNTOUCHED);
      handler.writeSettings(0, { protected: { secret: 'a secret' } });
      const path = pathOf(handler);
      mkdirSync(join(path, '..'), { recursive: true });
      rmSync(path, { recursive: true, force: true });
      KINDS[kind](path, victim(handler));
    },
  };
}

const settings: PathOf = (handler) => handler.settingsFile(0);
const status: PathOf = (handler) => handler.statusFile(0);
const mrseq: PathOf = (handler) => join(handler.folder(), formatSequenceFile());
const log: PathOf = (handler) => join(handler.logFolder, 'handler.log');
const data: PathOf = (handler) => handler.dataFolder;
const owner: PathOf = (handler) => join(handler.dataFolder, '.owner');
const lock: PathOf = (handler) => join(handler.dataFolder, '.lock');
const journal: PathOf = (handler) => join(handler.folder(), 'journal.json');
const key: PathOf = ({ libFolder }) => join(libFolder, names().privateKey);
const certificate: PathOf = ({ libFolder }) => join(libFolder, names().certificate);
const names = () => formatCertificateFiles(unpacked.certificate.thumbprint);

const NO_FILE = (name: string): RegExp =>
  new RegExp(`${name} is a (?:pipe|device|folder), where a regular file belongs`);
const NO_LOCK = /\.lock is no lock of this extension; move it away/;
const INPUTS: readonly BadInput[] = [
  inPlace('a pipe', 'settings', settings, NO_FILE('0\\.settings')),
  inPlace('a device', 'settings', settings, NO_FILE('0\\.settings')),
  inPlace('a folder', 'settings', settings, NO_FILE('0\\.settings')),
  inPlace('a link that leads nowhere', 'settings', settings, /0\.settings: is missing/),
  inPlace('a pipe', 'the key', key, NO_FILE('\\.prv')),
  inPlace('a device', 'the key', key, NO_FILE('\\.prv')),
  inPlace('a folder', 'the certificate', certificate, NO_FILE('\\.crt')),
  inPlace('a link', 'the status', status),
  inPlace('a hard link', 'the status', status),
  inPlace('a link that leads nowhere', 'the status', status),
  inPlace('a pipe', 'the status', status),
  inPlace('a link', 'mrseq', mrseq),
  inPlace('a hard link', 'mrseq', mrseq),
  inPlace('a pipe', 'mrseq', mrseq),
  inPlace('a device', 'mrseq', mrseq),
  inPlace('a link', 'the journal', journal),
  inPlace('a hard link', 'the journal', journal),
  inPlace('a pipe', 'the journal', journal, NO_FILE('journal\\.json')),
  inPlace('a pipe', 'the log', log),
  inPlace('a device', 'the log', log),
  inPlace('a folder', 'the log', log),
  inPlace('a link', 'the data folder', data, /is no folder, and the extension keeps its data/),
  inPlace('a pipe', 'the data folder', data, /is no folder, and the extension keeps its data/),
  inPlace('a link', 'the owner of the data', owner),
  inPlace('a pipe', 'the owner of the data', owner, NO_FILE('\\.owner')),
  inPlace('a hard link', 'the lock', lock, NO_LOCK),
  inPlace('a pipe', 'the lock', lock, NO_LOCK),
  inPlace('a folder', 'the lock', lock, NO_LOCK),
  inPlace('a link', 'the lock', lock),
];

it('B Symlink: what stands in place of a file is replaced or refused by its path, and never followed or waited for', async () => {
  const after = (handler: LaidOutHandler): string[] =>
    readFileSync(victim(handler), 'utf8') === UNTOUCHED ? [] : ['wrote to what the link leads to'];
  const tried = await tryInputs(unpacked, INPUTS, { after });
  expect(tried.filter(({ broken }) => broken.length > 0)).toEqual([]);
});
