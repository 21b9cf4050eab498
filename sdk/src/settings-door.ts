/**
 * The door through which settings come in: read, decrypted, checked against the author's schemas. Behind it there are
 * typed values; every failure is one error that names file and path, never a value.
 */

import { join } from 'node:path';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { HandlerEnvironment } from './contract/handler-environment.ts';
import { ContractError } from './contract/json.ts';
import { formatCertificateFiles, formatSettingsFile } from './contract/package-layout.ts';
import { parseThumbprint } from './contract/protected-settings.ts';
import type { Settings } from './contract/settings.ts';
import { PROTECTED_SETTINGS_KEY, PUBLIC_SETTINGS_KEY } from './contract/settings.ts';
import { HandlerError } from './errors.ts';
import type { HandlerDefinition } from './handler.ts';
import type { HandlerFolder } from './handler-files.ts';
import { readSettings } from './handler-files.ts';
import type { Host } from './host.ts';
import type { Redactor } from './redaction.ts';
import { readTextIfThere } from './whole-file.ts';

export interface SettingsSource {
  readonly host: Host;
  readonly own: HandlerFolder;
  readonly environment: HandlerEnvironment;
  readonly sequence: number;
  readonly extensionName: string | undefined;
  readonly redactor: Redactor;
}

/** Typed settings of one sequence. The protected strings are given to the redactor before anything else happens. */
export async function openSettings<Public, Protected>(
  source: SettingsSource,
  definition: HandlerDefinition<Public, Protected>,
): Promise<{ readonly public: Public; readonly protected: Protected }> {
  const { host, environment, sequence, extensionName, redactor } = source;
  const file = join(environment.configFolder, formatSettingsFile(sequence, extensionName));
  const settings = await readSettings(host, environment, sequence, extensionName);
  const secret = await decrypt(source, settings, file);
  redactor.addSecrets(secret);
  const problems: string[] = [];
  const open = await check<Public>(
    definition.settings?.public,
    settings.publicSettings,
    PUBLIC_SETTINGS_KEY,
    problems,
  );
  const hidden = await check<Protected>(
    definition.settings?.protected,
    secret,
    PROTECTED_SETTINGS_KEY,
    problems,
  );
  if (problems.length > 0) {
    throw new HandlerError('SETTINGS_INVALID', `${file}: ${problems.join('; ')}`);
  }
  return { public: open as Public, protected: hidden as Protected };
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
    const text = readTextIfThere(source.host.path(path));
    if (text !== undefined) return text;
    throw new HandlerError(
      'CERTIFICATE_NOT_FOUND',
      `${path} is missing, so the protected settings cannot be decrypted; reapply the VM so that the platform sends its certificates anew`,
    );
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

async function check<Output>(
  schema: StandardSchemaV1<unknown, Output> | undefined,
  value: unknown,
  half: string,
  problems: string[],
): Promise<unknown> {
  if (schema === undefined) return value;
  const result = await schema['~standard'].validate(value);
  if (result.issues === undefined) return result.value;
  for (const issue of result.issues) problems.push(`${half}${formatPath(issue.path)}: ${issue.message}`);
  return undefined;
}

function formatPath(path: StandardSchemaV1.Issue['path']): string {
  return (path ?? [])
    .map((part) => (typeof part === 'object' ? part.key : part))
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('');
}
