/**
 * The properties of an extension on Azure, as its REST interface and templates name them.
 * Source: docs-and-reliability 1.9 (properties of `Microsoft.Compute/virtualMachines/extensions`).
 */
import type { Deployment } from './deployment.ts';
import { majorMinor } from './deployment.ts';

/** The properties without the protected settings' values, which only the one who deploys has. Sorted as Azure documents them. */
export interface ExtensionProperties {
  readonly publisher: string;
  readonly type: string;
  readonly typeHandlerVersion: string;
  readonly autoUpgradeMinorVersion: boolean;
  readonly enableAutomaticUpgrade: boolean;
  readonly suppressFailures: boolean;
  readonly forceUpdateTag?: string;
  readonly provisionAfterExtensions?: readonly string[];
  readonly settings: unknown;
  readonly protectedSettingsFromKeyVault?: {
    readonly secretUrl: string;
    readonly sourceVault: { readonly id: string };
  };
}

/**
 * Everything explicit: the defaults of `enableAutomaticUpgrade` differ between versions of the interface, and an extension
 * that others wait for must have settings, even if there are none.
 */
export function extensionProperties(deployment: Deployment): ExtensionProperties {
  const { identity, forceUpdateTag, provisionAfter, protectedSettings } = deployment;
  return {
    publisher: identity.publisher,
    type: identity.type,
    typeHandlerVersion: majorMinor(identity.version),
    autoUpgradeMinorVersion: deployment.autoUpgradeMinorVersion,
    enableAutomaticUpgrade: deployment.enableAutomaticUpgrade,
    suppressFailures: deployment.suppressFailures,
    ...(forceUpdateTag === undefined ? {} : { forceUpdateTag }),
    ...(provisionAfter.length === 0 ? {} : { provisionAfterExtensions: provisionAfter }),
    settings: deployment.settings,
    ...(protectedSettings?.kind === 'key-vault'
      ? {
          protectedSettingsFromKeyVault: {
            secretUrl: protectedSettings.secretUrl,
            sourceVault: { id: protectedSettings.vaultId },
          },
        }
      : {}),
  };
}
