/** What a deployment is: the extension, where it goes, its settings and how Azure is to treat it. And what a format makes of it. */
import type { Architecture } from '@handlerkit/sdk';
import type { PackageIdentity } from '../vm/package-identity.ts';
import type { SettingsObject } from '../vm/settings-argument.ts';

export const DEPLOY_FORMATS = [
  'az',
  'powershell',
  'arm',
  'bicep',
  'terraform',
  'vmss-arm',
  'vm-application',
  'shared-extension',
] as const;
/** One of {@link DEPLOY_FORMATS}. */
export type DeployFormat = (typeof DEPLOY_FORMATS)[number];

/** A machine or a scale set; `name` is `undefined` where the one who deploys is to say it. */
export interface DeployTarget {
  readonly kind: 'machine' | 'scale-set';
  readonly name: string | undefined;
}

/** Where the protected settings come from. Their values are never in a template or on a command line. */
export type ProtectedSource =
  | {
      readonly kind: 'values';
      readonly values: SettingsObject;
      /** Absolute path of the file they were read from; `undefined` when they stood on the command line. */
      readonly file: string | undefined;
    }
  | { readonly kind: 'key-vault'; readonly secretUrl: string; readonly vaultId: string };

export interface Deployment {
  readonly identity: PackageIdentity;
  /** Name of the resource on Azure. */
  readonly name: string;
  readonly target: DeployTarget;
  readonly resourceGroup: string | undefined;
  readonly location: string | undefined;
  readonly settings: SettingsObject;
  readonly protectedSettings: ProtectedSource | undefined;
  readonly autoUpgradeMinorVersion: boolean;
  readonly enableAutomaticUpgrade: boolean;
  readonly forceUpdateTag: string | undefined;
  readonly provisionAfter: readonly string[];
  readonly suppressFailures: boolean;
  /** How long one run of the extension may take, in minutes. */
  readonly timeoutMinutes: number;
}

/** What a publisher says of an extension. */
export interface PublisherTexts {
  readonly label: string;
  readonly description: string;
  readonly company: string | undefined;
  readonly eula: string | undefined;
  readonly privacy: string | undefined;
  readonly homepage: string | undefined;
  /** Architectures that the package has programs for; empty when it does not say. */
  readonly architectures: readonly Architecture[];
}

/** One generated file. The first of a format's files is the one that is printed when there is no folder to write to. */
export interface DeployFile {
  readonly name: string;
  readonly text: string;
  /** 0600 for a file that holds a secret, 0700 for a script. */
  readonly mode: 0o600 | 0o644 | 0o755;
  /** True: never printed, written to a folder only. */
  readonly isSecret: boolean;
}

/** Minutes that the platform gives an extension at most. Source: docs-and-reliability 1.1 (Custom Script's time). */
export const PLATFORM_MINUTES = 90;

/** `1.2` of `1.2.3`: Azure chooses the rest. Source: docs-and-reliability 1.9 (typeHandlerVersion). */
export function majorMinor(version: string): string {
  const [major = '0', minor = '0'] = version.split('.');
  return `${major}.${minor.replace(/\D.*$/, '') || '0'}`;
}

/** Minutes that a tool must wait for the platform: the extension's own time, at most the platform's 90, and some for its way. */
export function waitMinutes(deployment: Deployment): number {
  return Math.min(Math.ceil(deployment.timeoutMinutes), PLATFORM_MINUTES) + WAY_MINUTES;
}

/**
 * How long a scale set waits for all its extensions, as Azure writes durations. Azure takes 15 to 120 minutes; its default
 * of 90 leaves a long extension no time for its way. Source: docs-and-reliability 1.9 (extensionsTimeBudget).
 */
export function timeBudget(deployment: Deployment): string {
  return `PT${Math.min(Math.max(Math.ceil(deployment.timeoutMinutes) + WAY_MINUTES, 15), 120)}M`;
}

/** For the goal state's way to the machine, the download of the package and the report. */
const WAY_MINUTES = 5;
