/** The code of a failed connection, and what it means in words. Nothing here shows a message of the runtime: some hold the URL. */

/** The code of the error or of what caused it, `no further reason` when there is none. */
export function transportCode(thrown: unknown): string {
  let at: unknown = thrown;
  for (let depth = 0; depth < 5 && at instanceof Error; depth++) {
    if ('code' in at && typeof at.code === 'string' && /^\w{1,60}$/.test(at.code)) return at.code;
    at = at instanceof AggregateError && at.errors.length > 0 ? at.errors[0] : at.cause;
  }
  return 'no further reason';
}

/** The server is there, and its certificate is not one that this machine believes. Another try cannot help. */
export function isTrustCode(code: string): boolean {
  return isUnknownAuthority(code) || code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code.startsWith('CERT_');
}

/** Nobody whom this program knows vouches for the certificate; other authorities may. */
export function isUnknownAuthority(code: string): boolean {
  return UNKNOWN_AUTHORITY.has(code);
}

/** No TLS came about: another protocol, another version of it, or a certificate that the server wants of its client. */
export function isHandshakeCode(code: string): boolean {
  return code === 'EPROTO' || code.startsWith('ERR_SSL_');
}

export function isTimeoutCode(code: string): boolean {
  return code === 'ETIMEDOUT' || (code.startsWith('UND_ERR_') && code.endsWith('_TIMEOUT'));
}

/** The head of the answer breaks HTTP's rules, or is longer than any program takes. The same would come again. */
export function isMalformedAnswer(code: string): boolean {
  return MALFORMED_ANSWER.has(code);
}

/** The body is not in the encoding that its head names: codes of zlib, and of bun's decoders. */
export function isDecodingCode(code: string): boolean {
  return code.startsWith('Z_') || /^(?:Zlib|Brotli\w*|Zstd\w*)Error$/.test(code);
}

/** What a code says to a person. */
export function describeTransportCode(code: string): string {
  if (isHandshakeCode(code)) {
    return 'the other side speaks no TLS that this program knows, 1.2 or later, or asks for a certificate of its client';
  }
  return CODE_WORDS[code] ?? 'the connection failed';
}

const UNKNOWN_AUTHORITY: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
]);

const MALFORMED_ANSWER: ReadonlySet<string> = new Set([
  'Malformed_HTTP_Response',
  'InvalidContentLength',
  'UnsupportedTransferEncoding',
  'UnrequestedUpgrade',
  'UND_ERR_HEADERS_OVERFLOW',
  'HPE_HEADER_OVERFLOW',
  'HPE_INVALID_HEADER_TOKEN',
  'HPE_INVALID_CONTENT_LENGTH',
  'HPE_UNEXPECTED_CONTENT_LENGTH',
]);

const CODE_WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ConnectionRefused: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  ConnectionClosed: 'the connection was closed',
  ENOTFOUND: 'the name cannot be resolved',
  EAI_AGAIN: 'the name cannot be resolved at the moment',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'the network is unreachable',
  EACCES: 'a rule of this machine forbids the connection',
  EPERM: 'a rule of this machine forbids the connection',
  ERR_PROXY_TUNNEL: 'the proxy does not let the request through',
};
