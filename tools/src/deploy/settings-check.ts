/** What is wrong with settings before they travel: found here, it costs a second; found on Azure, a deployment. */
import { usageError } from '../errors.ts';
import type { SettingsObject } from '../vm/settings-argument.ts';

/** Throws `WRONG_USAGE` for a key that is public and protected at once, and for text that is no Unicode. Never quotes a value. */
export function checkSettings(
  publicSettings: SettingsObject,
  protectedSettings: SettingsObject | undefined,
): void {
  const both = Object.keys(publicSettings).find((key) => Object.hasOwn(protectedSettings ?? {}, key));
  if (both !== undefined) {
    throw usageError(
      `${JSON.stringify(both)} is in the settings and in the protected settings.`,
      'Keep it in one of them: an extension takes either the one or the other.',
    );
  }
  for (const [option, settings] of [
    ['--settings', publicSettings],
    ['--protected-settings', protectedSettings],
  ] as const) {
    const path = findBroken(settings, '');
    if (path === undefined) continue;
    throw usageError(
      `${option}${path} holds half of a surrogate pair, which is no text.`,
      'Write the character as UTF-8, or both halves of it.',
    );
  }
}

/** Paths of public values that look like secrets, such as `.connection.password`. */
export function findSecretLooking(value: unknown, path = ''): readonly string[] {
  if (Array.isArray(value))
    return value.flatMap((item, index) => findSecretLooking(item, `${path}[${index}]`));
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, item]) => {
      const own = `${path}.${key}`;
      return typeof item === 'string' && item !== '' && SECRET_NAME.test(key)
        ? [own]
        : findSecretLooking(item, own);
    });
  }
  return typeof value === 'string' && SECRET_TEXT.test(value) ? [path] : [];
}

const SECRET_NAME =
  /passw(or)?d|secret|credential|(access|account|api|shared|storage|private)_?key$|(^|_|sas|access|bearer)token$|connectionstring/i;
/** A SAS's signature, a private key, a storage account's connection string. */
const SECRET_TEXT = /[?&]sig=|-----BEGIN [A-Z ]*PRIVATE KEY-----|AccountKey=/i;

function findBroken(value: unknown, path: string): string | undefined {
  if (typeof value === 'string') return value.isWellFormed() ? undefined : path;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, item] of Object.entries(value)) {
    const own = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key.toWellFormed()}`;
    const found = key.isWellFormed() ? findBroken(item, own) : own;
    if (found !== undefined) return found;
  }
  return undefined;
}
