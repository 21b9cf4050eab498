/**
 * What Python says of a failed system call, for messages of the agent that quote it.
 * Source: CPython `OSError.__str__`; errno(3).
 */
import { getSystemErrorMap } from 'node:util';

/** The system's words for the reason, as in C: `No such file or directory`. */
export function systemReason(thrown: unknown): string {
  const number = errorNumber(thrown);
  if (number === undefined) return thrown instanceof Error ? thrown.message : String(thrown);
  const [name = '', words = ''] = getSystemErrorMap().get(-number) ?? [];
  return REASONS[name] ?? `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}

/** The whole text: `[Errno 13] Permission denied: '/a/b'`; without a path where there is none. */
export function pythonOsError(thrown: unknown, path: string | undefined): string {
  const number = errorNumber(thrown);
  const reason = systemReason(thrown);
  if (number === undefined) return reason;
  return `[Errno ${number}] ${reason}${path === undefined ? '' : `: '${path}'`}`;
}

/** libuv words some reasons in another way than the C library of Linux. */
const REASONS: Readonly<Record<string, string>> = {
  EISDIR: 'Is a directory',
  EROFS: 'Read-only file system',
  EIO: 'Input/output error',
  ELOOP: 'Too many levels of symbolic links',
  ENAMETOOLONG: 'File name too long',
  EBUSY: 'Device or resource busy',
  ENXIO: 'No such device or address',
};

function errorNumber(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !('errno' in thrown) || typeof thrown.errno !== 'number')
    return undefined;
  return Math.abs(thrown.errno);
}
