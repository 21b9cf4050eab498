/**
 * The host side of Azure for one VM: WireServer, HostGAPlugin, blob store and instance metadata service, each on an address
 * of its own. What the VM should be is asked for anew for each request, and what the agent sends goes to callbacks.
 * Source: fabric.md; agent-contract 12.
 */
import { createCertificate } from '@handlerkit/sdk/testing';
import { answerBlob, createBlobStore } from './blob-store.ts';
import { formatCertificatesAnswer } from './certificates-answer.ts';
import type { FabricEndpoints } from './fabric-addresses.ts';
import type { FabricIdentity } from './fabric-identity.ts';
import type { FabricCertificate, FabricGoalState } from './goal-state-file.ts';
import type { HealthReport } from './health-report.ts';
import { answerHostPlugin } from './host-plugin.ts';
import { type HttpServer, type HttpServerDeps, listen, type RequestRecord } from './http-server.ts';
import { type ManagedIdentity, systemIdentity } from './metadata-identity.ts';
import { answerMetadata } from './metadata-service.ts';
import type { TelemetryEvent } from './telemetry.ts';
import type { VmSettingsSource } from './vm-settings.ts';
import { answerWire, type CertificatesRequest } from './wire-server.ts';

export type { RequestRecord } from './http-server.ts';

export interface FabricOptions {
  readonly identity: FabricIdentity;
  /** Where to listen; the documents name the ports that were found free for 0. */
  readonly endpoints: FabricEndpoints;
  /** Default: no vmSettings, so that agents use the extensions config. */
  readonly vmSettings?: VmSettingsSource | undefined;
  /** Default: the VM's own identity. */
  readonly identities?: readonly ManagedIdentity[];
}

export interface FabricDeps {
  now(): Date;
  /** The goal state of now. What it throws is answered with 500, and its message logged. */
  readGoalState(): FabricGoalState;
  /** PEM text of the certificate's private key; `undefined` when it is not there. */
  readPrivateKey(certificate: FabricCertificate): string | undefined;
  /** Gets each status blob, whole, as the agent wrote it. */
  onStatus(text: string): void;
  onTelemetry(events: readonly TelemetryEvent[]): void;
  onHealth(report: HealthReport): void;
  onRequest(record: RequestRecord): void;
}

export interface Fabric {
  /** Where it listens in fact. */
  readonly endpoints: FabricEndpoints;
  /** Stops listening, and ends open connections at once. */
  close(): Promise<void>;
}

/** Starts all servers, or none. Throws the system's error when an address or a port is not to be had. */
export async function startFabric(options: FabricOptions, deps: FabricDeps): Promise<Fabric> {
  const { identity } = options;
  let endpoints = options.endpoints;
  const getEndpoints = (): FabricEndpoints => endpoints;
  const readGoalState = (): FabricGoalState => deps.readGoalState();
  const source = { identity, endpoints: getEndpoints, readGoalState };
  const blobs = createBlobStore({ ...source, onStatus: (text) => deps.onStatus(text) });
  const wire = {
    ...source,
    certificates: createCertificates(deps),
    onTelemetry: (events: readonly TelemetryEvent[]) => deps.onTelemetry(events),
    onHealth: (report: HealthReport) => deps.onHealth(report),
  };
  const plugin = { ...source, vmSettings: options.vmSettings, blobs };
  const metadata = {
    identity,
    identities: options.identities ?? [systemIdentity(identity)],
    now: () => deps.now(),
  };
  const serverDeps: HttpServerDeps = {
    now: () => deps.now(),
    onRequest: (record) => deps.onRequest(record),
  };
  const started: HttpServer[] = [];
  const start = async (...args: Parameters<typeof listen>): Promise<HttpServer['endpoint']> => {
    const server = await listen(...args);
    started.push(server);
    return server.endpoint;
  };
  const close = async (): Promise<void> => {
    await Promise.all(started.map((server) => server.close()));
  };
  try {
    endpoints = {
      wireServer: await start('wireserver', endpoints.wireServer, (one) => answerWire(wire, one), serverDeps),
      hostPlugin: await start(
        'hostplugin',
        endpoints.hostPlugin,
        (one) => answerHostPlugin(plugin, one),
        serverDeps,
      ),
      blobs: await start('blobs', endpoints.blobs, (one) => answerBlob(blobs, one), serverDeps),
      metadata: await start(
        'metadata',
        endpoints.metadata,
        (one) => answerMetadata(metadata, one),
        serverDeps,
      ),
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
  return { endpoints, close };
}

/** The certificates' document stays the same for one incarnation, agent and cipher, although each envelope is another. */
function createCertificates(deps: FabricDeps): (request: CertificatesRequest) => string | undefined {
  let other: string | undefined;
  let last: { readonly key: string; readonly document: string } | undefined;
  return ({ goalState, transportCertificate, cipher }) => {
    const { certificate, incarnation } = goalState;
    const privateKeyPem = certificate === null ? undefined : deps.readPrivateKey(certificate);
    if (certificate === null || privateKeyPem === undefined) return undefined;
    const { certificatePem } = certificate;
    const key = [incarnation, cipher, transportCertificate, certificatePem].join('\n');
    if (last?.key === key) return last.document;
    // Azure's answer has a certificate of its own making, without a key.
    other ??= createCertificate({ commonName: 'CRP' }).certificatePem;
    const vm = { certificatePem, privateKeyPem, otherCertificates: [other] };
    const document = formatCertificatesAnswer(vm, incarnation, transportCertificate, cipher);
    last = { key, document };
    return document;
  };
}
