/**
 * The WireServer: goal state, documents, certificates, and the sinks for health and telemetry.
 * Source: fabric.md 2, 3, 5; agent-contract 12.2.
 */
import { CERTIFICATE_HEADERS, findCipher } from './certificates-answer.ts';
import { formatSharedConfig } from './deployment-config.ts';
import { formatExtensionsConfig } from './extensions-config.ts';
import { type FabricEndpoints, WIRE_PROTOCOL_VERSION } from './fabric-addresses.ts';
import type { FabricIdentity } from './fabric-identity.ts';
import { formatGoalStateDocument } from './goal-state-document.ts';
import type { FabricGoalState } from './goal-state-file.ts';
import { type HealthReport, parseHealthReport } from './health-report.ts';
import { formatHostingEnvironment } from './hosting-environment.ts';
import { type HttpAnswer, type HttpRequest, notFound, xml } from './http-server.ts';
import { parseTelemetry, type TelemetryEvent } from './telemetry.ts';

export interface WireServer {
  readonly identity: FabricIdentity;
  readonly endpoints: () => FabricEndpoints;
  readonly readGoalState: () => FabricGoalState;
  /** The certificates' document; `undefined` when the goal state has none or the key is not there. */
  readonly certificates: (request: CertificatesRequest) => string | undefined;
  readonly onTelemetry: (events: readonly TelemetryEvent[]) => void;
  readonly onHealth: (report: HealthReport) => void;
}

export interface CertificatesRequest {
  readonly goalState: FabricGoalState;
  readonly transportCertificate: string;
  readonly cipher: NonNullable<ReturnType<typeof findCipher>>;
}

/** Answers one request. */
export function answerWire(server: WireServer, request: HttpRequest): HttpAnswer {
  const comp = request.query.get('comp');
  if (request.method === 'POST') return answerPost(server, request, comp);
  if (request.method !== 'GET') return notFound();
  if (request.path === '/' && comp === 'versions') return xml('versions', VERSIONS);
  if (request.path !== '/machine' && !request.path.startsWith('/machine/')) return notFound();
  if (comp === 'goalstate') {
    return xml(
      'goal state',
      formatGoalStateDocument(server.readGoalState(), server.identity, server.endpoints()),
    );
  }
  if (comp === 'config') return answerConfig(server, request);
  return comp === 'certificates' ? answerCertificates(server, request) : notFound();
}

const VERSIONS = `<?xml version="1.0" encoding="utf-8"?>
<Versions>
  <Preferred>
    <Version>${WIRE_PROTOCOL_VERSION}</Version>
  </Preferred>
  <Supported>
    <Version>${WIRE_PROTOCOL_VERSION}</Version>
  </Supported>
</Versions>
`;

function answerPost(server: WireServer, request: HttpRequest, comp: string | null): HttpAnswer {
  if (request.path === '/HealthService') return { status: 200, subject: 'health service' };
  if (request.path !== '/machine') return notFound();
  if (comp === 'health') {
    const report = parseHealthReport(request.body.toString('utf8'));
    server.onHealth(report);
    return { status: 200, subject: 'health' };
  }
  // Any other answer makes an agent that provisions try again.
  if (comp === 'roleProperties') return { status: 202, subject: 'role properties' };
  if (comp !== 'telemetrydata') return notFound();
  server.onTelemetry(parseTelemetry(request.body.toString('utf8')));
  return { status: 200, subject: 'telemetry' };
}

/** A document of a former incarnation is gone: the agent then asks for the goal state again. */
function answerConfig(server: WireServer, { query }: HttpRequest): HttpAnswer {
  const goalState = server.readGoalState();
  const type = query.get('type');
  if (isOutdated(query, goalState)) return { status: 410, subject: 'outdated document' };
  if (type === 'hostingEnvironmentConfig') {
    return xml('hosting environment', formatHostingEnvironment(server.identity));
  }
  if (type === 'sharedConfig') return xml('shared config', formatSharedConfig(server.identity));
  if (type !== 'extensionsConfig') return notFound('config');
  return xml('extensions config', formatExtensionsConfig(goalState, server.identity, server.endpoints()));
}

function answerCertificates(server: WireServer, { query, headers }: HttpRequest): HttpAnswer {
  const subject = 'certificates';
  const goalState = server.readGoalState();
  if (isOutdated(query, goalState)) return { status: 410, subject: 'outdated document' };
  const transportCertificate = headers[CERTIFICATE_HEADERS.transportCertificate];
  const cipherName = headers[CERTIFICATE_HEADERS.cipher];
  if (typeof transportCertificate !== 'string' || typeof cipherName !== 'string') {
    return { status: 400, subject, note: 'the request names no transport certificate or no cipher' };
  }
  const cipher = findCipher(cipherName);
  if (cipher === undefined) return { status: 400, subject, note: 'the request names an unknown cipher' };
  const document = server.certificates({ goalState, transportCertificate, cipher });
  return document === undefined ? notFound(subject, 'the VM has none') : xml(subject, document);
}

function isOutdated(query: URLSearchParams, { incarnation }: FabricGoalState): boolean {
  const asked = query.get('incarnation');
  return asked !== null && asked !== String(incarnation);
}
