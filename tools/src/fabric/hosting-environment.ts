/** The hosting environment: the names of VM, role and deployment. Source: fabric.md 3; agent-contract 12.2 (GS:HostingEnv). */
import { formatInstanceId } from './fabric-addresses.ts';
import type { FabricIdentity } from './fabric-identity.ts';
import { escapeXml } from './xml.ts';

/** The document; it does not change with the incarnation. */
export function formatHostingEnvironment(identity: FabricIdentity): string {
  const name = escapeXml(`_${identity.vmName}`);
  return `<?xml version="1.0" encoding="utf-8"?>
<HostingEnvironmentConfig version="1.0.0.0" goalStateIncarnation="1">
  <Deployment name="${identity.deploymentId}" guid="{${identity.deploymentId}}" incarnation="0" isNonCancellableTopologyChangeEnabled="false">
    <Service name="${name}" guid="{00000000-0000-0000-0000-000000000000}" />
    <ServiceInstance name="${identity.deploymentId}.0" guid="{${identity.containerId}}" />
  </Deployment>
  <Incarnation number="1" instance="${escapeXml(identity.vmName)}" guid="{${identity.vmId}}" />
  <Role guid="{${identity.vmId}}" name="${name}" settleTimeSeconds="0" />
  <Roles><Role guid="{${identity.vmId}}" name="${name}" settleTimeSeconds="0" /></Roles>
  <ResourceReferences />
  <Instance id="${escapeXml(formatInstanceId(identity))}" />
</HostingEnvironmentConfig>
`;
}
