/**
 * From the words of the command line to a deployment: read, decoded and checked before anything is written.
 * Source: the naming rules of Azure, learn.microsoft.com, "Naming rules and restrictions for Azure resources".
 */
import { usageError } from '../errors.ts';
import { checkExtensionName, readExtensionNames } from '../vm/extension-name.ts';
import type { PackageIdentity } from '../vm/package-identity.ts';
import { describeExposure, readSettingsArgument, settingsFile } from '../vm/settings-argument.ts';
import type { DeployFormat, Deployment, DeployTarget, ProtectedSource } from './deployment.ts';
import { type AskedFor, checkFormat } from './formats.ts';
import { checkSettings } from './settings-check.ts';

/** The options as they stand on the command line. */
export interface DeployOptions {
  readonly format: DeployFormat;
  readonly settings: string | undefined;
  readonly protectedSettings: string | undefined;
  readonly protectedSettingsFromKeyVault: string | undefined;
  readonly name: string | undefined;
  readonly vm: string | undefined;
  readonly vmss: string | undefined;
  readonly resourceGroup: string | undefined;
  readonly location: string | undefined;
  readonly autoUpgradeMinorVersion: boolean | undefined;
  readonly enableAutomaticUpgrade: boolean | undefined;
  readonly forceUpdateTag: string | undefined;
  readonly provisionAfter: string | undefined;
  readonly suppressFailures: boolean | undefined;
}

/** Makes the deployment. Throws `WRONG_USAGE` for what Azure or the format would refuse, and the system's errors for files. */
export function readDeployment(
  options: DeployOptions,
  source: { readonly identity: PackageIdentity; readonly timeoutMinutes: number },
  folder: string,
): Deployment {
  const settings =
    options.settings === undefined ? {} : readSettingsArgument('settings', options.settings, folder);
  const protectedSettings = readProtected(options, folder);
  checkSettings(settings, protectedSettings?.kind === 'values' ? protectedSettings.values : undefined);
  const isApplication = options.format === 'vm-application';
  const { publisher, type } = source.identity;
  const name = checkExtensionName('name', options.name ?? (isApplication ? `${publisher}.${type}` : type));
  const deployment: Deployment = {
    identity: source.identity,
    name,
    target: readTarget(options),
    resourceGroup: checked('resource-group', options.resourceGroup),
    location: checked('location', options.location),
    settings,
    protectedSettings,
    autoUpgradeMinorVersion: options.autoUpgradeMinorVersion ?? true,
    enableAutomaticUpgrade: options.enableAutomaticUpgrade ?? false,
    forceUpdateTag: checked('force-update-tag', options.forceUpdateTag),
    provisionAfter: readNames(options.provisionAfter, name),
    suppressFailures: options.suppressFailures ?? false,
    timeoutMinutes: source.timeoutMinutes,
  };
  checkFormat(options.format, deployment, askedFor(options));
  return deployment;
}

/** What is amiss with where the protected settings lie; `undefined` when nothing is. */
export function describeProtectedFile(
  { protectedSettings }: Pick<DeployOptions, 'protectedSettings'>,
  folder: string,
): string | undefined {
  return protectedSettings === undefined ? undefined : describeExposure(protectedSettings, folder);
}

interface NameRule {
  readonly pattern: RegExp;
  readonly words: string;
}

const MACHINE_NAME: NameRule = {
  pattern: /^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_])?$/,
  words: 'A name has 1 to 64 letters, digits, "-", "_" and ".", and begins with a letter or digit.',
};
const RULES: Readonly<Record<string, NameRule>> = {
  vm: MACHINE_NAME,
  vmss: MACHINE_NAME,
  'resource-group': {
    pattern: /^(?!-)[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$/u,
    words:
      'A name has 1 to 90 letters, digits, "-", "_", "." and parentheses, and neither begins with "-" nor ends with ".".',
  },
  location: {
    pattern: /^[A-Za-z0-9][A-Za-z0-9 ]{0,79}$/,
    words: 'For instance: --location westeurope.',
  },
  'force-update-tag': {
    pattern: /^[ -~]{1,256}$/,
    words: 'A tag has 1 to 256 printable ASCII characters.',
  },
};

function checked(option: string, value: string | undefined): string | undefined {
  return value === undefined ? undefined : check(option, value);
}

function check(option: string, value: string): string {
  const rule = RULES[option];
  if (rule === undefined || rule.pattern.test(value)) return value;
  throw usageError(`--${option} ${JSON.stringify(value)} is nothing that Azure takes.`, rule.words);
}

function readTarget({ format, vm, vmss }: DeployOptions): DeployTarget {
  if (vm !== undefined && vmss !== undefined) {
    throw usageError('--vm and --vmss stand there together.', 'Name a virtual machine or a scale set.');
  }
  if (vmss !== undefined) return { kind: 'scale-set', name: check('vmss', vmss) };
  const kind = format === 'vmss-arm' && vm === undefined ? 'scale-set' : 'machine';
  return { kind, name: checked('vm', vm) };
}

function readNames(text: string | undefined, own: string): readonly string[] {
  if (text === undefined) return [];
  const names = readExtensionNames('provision-after', text);
  if (names.length === 0) {
    throw usageError('--provision-after has no name in it.', 'For instance: --provision-after CustomScript');
  }
  const itself = names.find((name) => name.toLowerCase() === own.toLowerCase());
  if (itself === undefined) return names;
  throw usageError(
    `--provision-after names ${JSON.stringify(itself)}, which is the extension itself.`,
    'Name the other extensions that have to succeed first, or give this one another name with --name.',
  );
}

function readProtected(options: DeployOptions, folder: string): ProtectedSource | undefined {
  const { protectedSettings: given, protectedSettingsFromKeyVault: reference } = options;
  if (given !== undefined && reference !== undefined) {
    throw usageError(
      'Protected settings are given and referred to at once.',
      'Use --protected-settings or --protected-settings-from-key-vault.',
    );
  }
  if (given !== undefined) {
    const values = readSettingsArgument('protected-settings', given, folder);
    return { kind: 'values', values, file: settingsFile(given, folder) };
  }
  return reference === undefined ? undefined : readKeyVault(reference);
}

/** No error quotes the reference: someone may have put the secret itself there. */
function readKeyVault(reference: string): ProtectedSource {
  const at = reference.indexOf(',');
  const secretUrl = reference.slice(0, at).trim();
  const vaultId = reference.slice(at + 1).trim();
  const isUrl = /^https:\/\/[A-Za-z0-9.-]+\/secrets\/[A-Za-z0-9-]{1,127}(\/[A-Za-z0-9]+)?$/.test(secretUrl);
  const isVault =
    /^\/subscriptions\/[^/\s]+\/resourceGroups\/[^/\s]+\/providers\/Microsoft\.KeyVault\/vaults\/[A-Za-z0-9-]+$/i.test(
      vaultId,
    );
  if (at < 0 || !isUrl || !isVault) {
    const part = at < 0 ? 'has no comma' : isUrl ? "has no vault's resource id" : "has no secret's address";
    throw usageError(
      `--protected-settings-from-key-vault ${part}.`,
      'Give SECRET-URL,VAULT-ID: https://vault.vault.azure.net/secrets/name/version,/subscriptions/…/providers/Microsoft.KeyVault/vaults/vault',
    );
  }
  return { kind: 'key-vault', secretUrl, vaultId };
}

function askedFor(options: DeployOptions): AskedFor {
  const others: readonly (readonly [string, unknown])[] = [
    ['--auto-upgrade-minor-version', options.autoUpgradeMinorVersion],
    ['--enable-automatic-upgrade', options.enableAutomaticUpgrade],
    ['--force-update-tag', options.forceUpdateTag],
    ['--provision-after', options.provisionAfter],
    ['--suppress-failures', options.suppressFailures],
  ];
  return {
    settings: options.settings !== undefined,
    protectedSettings:
      options.protectedSettings !== undefined || options.protectedSettingsFromKeyVault !== undefined,
    options: others.filter(([, value]) => value !== undefined).map(([name]) => name),
  };
}
