/** The last whole lines of a program's output while it still writes, for the status. */
import { open } from 'node:fs/promises';
import { OUTPUT_READ_FLAGS } from './output-read-flags.ts';
import { shownTail } from './shown-tail.ts';

/** Bytes of a stream that are read, and those that are shown at most. */
const READ_BYTES = 16 * 1024;
const SHOWN_BYTES = 1024;
const SHOWN_LINES = 10;

/**
 * Gives the last lines of the file, without secrets; `''` when there are none. A line that is not finished is left out:
 * half of a secret would not be found in it.
 */
export async function lastLines(path: string, redact: (text: string) => string): Promise<string> {
  let text: string;
  let isWhole: boolean;
  try {
    const file = await open(path, OUTPUT_READ_FLAGS);
    try {
      const { size } = await file.stat();
      const from = Math.max(0, size - READ_BYTES);
      isWhole = from === 0;
      const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(size, READ_BYTES)), {
        position: from,
      });
      text = buffer.subarray(0, bytesRead).toString();
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
  const begin = isWhole ? 0 : text.indexOf('\n') + 1;
  const end = text.lastIndexOf('\n');
  if (end < begin) return '';
  const lines = redact(text.slice(begin, end)).split('\n').slice(-SHOWN_LINES).join('\n');
  return shownTail(lines, SHOWN_BYTES);
}
