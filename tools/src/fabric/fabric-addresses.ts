/**
 * Where the host side of Azure answers, and the addresses that its documents name.
 * Source: fabric.md 1, 2; agent-contract 12.1, 12.2.
 */
import { WIRE_SERVER_ADDRESS } from '@handlerkit/sdk/contract';
import type { FabricIdentity } from './fabric-identity.ts';

export interface Endpoint {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

export interface FabricEndpoints {
  readonly wireServer: Endpoint;
  readonly hostPlugin: Endpoint;
  /** Manifests, packages and status blobs. */
  readonly blobs: Endpoint;
  readonly metadata: Endpoint;
}

/** Version of the wire protocol that agents ask for. */
export const WIRE_PROTOCOL_VERSION = '2012-11-30';
/** Version of the HostGAPlugin's protocol. */
export const HOST_PLUGIN_VERSION = '2015-09-01';

/** The addresses of a real VM's host; the port of the blob store is ours, as Azure's is any host. */
export const AZURE_ENDPOINTS: FabricEndpoints = {
  wireServer: { host: WIRE_SERVER_ADDRESS, port: 80 },
  hostPlugin: { host: WIRE_SERVER_ADDRESS, port: 32_526 },
  blobs: { host: WIRE_SERVER_ADDRESS, port: 8080 },
  metadata: { host: '169.254.169.254', port: 80 },
};

/** `http://host`, with the port unless it is 80. */
export function formatOrigin({ host, port }: Endpoint): string {
  return port === 80 ? `http://${host}` : `http://${host}:${port}`;
}

/** Documents that the goal state names; `fullConfig` is named by Azure, too, but nobody asks for it. */
export type ConfigDocument = 'hostingEnvironmentConfig' | 'sharedConfig' | 'extensionsConfig' | 'fullConfig';

/** The URL of a document of one incarnation. */
export function formatConfigUrl(
  endpoints: FabricEndpoints,
  identity: FabricIdentity,
  document: ConfigDocument,
  incarnation: number,
): string {
  const path = `${formatOrigin(endpoints.wireServer)}/machine/${identity.containerId}/${formatInstanceId(identity)}`;
  return `${path}?comp=config&type=${document}&incarnation=${incarnation}`;
}

/** The URL of the certificates of one incarnation. */
export function formatCertificatesUrl(
  endpoints: FabricEndpoints,
  identity: FabricIdentity,
  incarnation: number,
): string {
  const path = `${formatOrigin(endpoints.wireServer)}/machine/${identity.containerId}/${formatInstanceId(identity)}`;
  return `${path}?comp=certificates&incarnation=${incarnation}`;
}

/** Name of the role instance, as the goal state has it. */
export function formatInstanceId({ deploymentId, vmName }: FabricIdentity): string {
  return `${deploymentId}._${vmName}`;
}

/** Name that comes back as `x-ms-host-config-name`; the agent takes what is before the first dot for the deployment. */
export function formatConfigName({ deploymentId, vmName }: FabricIdentity): string {
  return `${deploymentId}.0.${deploymentId}.0._${vmName}.1.xml`;
}

/** The version manifest of a handler. */
export function formatManifestUrl(endpoints: FabricEndpoints, handlerName: string): string {
  return `${formatOrigin(endpoints.blobs)}${BLOB_FOLDERS.manifests}${encodeURIComponent(handlerName)}`;
}

/** The package of one version of a handler. */
export function formatPackageUrl(endpoints: FabricEndpoints, handlerName: string, version: string): string {
  const name = encodeURIComponent(`${handlerName}__${version}`);
  return `${formatOrigin(endpoints.blobs)}${BLOB_FOLDERS.packages}${name}`;
}

/** The artifacts profile, which says whether the agent is to leave everything as it is. */
export function formatProfileUrl(endpoints: FabricEndpoints, { vmName, vmId }: FabricIdentity): string {
  return `${formatOrigin(endpoints.blobs)}${BLOB_FOLDERS.profiles}${vmName}.${vmId}`;
}

/** The status blob, with the query of a shared access signature, as agents hide that in what they keep. */
export function formatStatusBlobUrl(endpoints: FabricEndpoints, identity: FabricIdentity): string {
  const signature = encodeURIComponent(identity.blobSignature);
  const query = `sv=2018-03-28&sr=b&sk=system-1&sig=${signature}&se=9999-01-01T00%3A00%3A00Z&sp=rw`;
  return `${formatOrigin(endpoints.blobs)}${BLOB_FOLDERS.reports}${identity.vmName}.${identity.vmId}?${query}`;
}

/** Folders of the blob store. */
export const BLOB_FOLDERS = {
  manifests: '/manifests/',
  packages: '/packages/',
  profiles: '/profiles/',
  reports: '/$system/',
} as const;
