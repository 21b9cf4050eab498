/**
 * Protected settings that cannot be decrypted, for every cause there is: one answer, the same in each byte, in the same time within
 * noise, so that whoever can send envelopes learns nothing of key, padding and content. In process, where the times are told apart
 * best, and in a packed handler, which shows exit code, status and stderr.
 */
import {
  constants,
  createCipheriv,
  createPrivateKey,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { HandlerError } from '@handlerkit/sdk';
import { formatSettings } from '@handlerkit/sdk/contract';
import type { TestCertificate } from '@handlerkit/sdk/testing';
import {
  createCertificate,
  decryptProtectedSettings,
  encryptProtectedSettings,
} from '@handlerkit/sdk/testing';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';
import type { Campaign, Figure } from './campaign.ts';
import { none } from './campaign.ts';

/** A cause, and envelopes of it: another one each time, so that no cache knows it. */
interface Cause {
  readonly name: string;
  /** True: a key is unwrapped, so that the time may tell something of it. */
  readonly isTimed: boolean;
  make(): string;
}

export const envelopesCampaign: Campaign = {
  name: 'envelopes',
  run: async (size, { zips, progress }): Promise<readonly Figure[]> => {
    const unpacked = unpackPackage(zips.probeZip);
    try {
      const causes = listCauses(unpacked.certificate);
      const inProcess = await timeCauses(unpacked.certificate, causes, size === 'long' ? 500 : 10);
      for (const [name, times] of inProcess.times) {
        progress(`${name}: median ${middle(sort(times)).toFixed(3)} ms in process`);
      }
      const packed = await runPacked(unpacked, causes, size === 'long' ? 200 : 1);
      for (const [name, times] of packed.times) {
        progress(`${name}: median ${middle(sort(times)).toFixed(1)} ms packed, ${times.length} times`);
      }
      const timed = causes.filter(({ isTimed }) => isTimed).map(({ name }) => name);
      return [
        { what: 'causes', value: causes.length },
        none('answers in process beside the one', inProcess.answers.size - 1),
        none('answers of the packed handler beside the one', packed.answers.size - 1),
        none('envelopes that were decrypted', inProcess.decrypted + packed.succeeded),
        ...describeTimes('in process', timed, inProcess.times, size === 'long'),
        ...describeTimes('packed', timed, packed.times, size === 'long'),
      ];
    } finally {
      unpacked.remove();
    }
  },
};

const SETTINGS = { secret: 'a canary' };
const DES_KEY_BYTES = 24;

function listCauses(own: TestCertificate): readonly Cause[] {
  const other = createCertificate();
  const good = (): Buffer => Buffer.from(encryptProtectedSettings(SETTINGS, own.certificatePem), 'base64');
  const key = createPrivateKey(own.privateKeyPem);
  /** The wrapped key of a good one: 256 bytes behind the NULL of rsaEncryption. */
  const keyAt = (der: Buffer): number => der.indexOf(Buffer.from('05000482010', 'hex')) + 6;
  const withBlock = (change: (block: Buffer) => Buffer): string => {
    const der = good();
    const at = keyAt(der);
    const block = privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, der.subarray(at, at + 256));
    publicEncrypt({ key: own.certificatePem, padding: constants.RSA_NO_PADDING }, change(block)).copy(
      der,
      at,
    );
    return der.toString('base64');
  };
  const set = (bytes: Buffer, at: number, value: number): Buffer => {
    bytes[at < 0 ? bytes.length + at : at] = value;
    return bytes;
  };
  const turned = (at: (der: Buffer) => number): string => {
    const der = good();
    const index = at(der);
    return set(der, index, der.readUInt8(index) ^ 0x41).toString('base64');
  };
  /** A right key block for a key of its own, and content that is encrypted with another one. */
  const timed = (name: string, make: () => string): Cause => ({ name, make, isTimed: true });
  const plain = (name: string, make: () => string): Cause => ({ name, make, isTimed: false });
  return [
    timed('the key of another certificate', () => encryptProtectedSettings(SETTINGS, other.certificatePem)),
    timed('padding of another type', () => withBlock((block) => set(block, 1, 1))),
    timed('a first byte that is not zero', () => withBlock((block) => set(block, 0, 1))),
    timed('a zero among the padding', () => withBlock((block) => set(block, 40, 0))),
    timed('no zero before the key', () => withBlock((block) => set(block, 255 - DES_KEY_BYTES, 7))),
    timed('another key in a right padding', () =>
      withBlock((block) => Buffer.concat([block.subarray(0, -DES_KEY_BYTES), randomBytes(DES_KEY_BYTES)])),
    ),
    timed('a byte of the wrapped key', () => turned((der) => keyAt(der) + 100)),
    // Beyond the modulus of any key.
    timed('a number that the key cannot have wrapped', () => {
      const der = good();
      return der.fill(0xff, keyAt(der), keyAt(der) + 256).toString('base64');
    }),
    timed('the last byte of the content', () => turned((der) => der.length - 1)),
    timed('padding of the content', () => contentPadding(own, good(), keyAt)),
    plain('no JSON in it', () => encryptProtectedSettings('not JSON', own.certificatePem)),
    plain('JSON that is no object', () => encryptProtectedSettings('["a"]', own.certificatePem)),
    plain('JSON that is cut off', () => encryptProtectedSettings('{"secret":', own.certificatePem)),
    plain('no UTF-8', () => encryptProtectedSettings(Buffer.from([0xff, 0xfe]), own.certificatePem)),
    plain('content that is cut off', () => good().subarray(0, -5).toString('base64')),
    plain('half of it', () => good().subarray(0, 150).toString('base64')),
    plain('no base64', () => 'not base64!'),
    plain('base64 of nothing known', () => randomBytes(300).toString('base64')),
    plain('base64url', () =>
      good().toString('base64').replaceAll('+', '-').replaceAll('/', '_').replace(/^/, '-_'),
    ),
    plain('a length beyond the end', () => set(good(), 2, 0xff).toString('base64')),
    plain('a length of 64 bits', () => set(good(), 1, 0x88).toString('base64')),
    plain('an algorithm that nobody knows', () => unknownAlgorithm(good()).toString('base64')),
  ];
}

/** The right key, and content whose last block ends with a padding that there is not. */
function contentPadding(own: TestCertificate, der: Buffer, keyAt: (der: Buffer) => number): string {
  const at = keyAt(der);
  const key = createPrivateKey(own.privateKeyPem);
  const block = privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, der.subarray(at, at + 256));
  const cipher = createCipheriv('des-ede3-cbc', block.subarray(-DES_KEY_BYTES), Buffer.alloc(8));
  cipher.setAutoPadding(false);
  cipher.update(Buffer.alloc(8, 0x63)).copy(der, der.length - 8);
  return der.toString('base64');
}

/** 1.2.840.113549.3.7 becomes a cipher that there is not. */
function unknownAlgorithm(der: Buffer): Buffer {
  const oid = Buffer.from('2a864886f70d0307', 'hex');
  der[der.indexOf(oid) + oid.length - 1] = 0x7e;
  return der;
}

type Times = ReadonlyMap<string, number[]>;

/** In turns, each round in another order, so that what slows the machine down slows all down. */
async function timeCauses(own: TestCertificate, causes: readonly Cause[], rounds: number) {
  const request = {
    thumbprint: own.thumbprint,
    certificateText: own.certificateFileText,
    privateKeyText: own.privateKeyFileText,
    libFolder: '/nowhere',
    host: {
      path: (path: string) => path,
      exec: () => Promise.reject(new HandlerError('COMMAND_NOT_STARTED', 'openssl is not installed')),
    },
  };
  const times = new Map(causes.map(({ name }) => [name, [] as number[]]));
  const answers = new Set<string>();
  let decrypted = 0;
  for (let round = 0; round < rounds; round++) {
    const made = shuffle(causes.map(({ name, make }) => [name, make()] as const));
    for (const [name, envelope] of made) {
      const started = performance.now();
      const thrown: unknown = await decryptProtectedSettings({ ...request, envelope }).then(
        () => void decrypted++,
        (error: unknown) => error,
      );
      times.get(name)?.push(performance.now() - started);
      if (thrown instanceof Error) answers.add(JSON.stringify({ ...thrown, text: thrown.message }));
    }
  }
  return { times, answers, decrypted };
}

/** All causes once, and those that are timed in every further round. */
async function runPacked(
  unpacked: ReturnType<typeof unpackPackage>,
  causes: readonly Cause[],
  rounds: number,
) {
  const handler = layOutHandler(unpacked);
  const times = new Map(causes.map(({ name }) => [name, [] as number[]]));
  const answers = new Set<string>();
  let succeeded = 0;
  let sequence = 0;
  try {
    for (let round = 0; round < rounds; round++) {
      for (const { name, make } of shuffle(causes.filter(({ isTimed }) => round === 0 || isTimed))) {
        const { thumbprint } = unpacked.certificate;
        const text = formatSettings({ publicSettings: {}, protectedSettings: make(), thumbprint });
        writeFileSync(handler.settingsFile(sequence), text);
        const { exitCode, stdout, stderr, durationMs } = await handler.run('enable', { sequence });
        const status = handler.readStatus(sequence);
        if (exitCode === 0) succeeded++;
        times.get(name)?.push(durationMs);
        answers.add(JSON.stringify({ exitCode, stdout, stderr, ...status, time: '' }));
        sequence++;
      }
    }
    return { times, answers, succeeded };
  } finally {
    handler.remove();
  }
}

/**
 * How far the medians of two causes are apart at most, and how well the times of any two tell them apart: 0.5 is not at all.
 * The best of so many pairs is above that by chance, so it is held against what the same times give when each round's are
 * dealt out anew. One promise in a hundred looks broken by chance, so it is one of the long form only.
 */
function describeTimes(
  where: string,
  names: readonly string[],
  times: Times,
  isPromised: boolean,
): readonly Figure[] {
  const columns = names.map((name) => times.get(name) ?? []);
  const medians = columns.map((column) => middle(sort(column)));
  const separated = bestSeparation(columns);
  const best = names.flatMap((a, one) =>
    names.slice(one + 1).map((b, other) => {
      const pair = [columns[one] ?? [], columns[one + 1 + other] ?? []];
      return { pair: `${a} / ${b}`, share: bestSeparation(pair) };
    }),
  );
  const [told] = best.toSorted((a, b) => b.share - a.share);
  const byChance = separationByChance(columns);
  const promise = { wanted: `at most ${byChance.toFixed(3)} (chance)`, isMet: separated <= byChance };
  return [
    { what: `median time of a refusal, ${where}`, value: Math.min(...medians), unit: 'ms' },
    {
      what: `slowest by fastest median of the causes that unwrap a key, ${where}`,
      value: Math.max(...medians) / Math.min(...medians),
    },
    {
      what: `best separation of two of them by time (0.5 is none), ${where}`,
      value: separated.toFixed(3),
      ...(isPromised ? promise : {}),
    },
    ...(isPromised ? [{ what: `the two, ${where}`, value: told?.pair ?? '' }] : []),
  ];
}

const DEALS = 200;

/** What 99 of 100 deals stay below. */
function separationByChance(columns: readonly (readonly number[])[]): number {
  const rounds = columns[0]?.length ?? 0;
  const deals = Array.from({ length: DEALS }, () => {
    const dealt: number[][] = columns.map(() => []);
    for (let round = 0; round < rounds; round++) {
      const values = shuffle(columns.map((column) => column[round] ?? 0));
      for (const [index, value] of values.entries()) dealt[index]?.push(value);
    }
    return bestSeparation(dealt);
  });
  return sort(deals)[Math.floor(DEALS * 0.99)] ?? 1;
}

function bestSeparation(columns: readonly (readonly number[])[]): number {
  const sorted = columns.map(sort);
  return Math.max(...sorted.flatMap((a, index) => sorted.slice(index + 1).map((b) => separation(a, b))));
}

function sort(values: readonly number[]): readonly number[] {
  return [...values].sort((a, b) => a - b);
}

function shuffle<T>(items: readonly T[]): readonly T[] {
  return items
    .map((item) => ({ item, key: Math.random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

function middle(sorted: readonly number[]): number {
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Mann and Whitney's U as a share: how often a time of the one is above a time of the other, or the other way round. */
function separation(a: readonly number[], b: readonly number[]): number {
  if (a.length === 0 || b.length === 0) return 0.5;
  let below = 0;
  let at = 0;
  for (const value of a) {
    while (at < b.length && (b[at] ?? 0) < value) at++;
    below += at;
  }
  const share = below / (a.length * b.length);
  return Math.max(share, 1 - share);
}
