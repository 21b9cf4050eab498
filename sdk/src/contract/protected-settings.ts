/**
 * The thumbprint that names the certificate of the protected settings, and the PEM files that the agent keeps under
 * that name. The envelope itself is read by `envelope.ts`.
 * Source: WALinuxAgent 2.15 `common/utils/cryptutil.py` get_thumbprint_from_crt, `common/protocol/goal_state.py`
 * _extract_certificate; agent-contract 5.2.
 */
import { ContractError } from './json.ts';

/**
 * Checks a thumbprint: the SHA-1 of a certificate as exactly 40 hex digits. Gives it in upper case, as the agent names its
 * files. Throws {@link ContractError} naming `file` for anything else, because the text is about to become a file name.
 */
export function parseThumbprint(text: string, file: string): string {
  if (!/^[0-9A-Fa-f]{40}$/.test(text)) {
    throw new ContractError(
      file,
      'runtimeSettings[0].handlerSettings.protectedSettingsCertThumbprint',
      'must be the 40 hex digits of a SHA-1 thumbprint',
    );
  }
  return text.toUpperCase();
}

/**
 * The first PEM block of `text` whose label (`CERTIFICATE`, `PRIVATE KEY`) matches `label`, from its BEGIN to its END
 * line; `undefined` when there is none. The agent's files carry attribute lines ("Bag Attributes", `subject=`) before it.
 */
export function findPem(text: string, label: RegExp): string | undefined {
  for (const match of text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g)) {
    if (label.test(match[1] ?? '')) return `${match[0]}\n`;
  }
  return undefined;
}

/** Labels of the PEM blocks in `<THUMBPRINT>.crt` and `<THUMBPRINT>.prv`; a key may be PKCS#8 or PKCS#1. */
export const CERTIFICATE_LABEL = /^CERTIFICATE$/;
export const PRIVATE_KEY_LABEL = /^(RSA )?PRIVATE KEY$/;
