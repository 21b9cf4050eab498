/**
 * vmSettings: the goal state of the extensions as the HostGAPlugin tells it ("fast track"), with an ETag by which the agent
 * asks for changes. Source: agent-contract 12.5; fabric.md 2, item 3.
 */
import { createHash } from 'node:crypto';
import type { GoalStateExtension } from '../agent/goal-state.ts';
import { readSettingsNodes } from '../agent/settings-node.ts';
import { type FabricEndpoints, formatManifestUrl, formatStatusBlobUrl } from './fabric-addresses.ts';
import { type FabricIdentity, formatGuid } from './fabric-identity.ts';
import type { FabricGoalState } from './goal-state-file.ts';
import { settingsMembers } from './goal-state-settings.ts';
import { dependenciesOf, groupByHandler, type HandlerEntry, hasSettingsNode } from './handler-entries.ts';
import { formatTicks } from './ticks.ts';

/** The least version for which agents use vmSettings. */
const PLUGIN_VERSION = '1.0.8.133';

/** Who made the goal state; agents take it from `ExtensionsConfig` when it is `Fabric`. */
export type VmSettingsSource = 'FastTrack' | 'Fabric';

/**
 * The document of one incarnation; the same goal state gives the same bytes. Settings that come as the platform words them are
 * read first, as this form has no place for their faults. Throws `ContractError` for those that are JSON of another form.
 */
export function formatVmSettings(
  worded: FabricGoalState,
  identity: FabricIdentity,
  endpoints: FabricEndpoints,
  source: VmSettingsSource,
): string {
  const goalState = { ...worded, ...readSettingsNodes(worded) };
  const number = String(goalState.incarnation);
  const document = {
    hostGAPluginVersion: PLUGIN_VERSION,
    vmSettingsSchemaVersion: '0.0',
    activityId: formatGuid(identity.vmId, 'activity', number),
    correlationId: formatGuid(identity.vmId, 'correlation', number),
    inSvdSeqNo: goalState.incarnation,
    extensionsLastModifiedTickCount: TICKS,
    extensionGoalStatesSource: source,
    onHold: goalState.onHold === true,
    statusUploadBlob: {
      statusBlobType: goalState.statusBlobType,
      value: formatStatusBlobUrl(endpoints, identity),
    },
    requiredFeatures: goalState.requiredFeatures.map((name) => ({ name })),
    gaFamilies: [],
    extensionGoalStates: groupByHandler(goalState).map((handler) =>
      formatHandler(handler, goalState, endpoints),
    ),
  };
  // The count is a JSON number with more digits than ours keep.
  const ticks = formatTicks(new Date(goalState.createdOn));
  return JSON.stringify(document).replace(JSON.stringify(TICKS), ticks);
}

/** The ETag of a document: another text, another tag. */
export function formatEntityTag(vmSettings: string): string {
  return createHash('sha256').update(vmSettings).digest('hex').slice(0, 20);
}

/** Stands for the ticks until the document is text; comes first in it, so that no setting is mistaken for it. */
const TICKS = '<ticks>';

function formatHandler(
  handler: HandlerEntry,
  goalState: FabricGoalState,
  endpoints: FabricEndpoints,
): Record<string, unknown> {
  const { handlerName, version, state, isMultiConfig, extensions } = handler;
  const location = formatManifestUrl(endpoints, handlerName);
  const shown = extensions.filter((one) => hasSettingsNode(one, handler));
  const dependent = shown.filter((one) => one.dependencyLevel !== 0);
  return {
    name: handlerName,
    version,
    location,
    failoverLocation: location,
    additionalLocations: [],
    state,
    autoUpgrade: false,
    runAsStartupTask: false,
    isJson: true,
    useExactVersion: true,
    settingsSeqNo: extensions[0]?.sequence ?? 0,
    isMultiConfig,
    settings: shown.map((extension) => formatSettings(extension, isMultiConfig)),
    ...(dependent.length > 0 && {
      dependsOn: dependent.map((extension) => ({
        ...(extension.extensionName !== undefined && { name: extension.extensionName }),
        dependencyLevel: extension.dependencyLevel,
        dependsOnExtension: dependenciesOf(goalState, extension).map((one) => ({
          ...(one.extensionName !== undefined && { extension: one.extensionName }),
          handler: one.handlerName,
        })),
      })),
    }),
  };
}

/** Public settings are JSON text inside JSON, so that their keys keep their case. */
function formatSettings(extension: GoalStateExtension, isMultiConfig: boolean): Record<string, unknown> {
  const { publicSettings, ...sealed } = settingsMembers(extension.settings);
  return {
    ...sealed,
    ...(publicSettings !== undefined && { publicSettings: JSON.stringify(publicSettings) }),
    ...(isMultiConfig && {
      seqNo: extension.sequence,
      extensionName: extension.extensionName,
      extensionState: extension.extensionState ?? 'enabled',
    }),
  };
}
