/**
 * Where the tool keeps what it fetched: one folder per user.
 * Source: XDG base directory specification 0.8: a relative path in the variable is to be ignored.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Absolute path of the tool's cache folder for a user with this environment. Makes nothing. */
export function cacheFolder(env: Readonly<Record<string, string | undefined>>): string {
  const { XDG_CACHE_HOME: configured, HOME: home } = env;
  if (configured?.startsWith('/') === true) return join(configured, 'handlerkit');
  return join(home === undefined || home === '' ? homedir() : home, '.cache', 'handlerkit');
}
