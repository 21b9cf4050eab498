/**
 * What the instance metadata service tells of the VM. A part of the document is asked for by its path; a single value as text.
 * Source: Microsoft Learn, "Azure Instance Metadata Service", categories compute and network, "Data format".
 */
import type { FabricIdentity } from './fabric-identity.ts';
import { type HttpAnswer, type HttpRequest, json, notFound } from './http-server.ts';

/** The whole document. */
export function formatInstance(identity: FabricIdentity): Record<string, unknown> {
  const { vmName, vmId, subscriptionId, resourceGroup, location } = identity;
  const group = `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}`;
  return {
    compute: {
      azEnvironment: 'AzurePublicCloud',
      customData: '',
      isHostCompatibilityLayerVm: 'false',
      location,
      name: vmName,
      offer: '',
      osType: 'Linux',
      placementGroupId: '',
      plan: { name: '', product: '', publisher: '' },
      platformFaultDomain: '0',
      platformUpdateDomain: '0',
      provider: 'Microsoft.Compute',
      publicKeys: [],
      publisher: '',
      resourceGroupName: resourceGroup,
      resourceId: `${group}/providers/Microsoft.Compute/virtualMachines/${vmName}`,
      sku: '',
      subscriptionId,
      tags: '',
      tagsList: [],
      userData: '',
      version: '',
      vmId,
      vmScaleSetName: '',
      vmSize: 'Standard_B2s',
      zone: '',
    },
    network: {
      interface: [
        {
          ipv4: {
            ipAddress: [{ privateIpAddress: '127.0.0.1', publicIpAddress: '' }],
            subnet: [{ address: '127.0.0.0', prefix: '8' }],
          },
          ipv6: { ipAddress: [] },
          macAddress: '000000000000',
        },
      ],
    },
  };
}

/** Answers `/metadata/instance` and what is below; the guards of the service have let the request pass. */
export function answerInstance(request: HttpRequest, identity: FabricIdentity): HttpAnswer {
  const subject = 'instance metadata';
  const names = request.path.split('/').slice(3);
  let part: unknown = formatInstance(identity);
  for (const name of names) {
    const isInside = typeof part === 'object' && part !== null && Object.hasOwn(part, name);
    if (!isInside) return { ...json(subject, { error: 'Not found' }, 404) };
    part = Reflect.get(Object(part), name);
  }
  const format = request.query.get('format') ?? 'json';
  if (typeof part === 'object' && part !== null) {
    return format === 'text' ? text(subject, listNames(part)) : json(subject, part);
  }
  if (format === 'text') return text(subject, String(part));
  // A single value is no JSON document.
  return part === undefined ? notFound(subject) : json(subject, { error: 'Bad request' }, 400);
}

function listNames(part: object): string {
  return Object.entries(part)
    .map(([name, value]) => (typeof value === 'object' && value !== null ? `${name}/` : name))
    .join('\n');
}

function text(subject: string, body: string): HttpAnswer {
  return { status: 200, subject, headers: { 'content-type': 'text/plain; charset=utf-8' }, body };
}
