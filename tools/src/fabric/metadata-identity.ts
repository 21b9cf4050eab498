/**
 * Tokens of the VM's managed identities, as the instance metadata service gives them. They have the form of real ones and
 * say that they are none: no service accepts them.
 * Source: Microsoft Learn, "How to use managed identities for Azure resources on an Azure VM to acquire an access token",
 * "Get a token using HTTP", "Error handling".
 */
import type { FabricIdentity } from './fabric-identity.ts';
import { formatGuid } from './fabric-identity.ts';
import { type HttpAnswer, type HttpRequest, json } from './http-server.ts';

export interface ManagedIdentity {
  readonly clientId: string;
  readonly objectId: string;
  /** Resource id of a user-assigned identity; absent for the VM's own. */
  readonly resourceId?: string;
}

/** The VM's own identity. */
export function systemIdentity({ vmId }: FabricIdentity): ManagedIdentity {
  return { clientId: formatGuid(vmId, 'client'), objectId: formatGuid(vmId, 'object') };
}

/** Answers `/metadata/identity/oauth2/token`; the guards of the service have let the request pass. */
export function answerToken(
  request: HttpRequest,
  identities: readonly ManagedIdentity[],
  tenantId: string,
  now: Date,
): HttpAnswer {
  const { query } = request;
  const resource = query.get('resource');
  if (resource === null || resource === '') {
    return refuse('invalid_request', "The request is missing the parameter 'resource'.");
  }
  const named = SELECTORS.filter((selector) => query.has(selector.parameter));
  if (named.length > 1) {
    return refuse('invalid_request', 'Only one of client_id, object_id and msi_res_id can be given.');
  }
  const [selector] = named;
  const found =
    selector === undefined
      ? defaultIdentities(identities)
      : identities.filter(
          (one) => selector.read(one)?.toLowerCase() === query.get(selector.parameter)?.toLowerCase(),
        );
  const [identity] = found;
  if (identity === undefined) return refuse('invalid_request', 'Identity not found');
  if (found.length > 1) {
    const text =
      'Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request';
    return refuse('invalid_request', text);
  }
  return json('token', tokenDocument(identity, resource, tenantId, now));
}

const SELECTORS = [
  { parameter: 'client_id', read: (one: ManagedIdentity) => one.clientId },
  { parameter: 'object_id', read: (one: ManagedIdentity) => one.objectId },
  { parameter: 'msi_res_id', read: (one: ManagedIdentity) => one.resourceId },
  { parameter: 'mi_res_id', read: (one: ManagedIdentity) => one.resourceId },
] as const;

/** Seconds that a token is good for; the system-assigned identity's are kept for a day. */
const LIFETIME = 86_400;
const EARLIER = 300;

/** Without a name it is the VM's own identity, or the only one there is. */
function defaultIdentities(identities: readonly ManagedIdentity[]): readonly ManagedIdentity[] {
  const own = identities.filter((one) => one.resourceId === undefined);
  return own.length > 0 ? own : identities;
}

function tokenDocument(
  identity: ManagedIdentity,
  resource: string,
  tenantId: string,
  now: Date,
): Record<string, string> {
  const seconds = Math.floor(now.getTime() / 1000);
  const expires = seconds + LIFETIME;
  const header = { typ: 'JWT', alg: 'none', note: 'made by handlerkit fabric; no service accepts it' };
  const claims = {
    aud: resource,
    iss: `https://sts.windows.net/${tenantId}/`,
    iat: seconds,
    nbf: seconds - EARLIER,
    exp: expires,
    appid: identity.clientId,
    oid: identity.objectId,
    sub: identity.objectId,
    tid: tenantId,
    ...(identity.resourceId === undefined ? {} : { xms_mirid: identity.resourceId }),
  };
  return {
    access_token: `${encode(header)}.${encode(claims)}.not-a-signature`,
    client_id: identity.clientId,
    expires_in: String(LIFETIME),
    expires_on: String(expires),
    ext_expires_in: String(LIFETIME),
    not_before: String(seconds - EARLIER),
    resource,
    token_type: 'Bearer',
  };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function refuse(error: string, description: string): HttpAnswer {
  return json('token', { error, error_description: description }, 400);
}
