/**
 * Searches bytes for canaries in every form in which a program may write them. The marker is searched for, as no escaping of JSON, HTML,
 * URLs or a shell changes it; in base64, hex and UTF-16 it has other bytes. What has no marker is searched for in each escaped form.
 */
import type { Canaries, Canary } from './canaries.ts';

export interface Leak {
  /** `plain`, `base64`, … */
  readonly form: string;
  /** `undefined`: the form does not show which one it is. */
  readonly canary: Canary | undefined;
  /** What stands around it. */
  readonly context: string;
}

export type LeakSearch = (bytes: Buffer) => readonly Leak[];

/** Knows the canaries that were planted until now. Gives at most one leak for each form and canary. */
export function createLeakSearch(canaries: Canaries): LeakSearch {
  const index = indexNeedles(needlesOf(canaries));
  return (bytes) => {
    const found = new Map<string, Leak>();
    const hits = findAll(index, bytes);
    for (const { needle, at } of hits) {
      const { form, text, canary, isShort } = needle;
      if (isShort && bytes.length > LONGEST_FOR_SHORT) continue;
      const near = bytes.subarray(Math.max(0, at - 60), at + text.length + 60);
      const which =
        canary ??
        canaries.findByNumber(decode(form, bytes.subarray(Math.max(0, at - 4), at + text.length + 16)));
      const key = `${form} ${which?.field ?? ''}`;
      if (!found.has(key)) found.set(key, { form, canary: which, context: near.toString('latin1') });
    }
    return [...found.values()];
  };
}

/** The texts in which `text` may turn up, by the name of the form. */
export function writtenForms(text: string): ReadonlyMap<string, readonly Buffer[]> {
  const bytes = Buffer.from(text);
  const base64 = [0, 1, 2].map((offset) => insideBase64(bytes, offset));
  const hex = bytes.toString('hex');
  const json = JSON.stringify(text).slice(1, -1);
  const html = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const percent = hex.replace(/../g, '%$&');
  const url = encodeURIComponent(text);
  const forms: Readonly<Record<string, readonly string[]>> = {
    plain: [text],
    'upper case': [text.toUpperCase()],
    base64,
    base64url: base64.map((one) => one.replaceAll('+', '-').replaceAll('/', '_')),
    'base64 twice': base64.flatMap((one) =>
      [0, 1, 2].map((offset) => insideBase64(Buffer.from(one), offset)),
    ),
    hex: [hex, hex.toUpperCase()],
    'URL-encoded': [
      url,
      url.replace(/%../g, (one) => one.toLowerCase()),
      url.replaceAll('%20', '+'),
      percent,
      percent.toUpperCase(),
    ],
    JSON: [json, JSON.stringify(json).slice(1, -1), asciiJson(text)],
    shell: [text.replaceAll("'", "'\\''"), text.replace(/[^\w]/g, '\\$&'), text.replace(/["$`\\]/g, '\\$&')],
    HTML: [html, html.replaceAll('"', '&quot;').replaceAll("'", '&#39;')],
  };
  const wide = Buffer.from(text, 'utf16le');
  return new Map<string, readonly Buffer[]>([
    ...Object.entries(forms).map(([form, texts]) => [form, texts.map((one) => Buffer.from(one))] as const),
    ['utf16', [wide, Buffer.from(wide).swap16()]],
  ]);
}

interface Needle {
  readonly form: string;
  readonly text: Buffer;
  /** `undefined`: the marker, which they all share. */
  readonly canary: Canary | undefined;
  /** Found by chance in much data. */
  readonly isShort: boolean;
}

/** In one content; more say nothing new. */
const MOST_HITS = 20_000;
const LONGEST_FOR_SHORT = 1024 * 1024;
/** Fewer characters turn up by chance. */
const SHORTEST_NEEDLE = 4;
const SURE_NEEDLE = 7;

interface NeedleIndex {
  /** By two bytes: whether any needle begins with them. */
  readonly begins: Uint8Array;
  readonly byHead: ReadonlyMap<number, readonly Needle[]>;
}

function indexNeedles(needles: readonly Needle[]): NeedleIndex {
  const begins = new Uint8Array(0x10000);
  const byHead = new Map<number, Needle[]>();
  for (const needle of needles) {
    begins[needle.text.readUInt16BE(0)] = 1;
    const head = needle.text.readUInt32BE(0);
    byHead.set(head, [...(byHead.get(head) ?? []), needle]);
  }
  return { begins, byHead };
}

/** One pass, however many needles there are. */
function findAll(
  { begins, byHead }: NeedleIndex,
  bytes: Buffer,
): readonly { readonly needle: Needle; readonly at: number }[] {
  const hits: { needle: Needle; at: number }[] = [];
  let pair = bytes[0] ?? 0;
  for (let at = 0; at + SHORTEST_NEEDLE <= bytes.length && hits.length < MOST_HITS; at++) {
    pair = ((pair & 0xff) << 8) | (bytes[at + 1] ?? 0);
    if (begins[pair] !== 1) continue;
    for (const needle of byHead.get(bytes.readUInt32BE(at)) ?? []) {
      const end = at + needle.text.length;
      if (end <= bytes.length && bytes.compare(needle.text, 0, undefined, at, end) === 0)
        hits.push({ needle, at });
    }
  }
  return hits;
}

function needlesOf(canaries: Canaries): Needle[] {
  const subjects = [
    { text: canaries.marker, canary: undefined },
    ...canaries.all.filter(({ isMarked }) => !isMarked).map((canary) => ({ text: canary.text, canary })),
  ];
  const needles: Needle[] = [];
  for (const { text, canary } of subjects) {
    const known = new Set<string>();
    for (const [form, texts] of writtenForms(text)) {
      for (const bytes of texts) {
        const key = bytes.toString('latin1');
        const isTooShort = bytes.length < (form === 'plain' ? SHORTEST_NEEDLE : SURE_NEEDLE);
        if (isTooShort || known.has(key)) continue;
        known.add(key);
        needles.push({ form, text: bytes, canary, isShort: bytes.length < SURE_NEEDLE });
      }
    }
  }
  return needles;
}

/** The text that was written in this form, with what does not matter around it. */
function decode(form: string, bytes: Buffer): string {
  const text = bytes.toString('latin1');
  if (form.startsWith('base64')) {
    const texts = [text];
    for (let round = form === 'base64 twice' ? 2 : 1; round > 0; round--) {
      const runs = texts.splice(0).flatMap((one) => one.match(/[\w+/-]{10,}/g) ?? []);
      const shifted = runs.flatMap((run) => [0, 1, 2, 3].map((by) => run.slice(by)));
      texts.push(...shifted.map((run) => Buffer.from(run, 'base64').toString('latin1')));
    }
    return texts.join(' ');
  }
  if (form === 'hex') {
    const runs = (text.match(/[0-9a-f]{10,}/gi) ?? []).flatMap((run) => [run, run.slice(1)]);
    return runs.map((run) => Buffer.from(run, 'hex').toString('latin1')).join(' ');
  }
  if (form === 'utf16') return text.replaceAll('\0', '');
  return text.replace(/%([0-9a-f]{2})/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16)));
}

/** The part of the base64 that is the same whatever stands before and after; `offset` bytes stand before it in a group of three. */
function insideBase64(bytes: Buffer, offset: number): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes])
    .toString('base64')
    .replaceAll('=', '');
  const first = Math.ceil((offset * 8) / 6);
  const end = Math.floor(((offset + bytes.length) * 8) / 6);
  return text.slice(first, end);
}

/** As Python's json writes it. */
function asciiJson(text: string): string {
  const escaped = JSON.stringify(text).slice(1, -1);
  return escaped.replace(/[^\x20-\x7e]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
