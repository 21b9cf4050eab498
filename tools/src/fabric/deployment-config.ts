/** The shared configuration of a deployment, which the agent keeps and does not look into. Source: fabric.md 3. */
import { formatInstanceId } from './fabric-addresses.ts';
import type { FabricIdentity } from './fabric-identity.ts';
import { escapeXml } from './xml.ts';

/** The document; it does not change with the incarnation. */
export function formatSharedConfig(identity: FabricIdentity): string {
  const instance = escapeXml(formatInstanceId(identity));
  return `<?xml version="1.0" encoding="utf-8"?>
<SharedConfig version="1.0.0.0" goalStateIncarnation="1">
  <Deployment name="${identity.deploymentId}" guid="{${identity.deploymentId}}" incarnation="0" />
  <Incarnation number="1" instance="${escapeXml(identity.vmName)}" guid="{${identity.vmId}}" />
  <Role guid="{${identity.vmId}}" name="${escapeXml(`_${identity.vmName}`)}" settleTimeSeconds="0" />
  <LoadBalancerSettings timeoutSeconds="0" waitLoadBalancerProbeCount="8" />
  <Instances>
    <Instance id="${instance}" address="127.0.0.1" />
  </Instances>
</SharedConfig>
`;
}
