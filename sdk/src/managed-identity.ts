/**
 * A token of the VM's managed identity: from the instance metadata service on Azure, from the agent's own endpoint on an
 * Azure Arc machine, which asks for the content of a file that only root and its group can read. Never through a proxy.
 * Source: Custom Script 2.1.19 section 4; Microsoft Learn, "How to use managed identities to acquire an access token",
 * "Authenticate against Azure resources with Azure Arc-enabled servers".
 */
import { constants, open } from 'node:fs/promises';
import { HandlerError } from './errors.ts';
import type { Host } from './host.ts';
import { INSTANCE_METADATA_ORIGIN } from './instance-metadata.ts';
import type { MetadataAnswer, MetadataRequest } from './metadata-request.ts';
import { parseAnswer, propertyOf, requestMetadata } from './metadata-request.ts';
import { isLoopback, isPlatformAddress } from './network-address.ts';

/** Which token is asked for. */
export interface ManagedIdentityRequest {
  /** For which service: `https://storage.azure.com/`. */
  readonly resource: string;
  /** Which of the user-assigned identities; with neither, the system-assigned one, or the only one there is. */
  readonly clientId?: string;
  readonly objectId?: string;
  readonly signal: AbortSignal;
  /** 0 to 1, for the pauses between tries; default `Math.random`. */
  readonly random?: () => number;
}

/**
 * Gets a token (the bare word that follows `Bearer `). Asks again while the service is busy or being updated, two minutes
 * at most. Throws `MANAGED_IDENTITY_FAILED`, or the reason of `signal`. Never logs the token, and does not keep it: the
 * caller gives it to `addSecret` at once, and sends it over https to hosts of `resource` only.
 */
export async function getManagedIdentityToken(host: Host, request: ManagedIdentityRequest): Promise<string> {
  const { signal, random } = request;
  const named = host.env.IDENTITY_ENDPOINT;
  const isArc = named !== undefined && named !== '';
  const url = isArc
    ? readEndpoint(named)
    : new URL('/metadata/identity/oauth2/token', INSTANCE_METADATA_ORIGIN);
  url.searchParams.set('api-version', isArc ? '2020-06-01' : '2018-02-01');
  url.searchParams.set('resource', request.resource);
  if (request.clientId !== undefined) url.searchParams.set('client_id', request.clientId);
  if (request.objectId !== undefined) url.searchParams.set('object_id', request.objectId);
  const asked: MetadataRequest = {
    url,
    code: CODE,
    subject: 'a token of the managed identity',
    signal,
    random,
  };
  let answer = await requestMetadata(host, asked);
  if (isArc && answer.status === 401) {
    const key = await readChallengeKey(host, answer.headers.get('www-authenticate') ?? '');
    answer = await requestMetadata(host, { ...asked, headers: { authorization: `Basic ${key}` } });
  }
  if (answer.status !== 200) throw refusal(answer, request, url.host);
  const token = propertyOf(parseAnswer(answer, asked), 'access_token');
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw failed(`the answer of ${url.host} holds no token of the managed identity; try again`);
  }
  return token;
}

const CODE = 'MANAGED_IDENTITY_FAILED';
/** Where the Arc agent puts the answer to its challenge. Anything else would let the endpoint read any file. */
const KEY_FOLDER = '/var/opt/azcmagent/tokens/';
const LONGEST_KEY = 4096;

/** The identity's endpoint is on the machine: a token must not be asked for, and got, from anywhere else. */
function readEndpoint(named: string): URL {
  const url = URL.canParse(named) ? new URL(named) : undefined;
  const isNear = url !== undefined && (isLoopback(url.hostname) || isPlatformAddress(url.hostname));
  if (!isNear || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '') {
    throw failed('the variable IDENTITY_ENDPOINT names no address of this machine; correct it or remove it');
  }
  return url;
}

async function readChallengeKey(host: Host, challenge: string): Promise<string> {
  const [, path = ''] = /^Basic\s+realm="?([^"\s]+)"?$/i.exec(challenge.trim()) ?? [];
  const name = path.startsWith(KEY_FOLDER) ? path.slice(KEY_FOLDER.length) : '';
  if (!/^[\w.-]{1,200}\.key$/.test(name)) {
    throw failed(`the identity endpoint names no key file in ${KEY_FOLDER}; check the Azure Arc agent`);
  }
  try {
    const file = await open(
      host.path(path),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
    try {
      const { size } = await file.stat();
      if (size > LONGEST_KEY)
        throw failed(`the key file in ${KEY_FOLDER} has more than ${LONGEST_KEY} bytes`);
      const bytes = Buffer.alloc(LONGEST_KEY);
      const { bytesRead } = await file.read(bytes, 0, LONGEST_KEY, 0);
      return readKey(bytes.toString('latin1', 0, bytesRead));
    } finally {
      await file.close();
    }
  } catch (thrown) {
    if (thrown instanceof HandlerError) throw thrown;
    throw failed(`the key file in ${KEY_FOLDER} cannot be read; run the handler as root`, thrown);
  }
}

/** It goes into a header, so it is one word of visible characters. */
function readKey(text: string): string {
  const key = text.trim();
  if (!/^[\x20-\x7e]+$/.test(key)) throw failed(`the key file in ${KEY_FOLDER} is empty or holds no text`);
  return key;
}

function refusal(answer: MetadataAnswer, request: ManagedIdentityRequest, host: string): HandlerError {
  return failed(
    `${host} gave no token of the managed identity (${answer.status}): ${explain(answer, request)}`,
  );
}

function explain({ status, text }: MetadataAnswer, { clientId, objectId }: ManagedIdentityRequest): string {
  const which =
    clientId !== undefined
      ? 'that client id'
      : objectId !== undefined
        ? 'that object id'
        : 'a system-assigned identity';
  // Only known words are looked for: the answer itself may hold what should not be shown.
  if (status === 400 && /multiple user.assigned/i.test(text)) {
    return 'the VM has several identities; name one by its client id or object id';
  }
  if (status === 400)
    return `the VM has no identity for this request; assign ${which}, and check the resource`;
  if (status === 404) return `the VM has no managed identity; assign ${which}`;
  if (status === 401 || status === 403)
    return 'the endpoint refuses the request; check what guards it on this VM';
  if (status === 429) return 'too many requests; try again in some minutes';
  return 'the service is not available at the moment; try again in some minutes';
}

function failed(message: string, cause?: unknown): HandlerError {
  return new HandlerError(CODE, message, cause === undefined ? {} : { cause });
}
