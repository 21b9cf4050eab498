/** The file with the protected settings that generated scripts read, where the values are given and not in a key vault. */
import type { DeployFile, Deployment } from './deployment.ts';
import { asciiJsonFile } from './json-text.ts';

/** Name of the file beside the script. */
export const PROTECTED_FILE = 'protected-settings.json';
/** Environment variable that names another file. */
export const PROTECTED_FILE_VARIABLE = 'PROTECTED_SETTINGS_FILE';

/** True when a script needs a file with the protected settings. */
export function needsProtectedFile(deployment: Deployment): boolean {
  return deployment.protectedSettings?.kind === 'values';
}

/** The file that the user named; `undefined` when it is the one beside the script. */
export function namedProtectedFile({ protectedSettings }: Deployment): string | undefined {
  return protectedSettings?.kind === 'values' ? protectedSettings.file : undefined;
}

/** The file beside the script, mode 0600: none when the user has one already, or there is nothing protected. */
export function protectedFiles({ protectedSettings }: Deployment): readonly DeployFile[] {
  if (protectedSettings?.kind !== 'values' || protectedSettings.file !== undefined) return [];
  const text = asciiJsonFile(protectedSettings.values);
  return [{ name: PROTECTED_FILE, text, mode: 0o600, isSecret: true }];
}
