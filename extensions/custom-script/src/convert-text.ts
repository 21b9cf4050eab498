/** Converts text piece by piece: byte order mark, UTF-16, CR LF. Pure; holds a few bytes between two pieces. */

/** What the first bytes of a file say about its encoding. */
export interface Mark {
  readonly encoding: 'none' | 'utf-8' | 'utf-16le' | 'utf-16be';
  /** Bytes of the byte order mark. */
  readonly bytes: number;
}

export interface Converter {
  /** The converted form of the next piece; the first piece begins with the mark. */
  push(chunk: Uint8Array): Buffer;
  /** What was held back, at the end of the text. */
  end(): Buffer;
}

/** Reads the byte order mark. A text without one is taken as it is. */
export function readMark(head: Uint8Array): Mark {
  const [first, second, third] = head;
  if (first === 0xef && second === 0xbb && third === 0xbf) return { encoding: 'utf-8', bytes: 3 };
  if (first === 0xff && second === 0xfe) return { encoding: 'utf-16le', bytes: 2 };
  if (first === 0xfe && second === 0xff) return { encoding: 'utf-16be', bytes: 2 };
  return { encoding: 'none', bytes: 0 };
}

/** Drops the mark, makes UTF-8 of UTF-16, and LF of CR LF. A CR alone stays; half a UTF-16 character becomes U+FFFD. */
export function createConverter(mark: Mark): Converter {
  const isWide = mark.encoding === 'utf-16le' || mark.encoding === 'utf-16be';
  const widen = isWide ? createUtf16Decoder(mark.encoding === 'utf-16be') : undefined;
  const lines = createLineEnds();
  let skip = mark.bytes;
  return {
    push: (chunk) => {
      const dropped = Math.min(skip, chunk.length);
      skip -= dropped;
      const rest = Buffer.from(chunk.buffer, chunk.byteOffset + dropped, chunk.length - dropped);
      return lines.push(widen === undefined ? rest : widen.push(rest));
    },
    end: () => {
      const last = widen === undefined ? Buffer.alloc(0) : widen.end();
      return Buffer.concat([lines.push(last), lines.end()]);
    },
  };
}

function createUtf16Decoder(isBigEndian: boolean): Converter {
  let held: Buffer = Buffer.alloc(0);
  return {
    push: (chunk) => {
      const all = Buffer.concat([held, chunk]);
      let length = all.length - (all.length % 2);
      // The high half of a pair waits for the low one.
      const lastUnit =
        length < 2 ? 0 : isBigEndian ? all.readUInt16BE(length - 2) : all.readUInt16LE(length - 2);
      if (lastUnit >= 0xd800 && lastUnit <= 0xdbff) length -= 2;
      held = Buffer.from(all.subarray(length));
      const whole = Buffer.from(all.subarray(0, length));
      if (isBigEndian) whole.swap16();
      return Buffer.from(whole.toString('utf16le').toWellFormed());
    },
    end: () => Buffer.from(held.length === 0 ? '' : '\uFFFD'),
  };
}

function createLineEnds(): Converter {
  let hasCr = false;
  return {
    push: (chunk) => {
      if (chunk.length === 0) return Buffer.alloc(0);
      const all = hasCr ? Buffer.concat([CR, chunk]) : Buffer.from(chunk);
      hasCr = all.at(-1) === CR[0];
      const end = hasCr ? all.length - 1 : all.length;
      let written = 0;
      for (let from = 0; from < end; ) {
        const found = all.indexOf('\r\n', from);
        const to = found === -1 || found >= end ? end : found;
        all.copyWithin(written, from, to);
        written += to - from;
        from = to === found ? to + 1 : to;
      }
      return all.subarray(0, written);
    },
    end: () => (hasCr ? CR : Buffer.alloc(0)),
  };
}

const CR = Buffer.from('\r');
