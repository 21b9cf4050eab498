/** What each format can carry, and what makes its files. */
import { usageError } from '../errors.ts';
import { formatArm } from './arm.ts';
import { formatAz } from './az.ts';
import { formatBicep } from './bicep.ts';
import type { DeployFile, DeployFormat, Deployment, PublisherTexts } from './deployment.ts';
import { formatPowershell } from './powershell.ts';
import { formatPublisherRoute } from './publisher-route.ts';
import { formatTerraform } from './terraform.ts';
import { formatVmApplication } from './vm-application.ts';

/** What the user asked for, as far as a format may be unable to carry it. */
export interface AskedFor {
  readonly settings: boolean;
  readonly protectedSettings: boolean;
  /** The other options that were given, with their dashes. */
  readonly options: readonly string[];
}

/** Refuses, with `WRONG_USAGE`, what the format cannot carry or cannot do without. */
export function checkFormat(format: DeployFormat, deployment: Deployment, asked: AskedFor): void {
  const { target, resourceGroup } = deployment;
  const refuse = (what: string, instead: string) => usageError(`--format ${format} ${what}.`, instead);
  if (format === 'arm' && target.kind === 'scale-set') {
    throw refuse('is for a virtual machine', 'Use --format vmss-arm for a scale set.');
  }
  if (format === 'vmss-arm' && target.kind === 'machine' && target.name !== undefined) {
    throw refuse('is for a scale set', 'Name it with --vmss, or use --format arm for a virtual machine.');
  }
  if (format === 'az' || format === 'powershell') {
    if (target.name === undefined) {
      throw refuse(
        'needs to know the virtual machine',
        'Name it with --vm NAME, or a scale set with --vmss NAME.',
      );
    }
    if (resourceGroup === undefined) {
      throw refuse('needs to know the resource group', 'Name it with --resource-group NAME.');
    }
  }
  if (format !== 'vm-application' && format !== 'shared-extension') return;
  if (asked.protectedSettings) {
    throw refuse(
      'cannot carry protected settings',
      format === 'vm-application'
        ? "A VM Application has a configuration file that is no secret; let the extension fetch secrets with the machine's managed identity."
        : 'It publishes the extension; settings belong to its use, for instance --format az.',
    );
  }
  if (asked.settings && format === 'shared-extension') {
    throw refuse('cannot carry settings', 'It publishes the extension; settings belong to its use.');
  }
  const [option] = asked.options;
  if (option !== undefined) throw refuse(`cannot carry ${option}`, `Leave ${option} out.`);
}

/** The files of a format, the main one first; those of `vm-application` without its archive. */
export function formatFiles(
  format: DeployFormat,
  deployment: Deployment,
  texts: PublisherTexts,
): readonly DeployFile[] {
  switch (format) {
    case 'az':
      return formatAz(deployment, knownNames(deployment));
    case 'powershell':
      return formatPowershell(deployment, knownNames(deployment));
    case 'arm':
    case 'vmss-arm':
      return formatArm(deployment);
    case 'bicep':
      return formatBicep(deployment);
    case 'terraform':
      return formatTerraform(deployment);
    case 'vm-application':
      return formatVmApplication(deployment);
    case 'shared-extension':
      return formatPublisherRoute(deployment, texts);
  }
}

/** {@link checkFormat} has seen to it that both are there. */
function knownNames({ resourceGroup = '', target }: Deployment): { group: string; target: string } {
  return { group: resourceGroup, target: target.name ?? '' };
}
