/**
 * The door through which settings come in: read, decrypted, checked against the author's schemas. Behind it there are
 * typed values; every failure is one error that names file and path, never a value.
 */

import { join } from 'node:path';
import type { HandlerEnvironment } from './contract/handler-environment.ts';
import { ContractError } from './contract/json.ts';
import { formatCertificateFiles, formatSettingsFile } from './contract/package-layout.ts';
import { parseThumbprint } from './contract/protected-settings.ts';
import type { Settings } from './contract/settings.ts';
import { ERROR_TABLE, HandlerError, toHandlerError } from './errors.ts';
import type { HandlerDefinition, Logger } from './handler.ts';
import type { HandlerFolder } from './handler-files.ts';
import { readSettings } from './handler-files.ts';
import type { Host } from './host.ts';
import type { Redactor } from './redaction.ts';
import type { SettingsHalves } from './settings-check.ts';
import { checkSettings } from './settings-check.ts';
import { readTextIfThere } from './whole-file.ts';

export interface SettingsSource {
  readonly host: Host;
  readonly own: HandlerFolder;
  readonly environment: HandlerEnvironment;
  readonly sequence: number;
  readonly extensionName: string | undefined;
  readonly redactor: Redactor;
  /** Gets a warning for each key that a schema ignores. */
  readonly log: Pick<Logger, 'warn'>;
}

/**
 * Typed settings of one sequence. The protected strings are given to the redactor before anything else happens. Throws
 * `SETTINGS_UNREADABLE`, `CERTIFICATE_NOT_FOUND`, `PROTECTED_SETTINGS_UNREADABLE`, or `SETTINGS_INVALID` with every
 * problem listed.
 */
export async function openSettings<Public, Protected>(
  source: SettingsSource,
  definition: HandlerDefinition<Public, Protected>,
): Promise<SettingsHalves<Public, Protected>> {
  const { host, environment, sequence, extensionName, redactor } = source;
  const file = join(environment.configFolder, formatSettingsFile(sequence, extensionName));
  const settings = await readSettings(host, environment, sequence, extensionName);
  const secret = await decrypt(source, settings, file);
  redactor.addSecrets(secret);
  const verdict = await checkSettings(definition.settings, {
    public: settings.publicSettings,
    protected: secret,
  });
  if (verdict.settings === undefined)
    throw new HandlerError(
      'SETTINGS_INVALID',
      `${file}: ${verdict.problem}
Correct the settings and apply them again.`,
      verdict.isUnfit === true ? { statusCode: ERROR_TABLE.SETTINGS_UNREADABLE.statusCode } : {},
    );
  for (const warning of verdict.warnings) source.log.warn(`${file}: ${warning}`);
  return verdict.settings;
}

async function decrypt(
  source: SettingsSource,
  settings: Settings,
  file: string,
): Promise<Record<string, unknown>> {
  if (settings.protectedSettings === undefined) return {};
  const thumbprint = thumbprintOf(settings, file);
  const names = formatCertificateFiles(thumbprint);
  const read = (name: string): string => {
    const path = join(source.own.libFolder, name);
    const fail = (problem: string, cause?: unknown): never => {
      throw new HandlerError(
        'CERTIFICATE_NOT_FOUND',
        `${problem}, so the protected settings cannot be decrypted; reapply the VM so that the platform sends its certificates anew`,
        { cause },
      );
    };
    try {
      return readTextIfThere(source.host.path(path)) ?? fail(`${path} is missing`);
    } catch (thrown) {
      if (thrown instanceof HandlerError) throw thrown;
      return fail(`${path} cannot be read (${toHandlerError(thrown).message})`, thrown);
    }
  };
  const certificateText = read(names.certificate);
  const privateKeyText = read(names.privateKey);
  const { decryptProtectedSettings } = await import('./decrypt.ts');
  return decryptProtectedSettings({
    envelope: settings.protectedSettings,
    thumbprint,
    certificateText,
    privateKeyText,
    libFolder: source.own.libFolder,
    host: source.host,
  });
}

function thumbprintOf(settings: Settings, file: string): string {
  try {
    return parseThumbprint(settings.thumbprint ?? '', file);
  } catch (cause) {
    if (cause instanceof ContractError)
      throw new HandlerError('SETTINGS_UNREADABLE', cause.message, { cause });
    throw cause;
  }
}
