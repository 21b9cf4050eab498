/**
 * Names of extensions on a machine, as Azure takes them.
 * Source: learn.microsoft.com, "Naming rules and restrictions for Azure resources".
 */
import { usageError } from '../errors.ts';

/** Throws `WRONG_USAGE`, naming the option, for what Azure would not take. */
export function checkExtensionName(option: string, name: string): string {
  if (/^(?!\.+$)[A-Za-z0-9._-]{1,80}$/.test(name)) return name;
  throw usageError(
    `--${option} ${JSON.stringify(name)} cannot be the name of an extension on Azure.`,
    `A name has 1 to 80 letters, digits, "-", "_" and ".": --${option} CustomScript`,
  );
}

/** The names in a list with commas between, each once whatever its case, as on Azure. Throws `WRONG_USAGE` as above. */
export function readExtensionNames(option: string, text: string): readonly string[] {
  const names = new Map<string, string>();
  for (const part of text.split(',')) {
    const name = part.trim();
    if (name === '' || names.has(name.toLowerCase())) continue;
    names.set(name.toLowerCase(), checkExtensionName(option, name));
  }
  return [...names.values()];
}
