/**
 * Secrets by their shape: an anchor that is fast to find, and an expression that has to match around it, so that the
 * words alone, as every program with a TLS library has them, are no finding.
 * Source: RFC 7468 (PEM); Azure Storage, account keys (64 bytes) and SAS (`sig`); npmrc `_authToken`.
 */

export interface SecretPattern {
  /** What it is, for people. */
  readonly what: string;
  readonly anchor: string;
  readonly expression: RegExp;
}

export const SECRET_PATTERNS: readonly SecretPattern[] = [
  {
    what: 'a private key',
    anchor: 'PRIVATE KEY-----',
    expression:
      /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s*(?:\\n)?(?:[A-Za-z-]+: [^\n]+\s+)*[A-Za-z0-9+/=\s\\]{60}/,
  },
  {
    what: 'a storage account key',
    anchor: 'AccountKey=',
    // The key that begins so is that of the storage emulator, which its documentation publishes.
    expression: /AccountKey=(?!Eby8vdM02xNOcqFlqUwJPLlm)[A-Za-z0-9+/]{86}==/,
  },
  {
    what: 'a connection string with a key',
    anchor: 'SharedAccessKey=',
    expression: /SharedAccessKey=[A-Za-z0-9+/]{42,}=/,
  },
  {
    what: 'a URL with a shared access signature',
    anchor: 'sig=',
    expression: /https:\/\/[^\s"'<>]{4,200}\?[^\s"'<>]{0,800}\bsig=[A-Za-z0-9%+/]{40,}/,
  },
  {
    what: 'a token of npm',
    anchor: '_authToken',
    expression: /_authToken\s*=\s*["']?(?!\$\{)(?=[A-Za-z_.-]*\d)[A-Za-z0-9_.-]{16,}/,
  },
  { what: 'a token of npm', anchor: 'npm_', expression: /\bnpm_[A-Za-z0-9]{36}\b/ },
  { what: 'a token of GitHub', anchor: 'ghp_', expression: /\bghp_[A-Za-z0-9]{36}\b/ },
];

/** Bytes before and behind an anchor that an expression looks at. */
export const BEFORE_ANCHOR = 1024;
export const BEHIND_ANCHOR = 1024;

/** What of {@link SECRET_PATTERNS} the bytes hold, each once. Never gives the secret itself. */
export function findSecrets(bytes: Buffer): readonly string[] {
  const found = new Set<string>();
  for (const { what, anchor, expression } of SECRET_PATTERNS) {
    for (let at = bytes.indexOf(anchor); at !== -1; at = bytes.indexOf(anchor, at + anchor.length)) {
      const text = bytes.toString('latin1', Math.max(0, at - BEFORE_ANCHOR), at + BEHIND_ANCHOR);
      if (!expression.test(text)) continue;
      found.add(what);
      break;
    }
  }
  return [...found];
}
