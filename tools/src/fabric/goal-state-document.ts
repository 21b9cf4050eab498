/**
 * The goal state, as the WireServer gives it: the incarnation, and where the documents are.
 * Source: fabric.md 3; agent-contract 12.2.
 */
import {
  type FabricEndpoints,
  formatCertificatesUrl,
  formatConfigName,
  formatConfigUrl,
  formatInstanceId,
  WIRE_PROTOCOL_VERSION,
} from './fabric-addresses.ts';
import type { FabricIdentity } from './fabric-identity.ts';
import type { FabricGoalState } from './goal-state-file.ts';
import { escapeXml } from './xml.ts';

/** The document of one incarnation; the same goal state gives the same bytes. Names no certificates when there are none. */
export function formatGoalStateDocument(
  { incarnation, certificate }: FabricGoalState,
  identity: FabricIdentity,
  endpoints: FabricEndpoints,
): string {
  const url = (document: Parameters<typeof formatConfigUrl>[2]): string =>
    escapeXml(formatConfigUrl(endpoints, identity, document, incarnation));
  const certificates = escapeXml(formatCertificatesUrl(endpoints, identity, incarnation));
  const named = certificate === null ? '' : `\n          <Certificates>${certificates}</Certificates>`;
  return `<?xml version="1.0" encoding="utf-8"?>
<GoalState>
  <Version>${WIRE_PROTOCOL_VERSION}</Version>
  <Incarnation>${incarnation}</Incarnation>
  <Machine>
    <ExpectedState>Started</ExpectedState>
    <ExpectHealthReport>FALSE</ExpectHealthReport>
  </Machine>
  <Container>
    <ContainerId>${identity.containerId}</ContainerId>
    <RoleInstanceList>
      <RoleInstance>
        <InstanceId>${escapeXml(formatInstanceId(identity))}</InstanceId>
        <State>Started</State>
        <Configuration>
          <HostingEnvironmentConfig>${url('hostingEnvironmentConfig')}</HostingEnvironmentConfig>
          <SharedConfig>${url('sharedConfig')}</SharedConfig>
          <ExtensionsConfig>${url('extensionsConfig')}</ExtensionsConfig>
          <FullConfig>${url('fullConfig')}</FullConfig>${named}
          <ConfigName>${escapeXml(formatConfigName(identity))}</ConfigName>
        </Configuration>
      </RoleInstance>
    </RoleInstanceList>
  </Container>
</GoalState>
`;
}
