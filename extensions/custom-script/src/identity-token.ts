/**
 * The token with which blobs are reached as a managed identity: asked for when the first file needs it, and kept for a
 * quarter of an hour. Source: Custom Script 2.1.19 sections 4 and 12.
 */
import type { Host } from '@handlerkit/sdk';
import { getManagedIdentityToken, HandlerError } from '@handlerkit/sdk';
import { scriptError } from './errors.ts';

/** Gives the token. Throws `IDENTITY_SERVICE_FAILED` or `IDENTITY_UNUSABLE`, or the signal's reason. */
export type TokenSource = (signal: AbortSignal) => Promise<string>;

/** Makes a source of its own for one run. Every token goes to `addSecret` before anybody sees it. */
export function createTokenSource(
  host: Host,
  identity: { readonly clientId?: string; readonly objectId?: string },
  addSecret: (secret: string) => void,
): TokenSource {
  let pending: Promise<string> | undefined;
  let askedAt = 0;
  return (signal) => {
    if (pending !== undefined && host.elapsedMs() - askedAt < KEPT_MS) return pending;
    askedAt = host.elapsedMs();
    const asked = requestToken(host, identity, signal).then((token) => {
      addSecret(token);
      return token;
    });
    // What failed, or was ended, is asked for again by whoever comes next.
    asked.catch(() => {
      if (pending === asked) pending = undefined;
    });
    pending = asked;
    return asked;
  };
}

/** How long a token is used: a run may be longer than a token is valid. */
const KEPT_MS = 15 * 60 * 1000;
/** The resource is the same in every cloud. */
const STORAGE_RESOURCE = 'https://storage.azure.com/';

async function requestToken(
  host: Host,
  { clientId, objectId }: { readonly clientId?: string; readonly objectId?: string },
  signal: AbortSignal,
): Promise<string> {
  let lastStatus = 0;
  const fetch: Host['fetch'] = async (...input) => {
    const response = await host.fetch(...input);
    lastStatus = response.status;
    return response;
  };
  try {
    return await getManagedIdentityToken(
      { ...host, fetch },
      {
        resource: STORAGE_RESOURCE,
        signal,
        ...(clientId !== undefined && { clientId }),
        ...(objectId !== undefined && { objectId }),
      },
    );
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof HandlerError)) throw thrown;
    // The service's own trouble is no fault of the identity.
    const isBusy = lastStatus >= 500 || lastStatus === 429;
    const advice = isBusy ? '' : `. Please make sure that ${describeIdentity(clientId, objectId)}`;
    throw scriptError(
      lastStatus >= 500 ? 'IDENTITY_SERVICE_FAILED' : 'IDENTITY_UNUSABLE',
      `Unable to get managed identity token: ${thrown.message}${advice}`,
      thrown,
    );
  }
}

function describeIdentity(clientId: string | undefined, objectId: string | undefined): string {
  if (clientId !== undefined) return 'the user-assigned identity with this client id is assigned to the VM';
  if (objectId !== undefined) return 'the user-assigned identity with this object id is assigned to the VM';
  return 'the VM has a system-assigned identity';
}
