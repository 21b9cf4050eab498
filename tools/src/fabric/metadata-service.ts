/**
 * The instance metadata service: who may ask, with which version, and which part answers.
 * Source: Microsoft Learn, "Azure Instance Metadata Service", "Security", "Versioning", "Errors and debugging"; fabric.md 2.
 */
import type { FabricIdentity } from './fabric-identity.ts';
import { type HttpAnswer, type HttpRequest, json, notFound } from './http-server.ts';
import { answerToken, type ManagedIdentity } from './metadata-identity.ts';
import { answerInstance } from './metadata-instance.ts';

export interface MetadataService {
  readonly identity: FabricIdentity;
  readonly identities: readonly ManagedIdentity[];
  readonly now: () => Date;
}

/** Answers one request. */
export function answerMetadata(service: MetadataService, request: HttpRequest): HttpAnswer {
  const { path, method, headers, query } = request;
  const kind = KINDS.find(({ prefix }) => path === prefix || path.startsWith(`${prefix}/`))?.kind;
  const isToken = kind === 'token';
  if (headers['x-forwarded-for'] !== undefined) {
    return refuse(isToken, 'Bad request. Requests that were forwarded are not answered');
  }
  if (headers.metadata?.toString().toLowerCase() !== 'true') {
    return refuse(isToken, 'Required metadata header not specified');
  }
  if (kind === undefined) return json('unknown', { error: 'Not found' }, 404);
  if (method !== 'GET') return { status: 405, subject: kind };
  if (!/^\d{4}-\d{2}-\d{2}(-preview)?$/.test(query.get('api-version') ?? '')) {
    if (isToken) return refuse(true, "The request is missing the parameter 'api-version'.");
    return json(kind, { error: NO_VERSION, 'newest-versions': NEWEST_VERSIONS }, 400);
  }
  if (isToken) return answerToken(request, service.identities, service.identity.tenantId, service.now());
  if (kind === 'instance') return answerInstance(request, service.identity);
  // Nothing ever happens to this VM.
  return kind === 'events' ? json('scheduled events', { DocumentIncarnation: 1, Events: [] }) : notFound();
}

const KINDS = [
  { prefix: '/metadata/instance', kind: 'instance' },
  { prefix: '/metadata/identity/oauth2/token', kind: 'token' },
  { prefix: '/metadata/scheduledevents', kind: 'events' },
] as const;

const NO_VERSION = 'Bad request. api-version was not specified in the request';
const NEWEST_VERSIONS = ['2021-12-13', '2021-11-15', '2021-11-01'];

function refuse(isToken: boolean, text: string): HttpAnswer {
  return isToken
    ? json('token', { error: 'invalid_request', error_description: text }, 400)
    : json('instance metadata', { error: text }, 400);
}
