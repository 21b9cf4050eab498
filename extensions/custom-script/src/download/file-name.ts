/**
 * Which file a URL becomes: the last segment of its percent-decoded path. Everything that would lose a file or leave
 * the folder is an error before anything is downloaded. Texts show no more of a URL than its origin.
 * Source: Custom Script 2.1.19 section 4.
 */
import { isPlatformAddress } from '@handlerkit/sdk';
import { scriptError } from '../errors.ts';
import type { FileUri } from '../file-uri.ts';
import { SCRIPT_FILE } from '../script.ts';

export interface PlannedFile {
  /** Place in `fileUris`, from 0. */
  readonly index: number;
  readonly url: URL;
  /** File name in the folder of the run. */
  readonly name: string;
  /** 64 lower-case hex digits that the file must have. */
  readonly sha256?: string;
}

/** Files in which the output of the command lies, in the folder of the run. */
export const STDOUT_FILE = 'stdout';
export const STDERR_FILE = 'stderr';

/** Checks all `fileUris` and names their files. Throws `FILE_INVALID` for the first that cannot be. */
export function planDownloads(fileUris: readonly FileUri[]): readonly PlannedFile[] {
  const taken = new Map<string, number>();
  return fileUris.map((entry, index) => {
    const { uri, sha256 } = typeof entry === 'string' ? { uri: entry } : entry;
    const refuse = (problem: string) =>
      scriptError(
        'FILE_INVALID',
        `processing file downloads failed: failed to download file[${index}]: ${problem}`,
      );
    if (!URL.canParse(uri)) throw refuse('unable to parse URL: "[REDACTED]"');
    const url = new URL(uri);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw refuse(
        `[REDACTED] is not a valid url: its scheme must be http or https, but is ${url.protocol.slice(0, -1)}`,
      );
    }
    if (!/^https?:\/\/[^/]/i.test(uri)) throw refuse('[REDACTED] is not a valid url: it names no host');
    // The services there answer any program of the VM, and give away what is root's: tokens, certificates, settings.
    if (isPlatformAddress(url.hostname)) {
      throw refuse(
        '[REDACTED] is not a valid url: its host is a link-local address or one of the platform, from which nothing is downloaded; name another host',
      );
    }
    if (!isDecodable(url.username) || !isDecodable(url.password))
      throw refuse('unable to parse URL: "[REDACTED]"');
    const name = fileName(url);
    if (typeof name !== 'string') throw refuse(name.problem);
    const other = taken.get(name);
    if (other !== undefined) {
      throw refuse(`its file name is the same as that of file[${other}]; give one of them another name`);
    }
    taken.set(name, index);
    return { index, url, name, ...(sha256 === undefined ? {} : { sha256 }) };
  });
}

/** Most bytes that Linux takes as a file name. */
const NAME_LIMIT_BYTES = 255;
const RESERVED = new Set([STDOUT_FILE, STDERR_FILE, SCRIPT_FILE]);

function fileName(url: URL): string | { readonly problem: string } {
  const shown = `"${url.origin}/[REDACTED]"`;
  if (!isDecodable(url.pathname))
    return { problem: `unable to parse URL: ${shown}: its path is not valid UTF-8` };
  const path = decodeURIComponent(url.pathname);
  // A blob's name often comes with its slashes encoded, so they separate segments as well.
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (name === '') return { problem: `cannot extract file name from URL: ${shown}` };
  const bytes = Buffer.byteLength(name);
  const problem =
    name === '.' || name === '..'
      ? 'is a folder'
      : /[\u0000-\u001f\u007f]/.test(name)
        ? 'holds a control character'
        : bytes > NAME_LIMIT_BYTES
          ? `has ${bytes} bytes, but at most ${NAME_LIMIT_BYTES} are possible`
          : RESERVED.has(name)
            ? `is ${name}, which Custom Script uses itself; give the file another name`
            : undefined;
  return problem === undefined
    ? name
    : { problem: `cannot extract file name from URL: ${shown}: the name ${problem}` };
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
