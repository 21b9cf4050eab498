/**
 * The request to Azure's REST interface that sets an extension, for the options that `az vm extension set` and
 * `Set-AzVMExtension` have no words for. Source: docs-and-reliability 1.9 (what the commands lack).
 */
import { PROTECTED_SETTINGS_KEY } from '@handlerkit/sdk/contract';
import { API_VERSIONS } from './api-versions.ts';
import type { Deployment } from './deployment.ts';
import { extensionProperties } from './extension-resource.ts';
import { asciiJson } from './json-text.ts';

/**
 * The body in pieces: in between belong what only the script knows. A machine's extension has a location, a scale set's has none.
 */
export interface RestBody {
  /** Up to the location's text, quotes included; `undefined` for a scale set. */
  readonly beforeLocation: string | undefined;
  /** From there to the protected settings' object, or to the end when there are none. */
  readonly middle: string;
  /** After the protected settings' object; `undefined` when there are none. */
  readonly end: string | undefined;
}

/** Path of the resource below the subscription, with the version of the interface. */
export function restPath(deployment: Deployment, names: { group: string; target: string }): string {
  const isMachine = deployment.target.kind === 'machine';
  const parts = [
    'resourceGroups',
    names.group,
    'providers',
    'Microsoft.Compute',
    isMachine ? 'virtualMachines' : 'virtualMachineScaleSets',
    names.target,
    'extensions',
    deployment.name,
  ];
  const version = isMachine ? API_VERSIONS.machineExtension : API_VERSIONS.scaleSetExtension;
  return `${parts.map(encodeURIComponent).join('/')}?api-version=${version}`;
}

/** The body of the request, without a secret. */
export function restBody(deployment: Deployment): RestBody {
  const properties = asciiJson(extensionProperties(deployment));
  const isMachine = deployment.target.kind === 'machine';
  const start = isMachine ? '","properties":' : '{"properties":';
  const beforeLocation = isMachine ? '{"location":"' : undefined;
  if (deployment.protectedSettings?.kind !== 'values') {
    return { beforeLocation, middle: `${start}${properties}}`, end: undefined };
  }
  const opened = properties.slice(0, -1);
  const middle = `${start}${opened},${JSON.stringify(PROTECTED_SETTINGS_KEY)}:`;
  return { beforeLocation, middle, end: '}}' };
}
