/**
 * Whole numbers that JavaScript cannot keep, found in the text of JSON: once parsed, `9007199254740993` has become
 * `9007199254740992`, and nobody can tell. Fractions are rounded by every program that reads JSON, so they are left alone.
 * Source: RFC 8259 section 6 (numbers beyond those of IEEE 754 binary64); ECMA-262, Number::toString.
 */

/**
 * Path, such as `.accounts[0].id`, of the first number of `json` that would be written back as another one: a whole number
 * with too many digits, or one so large or so small that it becomes infinite or 0. `json` must be valid.
 */
export function findInexactNumber(json: string): string | undefined {
  const open: Level[] = [];
  for (const [token] of json.matchAll(TOKEN)) {
    const level = open.at(-1);
    if (token === '{' || token === '[')
      open.push({ isObject: token === '{', key: '', index: 0, atKey: true });
    else if (token === '}' || token === ']') open.pop();
    else if (token === ',') {
      if (level !== undefined) open[open.length - 1] = { ...level, index: level.index + 1, atKey: true };
    } else if (token.startsWith('"')) {
      if (level?.isObject === true && level.atKey) {
        open[open.length - 1] = { ...level, key: String(JSON.parse(token)), atKey: false };
      }
    } else if (!isKept(token)) return open.map(formatLevel).join('');
  }
  return undefined;
}

/** An object or array that the scan is in, and where in it. */
interface Level {
  readonly isObject: boolean;
  readonly key: string;
  readonly index: number;
  /** True in an object until its next name has been read. */
  readonly atKey: boolean;
}

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|[{}[\],]/g;

function formatLevel({ isObject, key, index }: Level): string {
  return isObject ? `.${key.toWellFormed()}` : `[${index}]`;
}

function isKept(text: string): boolean {
  const number = Number(text);
  const own = readDecimal(text);
  const kept = readDecimal(String(number));
  if (own === undefined || kept === undefined) return false;
  if (own.digits === kept.digits && (own.digits === '' || own.exponent === kept.exponent)) return true;
  return own.exponent < 0 && number !== 0;
}

/** The number as `digits` times ten to the `exponent`, with as few digits as it takes; `undefined` for an infinite one. */
function readDecimal(text: string): { digits: string; exponent: number } | undefined {
  const match = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text);
  if (match === null) return undefined;
  const [, whole = '', fraction = '', exponent = '0'] = match;
  const all = `${whole}${fraction}`.replace(/^0+/, '');
  const digits = all.replace(/0+$/, '');
  return { digits, exponent: Number(exponent) - fraction.length + all.length - digits.length };
}
