/**
 * `config/<sequence>.settings`: what the user asked for.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` update_settings; agent-contract 4.
 */
import {
  ContractError,
  decodeArray,
  decodeObject,
  decodeString,
  element,
  isAbsent,
  member,
  optional,
  parseJson,
} from './json.ts';
import { formatPythonJson } from './python-values.ts';

/** Key of the public half, for error texts that name a path. */
export const PUBLIC_SETTINGS_KEY = 'publicSettings';
/** Key of the protected half; in a settings file it holds the envelope. */
export const PROTECTED_SETTINGS_KEY = 'protectedSettings';

/** The two halves of an extension's settings, before decryption. */
export interface Settings {
  /** Public settings as the user wrote them, `{}` when there are none. */
  readonly publicSettings: Readonly<Record<string, unknown>>;
  /** Base64 of the CMS envelope, `undefined` when there are no protected settings. */
  readonly protectedSettings: string | undefined;
  /** Thumbprint of the certificate that the envelope is for; checked by `parseThumbprint` before it becomes a file name. */
  readonly thumbprint: string | undefined;
}

/** What an empty settings file says. */
export const NO_SETTINGS: Settings = {
  publicSettings: {},
  protectedSettings: undefined,
  thumbprint: undefined,
};

/**
 * Reads a settings file. A zero-byte file is "no settings": the agent writes one when the goal state has none.
 * Throws {@link ContractError} naming `file` and the JSON path. Null and missing are the same.
 */
export function parseSettings(text: string, file: string): Settings {
  if (text === '') return NO_SETTINGS;
  const list = member(parseJson(text, file), 'runtimeSettings');
  const count = decodeArray(list).length;
  if (count !== 1)
    throw new ContractError(file, list.path, `must have exactly one element, but has ${count}`);
  const settings = member(element(list, 0), 'handlerSettings');
  if (isAbsent(settings)) return NO_SETTINGS;
  const publicSettings = optional(member(settings, 'publicSettings'), decodeObject, {});
  const envelope = optional(member(settings, 'protectedSettings'), decodeString, undefined);
  const thumbprint = optional(member(settings, 'protectedSettingsCertThumbprint'), decodeString, undefined);
  const protectedSettings = envelope === '' ? undefined : envelope;
  if (protectedSettings !== undefined && (thumbprint === undefined || thumbprint === '')) {
    throw new ContractError(
      file,
      `${settings.path}.protectedSettingsCertThumbprint`,
      'is missing, so the protected settings cannot be decrypted',
    );
  }
  return { publicSettings, protectedSettings, thumbprint: thumbprint === '' ? undefined : thumbprint };
}

/**
 * The agent's text: one line with Python's separators, all three keys always there, absent values null, everything but
 * printable ASCII escaped. A handler without settings gets an empty file instead, and `formatSettings` is not called.
 */
export function formatSettings(settings: {
  readonly publicSettings: Readonly<Record<string, unknown>> | null;
  readonly protectedSettings: string | null;
  readonly thumbprint: string | null;
}): string {
  return formatPythonJson({
    runtimeSettings: [
      {
        handlerSettings: {
          publicSettings: settings.publicSettings,
          protectedSettings: settings.protectedSettings,
          protectedSettingsCertThumbprint: settings.thumbprint,
        },
      },
    ],
  });
}
