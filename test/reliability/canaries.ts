/**
 * Values that stand for secrets, each told from all others wherever it turns up. Nearly all hold the marker of their run, followed by
 * their own number, at both ends and in each line: letters and digits that no escaping changes. A few cannot, because their field takes
 * no such text, or because they are too short; they are searched for one by one.
 */
import { randomBytes, randomInt, randomUUID } from 'node:crypto';

/** What a value looks like. */
export type CanaryShape =
  | 'ascii'
  | 'utf8'
  | 'quotes'
  | 'shell'
  | 'backslashes'
  | 'markup'
  | 'lines'
  | 'private key'
  | 'base64'
  | 'name'
  | 'url'
  | 'short'
  | 'eight'
  | 'digits'
  | 'uuid'
  | 'date';

export interface Canary {
  /** Where it is planted: `custom-script environment.PLAIN`. */
  readonly field: string;
  readonly text: string;
  /** False: it does not hold the marker. */
  readonly isMarked: boolean;
}

export interface Canaries {
  /** Eight characters that are nowhere else. */
  readonly marker: string;
  /** All so far. */
  readonly all: readonly Canary[];
  /** A new one. */
  plant(field: string, shape?: CanaryShape): string;
  /** The one whose number follows the marker in `text`; `undefined` when there is none. */
  findByNumber(text: string): Canary | undefined;
}

export function createCanaries(): Canaries {
  const marker = `q${letters(7)}`;
  const all: Canary[] = [];
  return {
    marker,
    all,
    plant: (field, shape = 'ascii') => {
      const core = `${marker}${String(all.length).padStart(NUMBER_DIGITS, '0')}`;
      const text = shapeText(shape, core);
      all.push({ field, text, isMarked: !UNMARKED.has(shape) });
      return text;
    },
    findByNumber: (text) => {
      const digits = new RegExp(`${marker}(\\d{${NUMBER_DIGITS}})`, 'i').exec(text)?.[1];
      return digits === undefined ? undefined : all[Number(digits)];
    },
  };
}

/** A long campaign plants more than a thousand. */
const NUMBER_DIGITS = 5;
const UNMARKED: ReadonlySet<CanaryShape> = new Set(['short', 'eight', 'digits', 'uuid', 'date']);
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

function shapeText(shape: CanaryShape, core: string): string {
  switch (shape) {
    case 'ascii':
      return `${core}-Secret-${core}`;
    case 'utf8':
      return `${core} pässwörd 秘密 🔑 ${core}`;
    case 'quotes':
      return `${core} "double" 'single' \`tick\` ${core}`;
    case 'shell':
      return `${core} $HOME $(id) \${x} *?[a] ; & | > < ! # ~ % ${core}`;
    case 'backslashes':
      return `${core} \\ \\n \\u0041 \\\\x ${core}`;
    case 'markup':
      return `${core} <b>&amp;</b> </script> ${core}`;
    case 'lines':
      return `${core} first line\n\t"second" ${core}\r\n${core} last line\n`;
    case 'private key':
      return privateKey(core);
    case 'base64':
      return Buffer.concat([randomBytes(15), Buffer.from(core), randomBytes(49 - core.length)]).toString(
        'base64',
      );
    case 'name':
      return core;
    case 'url':
      return `${core}%2B%2f%3D${core}`;
    // A tilde is not in base64: four other characters would be found by chance.
    case 'short':
      return `~${letters(3)}`;
    case 'eight':
      return `"${letters(5)}'${letters(1)}`;
    case 'digits':
      return String(randomInt(1e11, 1e12));
    case 'uuid':
      return randomUUID();
    case 'date':
      return `${randomInt(3000, 9999)}-${randomInt(10, 13)}-${randomInt(10, 29)}`;
  }
}

/** No real one: each line holds the marker, plain and in base64. */
function privateKey(core: string): string {
  const line = (): string => `${Buffer.from(`${core}${letters(17)}`).toString('base64')}${core}`;
  const kind = 'PRIVATE KEY';
  return [`-----BEGIN ${kind}-----`, line(), line(), line(), `-----END ${kind}-----`, ''].join('\n');
}

function letters(count: number): string {
  return Array.from({ length: count }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}
