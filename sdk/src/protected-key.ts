/** Whether the name of a protected setting that nobody knows may be shown: it may be a secret that slipped into its place. */
import { nearestName } from './near-miss.ts';
import { HIDDEN } from './redaction.ts';

/**
 * What a text shows of a protected key that is not among `known`: the key itself when it is near a known one or looks like
 * the name of a setting (a letter, then letters, digits, `_` and `-`, 40 characters at most), otherwise
 * that it is hidden, and its length.
 */
export function shownProtectedKey(key: string, known: readonly string[]): string {
  const isName = key.length <= LONGEST_SHOWN && /^[a-z][\w-]*$/i.test(key);
  const isSlip = key.length <= 2 * LONGEST_SHOWN && nearestName(key, known) !== undefined;
  return isName || (isSlip && /^[\w .:-]+$/.test(key)) ? key : `${HIDDEN} (${key.length} characters)`;
}

/** Characters of a name; secrets that look like one are usually longer. */
const LONGEST_SHOWN = 40;
