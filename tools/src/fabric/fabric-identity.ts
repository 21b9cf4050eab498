/**
 * What Azure would call the VM: names and numbers of the machine, its container and its deployment. Made from one seed, so
 * that they stay the same for one VM and nothing has to be kept.
 */
import { createHash } from 'node:crypto';

export interface FabricIdentity {
  readonly vmName: string;
  readonly vmId: string;
  readonly containerId: string;
  readonly deploymentId: string;
  readonly subscriptionId: string;
  readonly tenantId: string;
  readonly resourceGroup: string;
  readonly location: string;
  /** Signature in the address of the status blob; opens nothing but this fabric. */
  readonly blobSignature: string;
}

/** `seed`: anything that is the VM's own, such as the path of its folder. */
export function createIdentity(seed: string, vmName = 'local-vm'): FabricIdentity {
  return {
    vmName,
    vmId: formatGuid(seed, 'vm'),
    containerId: formatGuid(seed, 'container'),
    deploymentId: formatGuid(seed, 'deployment'),
    subscriptionId: formatGuid(seed, 'subscription'),
    tenantId: formatGuid(seed, 'tenant'),
    resourceGroup: 'handlerkit',
    location: 'local',
    blobSignature: digest(seed, 'blob').toString('base64'),
  };
}

/** A GUID that is always the same for the same words. */
export function formatGuid(...words: readonly string[]): string {
  const bytes = digest(...words).subarray(0, 16);
  bytes[6] = (bytes.readUInt8(6) & 0x0f) | 0x40;
  bytes[8] = (bytes.readUInt8(8) & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function digest(...words: readonly string[]): Buffer {
  return createHash('sha256').update(words.join('\n')).digest();
}
