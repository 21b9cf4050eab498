/**
 * The HostGAPlugin: the way to blobs for a VM that cannot reach them itself, and the goal state as vmSettings.
 * Source: fabric.md 2, 6; agent-contract 12.5.
 */
import { ContractError } from '@handlerkit/sdk/contract';
import type { BlobStore } from './blob-store.ts';
import { type FabricEndpoints, formatOrigin, HOST_PLUGIN_VERSION } from './fabric-addresses.ts';
import type { FabricIdentity } from './fabric-identity.ts';
import type { FabricGoalState } from './goal-state-file.ts';
import { type HttpAnswer, type HttpRequest, json, notFound } from './http-server.ts';
import { parseStatusUpload } from './status-upload.ts';
import { formatEntityTag, formatVmSettings, type VmSettingsSource } from './vm-settings.ts';

export interface HostPlugin {
  readonly identity: FabricIdentity;
  readonly endpoints: () => FabricEndpoints;
  readonly readGoalState: () => FabricGoalState;
  /** `undefined`: no vmSettings, as on a host that is too old for them. */
  readonly vmSettings: VmSettingsSource | undefined;
  readonly blobs: BlobStore;
}

/** Answers one request. */
export function answerHostPlugin(plugin: HostPlugin, request: HttpRequest): HttpAnswer {
  const { method, path } = request;
  const containerId = request.headers['x-ms-containerid'];
  if (containerId !== undefined && containerId !== plugin.identity.containerId) {
    return { status: 410, subject: 'stale container' };
  }
  if (method === 'GET' && path === '/versions') return json('plugin versions', [HOST_PLUGIN_VERSION]);
  if (method === 'GET' && path === '/health') return { status: 200, subject: 'plugin health' };
  if (method === 'GET' && path === '/vmSettings') return answerVmSettings(plugin, request);
  if (method === 'GET' && path === '/extensionArtifact') return answerArtifact(plugin, request);
  if (method === 'PUT' && path === '/status') return answerStatus(plugin, request);
  // The logs of a VM have no reader here.
  if (method === 'PUT' && path === '/vmAgentLog') return { status: 200, subject: 'agent log' };
  return notFound();
}

function answerVmSettings(plugin: HostPlugin, { headers }: HttpRequest): HttpAnswer {
  const subject = 'vmSettings';
  if (plugin.vmSettings === undefined) return notFound(subject);
  const goalState = plugin.readGoalState();
  const text = formatVmSettings(goalState, plugin.identity, plugin.endpoints(), plugin.vmSettings);
  const etag = formatEntityTag(text);
  if (headers['if-none-match'] === etag) return { status: 304, subject, headers: { etag } };
  const answer = json(subject, text);
  return { ...answer, headers: { ...answer.headers, etag } };
}

/** Gives what the blob store has. There is no way from here to any other store. */
function answerArtifact(plugin: HostPlugin, { headers }: HttpRequest): HttpAnswer {
  const subject = 'artifact';
  const location = headers['x-ms-artifact-location'];
  if (typeof location !== 'string' || !URL.canParse(location)) {
    return { status: 400, subject, note: 'the request names no artifact' };
  }
  const url = new URL(location);
  if (!isOurs(plugin, url)) return notFound(subject, 'the artifact is in another store');
  return plugin.blobs.read(url.pathname);
}

function answerStatus(plugin: HostPlugin, { body }: HttpRequest): HttpAnswer {
  const subject = 'status';
  try {
    const write = parseStatusUpload(body.toString('utf8'));
    if (!isOurs(plugin, write.url)) return notFound(subject, 'the blob is in another store');
    const answer = plugin.blobs.write(write);
    return answer.status === 201 ? { ...answer, status: 200 } : answer;
  } catch (thrown) {
    if (!(thrown instanceof ContractError)) throw thrown;
    return { status: 400, subject, note: thrown.message };
  }
}

function isOurs(plugin: HostPlugin, url: URL): boolean {
  return url.origin === formatOrigin(plugin.endpoints().blobs);
}
