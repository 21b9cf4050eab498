/**
 * Fuzzing of each parser of the contract: whatever comes in, there is a value or the one documented error, soon, in bounded memory;
 * and what was parsed and written again parses to the same. Prints seed and input of what fails, which then becomes a row of
 * `fuzz.test.ts`.
 */
import { isDeepStrictEqual } from 'node:util';
import { HandlerError } from '@handlerkit/sdk';
import {
  createCertificate,
  decryptProtectedSettings,
  encryptProtectedSettings,
} from '@handlerkit/sdk/testing';
import fc from 'fast-check';
import type { Campaign, Figure } from './campaign.ts';
import { atMost, none } from './campaign.ts';
import { brokenBytes, brokenText } from './fuzz-inputs.ts';
import type { FuzzTarget } from './fuzz-targets.ts';
import { FUZZ_TARGETS } from './fuzz-targets.ts';

/** A parser broke its promise for an input. */
export interface FuzzFailure {
  readonly target: string;
  readonly what: 'crash' | 'hang' | 'another value when written again' | 'another error';
  readonly detail: string;
}

/** Milliseconds for one input of 200,000 characters at most; a loaded machine is granted a second try. */
const LONGEST_MS = 1_000;
const MOST_MEMORY_MIB = 512;

export const fuzzCampaign: Campaign = {
  name: 'fuzz',
  run: async (size, { progress }): Promise<readonly Figure[]> => {
    const inputs = size === 'long' ? 12_000 : 150;
    const seed = size === 'long' ? Date.now() % 0x7fff_ffff : SHORT_SEED;
    progress(`seed ${seed}, ${inputs} inputs for each of ${FUZZ_TARGETS.length + 1} parsers`);
    const before = process.memoryUsage().rss;
    const failures: FuzzFailure[] = [];
    const tell = (failure: FuzzFailure | undefined, input: string): void => {
      if (failure === undefined) return;
      failures.push(failure);
      progress(`${failure.target}: ${failure.what}: ${failure.detail} (seed ${seed}) ${show(input)}`);
    };
    let slowestMs = 0;
    let most = before;
    for (const target of FUZZ_TARGETS) {
      const property = fc.property(brokenText(target.texts), (text) => {
        const started = performance.now();
        const failure = tryInput(target, text);
        slowestMs = Math.max(slowestMs, performance.now() - started);
        return failure === undefined;
      });
      const { failed, counterexample } = fc.check(property, { seed, numRuns: inputs });
      const [text = ''] = counterexample ?? [];
      if (failed) tell(tryInput(target, text) ?? unstable(target.name), text);
      most = Math.max(most, process.memoryUsage().rss);
    }
    const envelopes = await fuzzEnvelopes(seed, inputs, tell);
    most = Math.max(most, process.memoryUsage().rss);
    const count = (what: FuzzFailure['what']): number => failures.filter((one) => one.what === what).length;
    return [
      { what: 'parsers', value: FUZZ_TARGETS.length + 1 },
      { what: 'inputs', value: inputs * (FUZZ_TARGETS.length + 1) },
      { what: 'envelopes of them that could still be read', value: envelopes.read },
      none('crashes', count('crash')),
      none('hangs', count('hang')),
      none('values that change when written and read again', count('another value when written again')),
      none('other errors than the one of the envelopes', count('another error')),
      atMost('longest time for one input', slowestMs, 2 * LONGEST_MS, 'ms'),
      atMost('memory grown', (most - before) / 1024 / 1024, MOST_MEMORY_MIB, 'MiB'),
    ];
  },
};

/** What is wrong with what a parser makes of a text; `undefined`: nothing. */
export function tryInput(target: FuzzTarget, text: string): FuzzFailure | undefined {
  const fail = (what: FuzzFailure['what'], detail: string): FuzzFailure => ({
    target: target.name,
    what,
    detail,
  });
  const timed = (): { ms: number; value?: unknown; isValue: boolean; failure?: FuzzFailure } => {
    const started = performance.now();
    try {
      const value = target.parse(text);
      return { ms: performance.now() - started, value, isValue: true };
    } catch (thrown) {
      const ms = performance.now() - started;
      return target.isRefusal(thrown)
        ? { ms, isValue: false }
        : { ms, isValue: false, failure: fail('crash', String(thrown).slice(0, 200)) };
    }
  };
  const first = timed();
  if (first.failure !== undefined) return first.failure;
  if (first.ms > LONGEST_MS && timed().ms > LONGEST_MS) return fail('hang', `${Math.round(first.ms)} ms`);
  if (!first.isValue || target.format === undefined) return undefined;
  try {
    const again = target.parse(target.format(first.value));
    if (isDeepStrictEqual(again, first.value)) return undefined;
    return fail('another value when written again', '');
  } catch (thrown) {
    return fail('crash', `written again: ${String(thrown).slice(0, 200)}`);
  }
}

/** The seed of the short form, so that it is the same in each run of the tests. */
const SHORT_SEED = 20_261_123;

function unstable(target: string): FuzzFailure {
  return { target, what: 'hang', detail: 'slow the first time only' };
}

/** Envelopes with bits turned, cut off, with lengths that lie: read, or refused with the one error. */
async function fuzzEnvelopes(
  seed: number,
  inputs: number,
  tell: (failure: FuzzFailure | undefined, input: string) => void,
): Promise<{ readonly read: number }> {
  const certificate = createCertificate();
  const forms = [
    {},
    { content: 'aes-256-gcm', keyTransport: 'oaep-sha256' },
    { recipient: 'key-identifier' },
  ] as const;
  const envelopes = forms.map((form) =>
    Buffer.from(encryptProtectedSettings({ secret: 'a canary' }, certificate.certificatePem, form), 'base64'),
  );
  const request = {
    thumbprint: certificate.thumbprint,
    certificateText: certificate.certificateFileText,
    privateKeyText: certificate.privateKeyFileText,
    libFolder: '/nowhere',
    host: {
      path: (path: string) => path,
      exec: () => Promise.reject(new HandlerError('COMMAND_NOT_STARTED', 'openssl is not installed')),
    },
  };
  let read = 0;
  const attempt = async (bytes: Buffer): Promise<FuzzFailure | undefined> => {
    const started = performance.now();
    const thrown: unknown = await decryptProtectedSettings({
      ...request,
      envelope: bytes.toString('base64'),
    }).then(
      () => void read++,
      (error: unknown) => error,
    );
    const target = 'envelope';
    if (performance.now() - started > LONGEST_MS) return { target, what: 'hang', detail: 'too slow' };
    if (thrown === undefined) return undefined;
    const isTheOne = thrown instanceof HandlerError && thrown.code === 'PROTECTED_SETTINGS_UNREADABLE';
    return isTheOne ? undefined : { target, what: 'another error', detail: String(thrown).slice(0, 200) };
  };
  const property = fc.asyncProperty(
    fc.oneof(brokenBytes(envelopes), lyingLength(envelopes)),
    async (bytes) => (await attempt(bytes)) === undefined,
  );
  const { failed, counterexample } = await fc.check(property, { seed, numRuns: inputs });
  const [bytes = Buffer.alloc(0)] = counterexample ?? [];
  if (failed) tell((await attempt(bytes)) ?? unstable('envelope'), bytes.toString('base64'));
  return { read };
}

/** A byte of a length of DER is put to something else: beyond the end, up to 2^64, indefinite. */
function lyingLength(envelopes: readonly Buffer[]): fc.Arbitrary<Buffer> {
  const length = fc.constantFrom(0x00, 0x7f, 0x80, 0x81, 0x82, 0x84, 0x88, 0xff);
  return fc.tuple(fc.constantFrom(...envelopes), fc.nat(), length).map(([der, at, byte]) => {
    const lengths = [...der.keys()].filter((index) =>
      [0x30, 0x04, 0x80, 0xa0, 0x31].includes(der[index - 1] ?? 0),
    );
    const broken = Buffer.from(der);
    broken[lengths[at % lengths.length] ?? 1] = byte;
    return broken;
  });
}

function show(input: string): string {
  const text = JSON.stringify(input);
  return text.length > 2_000 ? `${text.slice(0, 2_000)}… (${text.length} characters)` : text;
}
