/**
 * The inline script: base64, optionally gzip inside. What cannot be decoded is an error; the original reported success
 * and ran nothing. Source: Custom Script 2.1.19 section 6.
 */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { scriptError, systemCode } from './errors.ts';

/** Longest `script` setting, in characters of base64. */
export const SCRIPT_LIMIT_CHARACTERS = 256 * 1024;
/** Most bytes that a gzip script may unpack to. */
export const UNPACKED_LIMIT_BYTES = 16 * 1024 * 1024;
/** Name of the decoded script in the folder of the run. */
export const SCRIPT_FILE = 'script.sh';

/** Decodes the `script` setting. Throws `CONFIGURATION_INVALID`; the text names no part of the script. */
export async function decodeScript(encoded: string): Promise<Buffer> {
  if (encoded.length > SCRIPT_LIMIT_CHARACTERS) {
    throw scriptError(
      'CONFIGURATION_INVALID',
      `'script' has ${encoded.length} characters, but at most ${SCRIPT_LIMIT_CHARACTERS} are allowed; compress it with gzip before base64, or put it into a file and name that in 'fileUris'`,
    );
  }
  const decoded = decodeBase64(encoded);
  if (decoded[0] !== 0x1f || decoded[1] !== 0x8b) return decoded;
  try {
    return await promisify(gunzip)(decoded, { maxOutputLength: UNPACKED_LIMIT_BYTES });
  } catch (cause) {
    const isTooLarge = systemCode(cause) === 'ERR_BUFFER_TOO_LARGE' || cause instanceof RangeError;
    throw scriptError(
      'CONFIGURATION_INVALID',
      isTooLarge
        ? `'script' unpacks to more than ${UNPACKED_LIMIT_BYTES} bytes; put it into a file and name that in 'fileUris'`
        : "'script' holds gzip data that is damaged or cut off; compress and encode it again, such as with `gzip -c FILE | base64 -w0`",
      cause,
    );
  }
}

/** Standard base64 with padding; line breaks are ignored, anything else is an error. Node alone would skip it. */
function decodeBase64(encoded: string): Buffer {
  const text = encoded.replace(/[\r\n]/g, '');
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw scriptError(
      'CONFIGURATION_INVALID',
      "'script' is not valid base64; encode the script with `base64 -w0 FILE` and give the result",
    );
  }
  return Buffer.from(text, 'base64');
}
