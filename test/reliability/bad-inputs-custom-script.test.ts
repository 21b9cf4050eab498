/** B CSE: what Custom Script is given wrongly, to the packed extension: each is refused before anything runs, or does no harm. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, inject, it } from 'vitest';
import type { GivenSettings, LaidOutHandler } from '../unpacked-handler.ts';
import { unpackPackage } from '../unpacked-handler.ts';
import type { BadInput } from './bad-input-runs.ts';
import { INPUT_CANARY, tryInputs } from './bad-input-runs.ts';

const given = (name: string, settings: GivenSettings, refusal?: RegExp): BadInput => ({
  name,
  refusal,
  lay: (handler) => handler.writeSettings(0, settings),
});
/** Leaves a file that no refused input may leave. */
const RUNS = 'touch "$(dirname "$0")/../ran" ./ran';
const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');
const script = (name: string, text: string, refusal?: RegExp): BadInput =>
  given(name, { public: { script: text } }, refusal);
const uris = (name: string, list: readonly unknown[], refusal: RegExp): BadInput =>
  given(name, { public: { commandToExecute: RUNS, fileUris: list } }, refusal);
const uri = (address: string, refusal: RegExp): BadInput => uris(address.slice(0, 60), [address], refusal);

const NO_FILE = /cannot extract file name from URL/;
const SAS = `?sv=2020&sig=${INPUT_CANARY}`;
/** The longest script that is allowed. */
const longest = base64(`#!/bin/sh\nexit 0\n#${'x'.repeat(196_608 - 18)}`);
const INPUTS: readonly BadInput[] = [
  given('nothing', {}, /'commandToExecute' is not specified/),
  given(
    'a command in both halves',
    { public: { commandToExecute: RUNS }, protected: { commandToExecute: INPUT_CANARY } },
    /specified both in public and protected settings/,
  ),
  given(
    'command and script',
    { public: { commandToExecute: RUNS }, protected: { script: base64(RUNS) } },
    /'commandToExecute' and 'script' were both specified/,
  ),
  given('a key in small letters', { public: { commandtoexecute: RUNS } }, /did you mean 'commandToExecute'/),
  given('a command with a NUL', { public: { commandToExecute: `${RUNS}\0` } }, /must not contain a NUL/),
  script('a script of 262,144 characters', longest),
  script('a script of more than 262,144 characters', `${longest}AAAA`, /at most 262144 are allowed/),
  script('a script that is no base64', `#!/bin/sh ${INPUT_CANARY}`, /is not valid base64/),
  script(
    'a script in base64url',
    base64('~~~???').replaceAll('/', '_').replace(/\+|$/, '-'),
    /is not valid base64/,
  ),
  script('gzip that is cut off', base64(gzipSync(RUNS).subarray(0, -9)), /damaged or cut off/),
  script('gzip of 190 MB', base64(gzipSync(Buffer.alloc(190_000_000))), /unpacks to more than/),
  script('gzip of gzip', base64(gzipSync(gzipSync('exit 0'))), /./),
  script('line ends of Windows', base64('#!/bin/sh\r\nexit 0\r\n')),
  script('a byte order mark', base64('\uFEFF#!/bin/sh\nexit 0\n')),
  script('UTF-16', base64(Buffer.from('\uFEFF#!/bin/sh\r\nexit 0\r\n', 'utf16le'))),
  uri(`https://h/a/..${SAS}`, NO_FILE),
  uri(`https://h/a%2f%2e%2e${SAS}`, NO_FILE),
  uri(`https://h/folder/${SAS}`, NO_FILE),
  uri(`https://h${SAS}`, NO_FILE),
  uri('file:///etc/passwd', /is not a valid url/),
  uri(`ftp://h/a${SAS}`, /its scheme must be http or https/),
  uri('http://169.254.169.254/a', /link-local address or one of the platform/),
  uri('https://h/stdout', /which Custom Script uses itself/),
  uri('https://h/stderr', /which Custom Script uses itself/),
  uri('https://h/script.sh', /which Custom Script uses itself/),
  uri(`https://h/${'n'.repeat(256)}`, /has 256 bytes, but at most 255/),
  uri(`https://h/${'p/'.repeat(2_000)}${SAS}`, NO_FILE),
  uri(`"https://h/a${SAS}"`, /format 'uri'/),
  uris('the same name twice', ['https://h/a/x', 'https://h/b/x'], /the same as that of file\[0\]/),
  uris('a null', [null], /given: null/),
  uris('a number', [7], /given: integer/),
  uris(
    '10,000 of which the last cannot be',
    [...Array.from({ length: 9_999 }, (_, n) => `https://h/${n}`), 'https://h/0'],
    /file\[9999\]: its file name is the same as that of file\[0\]/,
  ),
];

it('B CSE: what cannot be is refused before anything runs, without a secret; odd but right scripts run', async () => {
  const unpacked = unpackPackage(inject('customScriptZip'));
  try {
    const after = ({ libFolder }: LaidOutHandler): string[] =>
      existsSync(join(libFolder, 'custom-script/download/0/ran')) ? ['ran the command'] : [];
    const tried = await tryInputs(unpacked, INPUTS, { after });
    expect(tried.filter(({ broken }) => broken.length > 0)).toEqual([]);
  } finally {
    unpacked.remove();
  }
});
