/**
 * What the VM is: name, place, size, image and tags, as the instance metadata service tells. Never through a proxy.
 * Source: Microsoft Learn, "Azure Instance Metadata Service", category compute; sdk-anchors row 37.
 */
import { HandlerError } from './errors.ts';
import type { Host } from './host.ts';
import { parseAnswer, propertyOf, requestMetadata } from './metadata-request.ts';

/** Each text is empty when the service does not tell. */
export interface InstanceMetadata {
  readonly vmId: string;
  readonly name: string;
  /** `westeurope` */
  readonly location: string;
  /** `AzurePublicCloud`, `AzureUSGovernmentCloud`, `AzureChinaCloud`, … */
  readonly azEnvironment: string;
  readonly subscriptionId: string;
  readonly resourceGroupName: string;
  readonly resourceId: string;
  readonly vmSize: string;
  readonly zone: string;
  readonly vmScaleSetName: string;
  readonly publisher: string;
  readonly offer: string;
  readonly sku: string;
  readonly version: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** How the instance metadata are asked for. */
export interface InstanceMetadataOptions {
  readonly signal: AbortSignal;
  /** 0 to 1, for the pauses between tries; default `Math.random`. */
  readonly random?: () => number;
}

/** Where the service is. A test gives another through `Host.fetch`. */
export const INSTANCE_METADATA_ORIGIN = 'http://169.254.169.254';
const API_VERSION = '2021-02-01';

/**
 * Asks the service, again while it is busy or being updated (two minutes at most). Throws `INSTANCE_METADATA_FAILED`, or
 * the reason of `signal`. Tells nothing that a user of the VM could not ask as well.
 */
export async function readInstanceMetadata(
  host: Host,
  options: InstanceMetadataOptions,
): Promise<InstanceMetadata> {
  const url = new URL(`/metadata/instance/compute?api-version=${API_VERSION}`, INSTANCE_METADATA_ORIGIN);
  const request = {
    ...options,
    url,
    code: 'INSTANCE_METADATA_FAILED',
    subject: 'the instance metadata',
  } as const;
  const answer = await requestMetadata(host, request);
  if (answer.status !== 200) {
    const text = `the instance metadata service at ${url.host} answered ${answer.status}; check that this machine is an Azure VM and that nothing on it answers in the service's place`;
    throw new HandlerError(request.code, text);
  }
  const compute = parseAnswer(answer, request);
  const text = (key: string): string => {
    const value = propertyOf(compute, key);
    return typeof value === 'string' ? value : '';
  };
  if (text('vmId') === '') {
    throw new HandlerError(
      request.code,
      `the answer of the instance metadata service at ${url.host} names no VM`,
    );
  }
  return {
    vmId: text('vmId'),
    name: text('name'),
    location: text('location'),
    azEnvironment: text('azEnvironment'),
    subscriptionId: text('subscriptionId'),
    resourceGroupName: text('resourceGroupName'),
    resourceId: text('resourceId'),
    vmSize: text('vmSize'),
    zone: text('zone'),
    vmScaleSetName: text('vmScaleSetName'),
    publisher: text('publisher'),
    offer: text('offer'),
    sku: text('sku'),
    version: text('version'),
    tags: readTags(propertyOf(compute, 'tagsList')),
  };
}

/** `tags` as one text cannot be taken apart when a value holds `;`, so the list is read. */
function readTags(list: unknown): Record<string, string> {
  const pairs = (Array.isArray(list) ? list : []).map((tag: unknown) => [
    propertyOf(tag, 'name'),
    propertyOf(tag, 'value'),
  ]);
  return Object.fromEntries(
    pairs.filter(([name, value]) => typeof name === 'string' && typeof value === 'string'),
  );
}
