/**
 * `@handlerkit/sdk`: what an extension's author imports. The contract itself is in `@handlerkit/sdk/contract`, the tools
 * for tests in `@handlerkit/sdk/testing`.
 */
export type { OldExitCode } from './contract/agent-variables.ts';
export type { EventLevel } from './contract/events.ts';
export { EXIT_CODES } from './contract/exit-codes.ts';
export type { HandlerEnvironment } from './contract/handler-environment.ts';
export type { HeartbeatStatus } from './contract/heartbeat.ts';
export type { Operation } from './contract/operations.ts';
export { OPERATIONS } from './contract/operations.ts';
export { RUNTIME_POLICY_FILE } from './contract/package-layout.ts';
export type { StatusValue, Substatus } from './contract/status.ts';
export type { Distribution, PackageManager, SupportedDistribution } from './distribution.ts';
export { PACKAGE_MANAGERS, readDistribution, requireDistribution } from './distribution.ts';
export type { DownloadProgress } from './download/attempt.ts';
export type { DownloadFailureDetails, DownloadFailureKind } from './download/download-error.ts';
export { DownloadError } from './download/download-error.ts';
export type { DownloadedFile, DownloadLimits, DownloadRequest } from './download/download-file.ts';
export { DOWNLOAD_LIMITS, downloadFile } from './download/download-file.ts';
export type { FreeSpace, SpaceClaim, SpaceShortage } from './download/free-space.ts';
export { createFreeSpace } from './download/free-space.ts';
export type { HandlerErrorOptions } from './errors.ts';
export { ERROR_TABLE, HandlerError, isSystemError, toHandlerError } from './errors.ts';
export type { CommandUser, ExecOptions, ExecResult } from './exec.ts';
export type {
  Architecture,
  EnableDescription,
  ExtensionDescription,
  ManifestDescription,
  Runtime,
} from './extension-description.ts';
export {
  ARCHITECTURES,
  ENABLE_KEYS,
  EXTENSION_FILE,
  EXTENSION_KEYS,
  MANIFEST_KEYS,
  parseExtensionDescription,
  RUNTIMES,
} from './extension-description.ts';
export type { ExtensionPolicy } from './extension-policy.ts';
export { readExtensionPolicy, sha256OfFile } from './extension-policy.ts';
export type { LockHolder } from './file-lock-holder.ts';
export type {
  DaemonProblem,
  EnableContext,
  EnableResult,
  HandlerDefinition,
  HandlerHealth,
  InstallContext,
  Logger,
  OperationContext,
  SettingsDefinition,
  StatusReporter,
  UpdateContext,
} from './handler.ts';
export { defineHandler } from './handler.ts';
export type { Host } from './host.ts';
export { createHost } from './host.ts';
export type { InstanceMetadata, InstanceMetadataOptions } from './instance-metadata.ts';
export { readInstanceMetadata } from './instance-metadata.ts';
export { DETACH_WORD, RUNTIME_VARIABLES, START_CLAIM } from './launcher-words.ts';
export type { LifecycleDeps } from './lifecycle.ts';
export { runOperation } from './lifecycle.ts';
export { runHandler } from './main.ts';
export type { ManagedIdentityRequest } from './managed-identity.ts';
export { getManagedIdentityToken } from './managed-identity.ts';
export { editDistance, nearestName } from './near-miss.ts';
export { isPlatformAddress } from './network-address.ts';
export type { InstallPackagesOptions } from './package-install.ts';
export { installPackages } from './package-install.ts';
export type { PackageManagerLock, PackageManagerWaitOptions } from './package-manager-lock.ts';
export { findPackageManagerLock, waitForPackageManager } from './package-manager-lock.ts';
export { shownProtectedKey } from './protected-key.ts';
export type { RedactOptions } from './redaction.ts';
export { HIDDEN, redactUrls } from './redaction.ts';
export type { JsonSchema, OwnJsonSchemas, SettingsDescription } from './settings-description.ts';
export { describeSettings } from './settings-description.ts';
export type { SystemdUnit, UnitOptions, UnitRemoval, UnitStartOptions } from './systemd-unit.ts';
export { isSystemd, openSystemdUnit } from './systemd-unit.ts';
export type { UnitStatus } from './systemd-unit-status.ts';
export type { ServiceDescription, UnitOwner } from './systemd-unit-text.ts';
export { formatUnit } from './systemd-unit-text.ts';
export type { UserAccount } from './user-account.ts';
export { findUserAccount } from './user-account.ts';
export type { WriteOptions } from './whole-file.ts';
export { readTextIfThere, writeWholeFile } from './whole-file.ts';
