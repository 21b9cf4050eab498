/**
 * ExtensionsConfig: what the VM's extensions should be, as the WireServer tells it.
 * Source: fabric.md 3; agent-contract 12.3.
 */
import type { GoalStateExtension } from '../agent/goal-state.ts';
import {
  type FabricEndpoints,
  formatManifestUrl,
  formatProfileUrl,
  formatStatusBlobUrl,
} from './fabric-addresses.ts';
import { type FabricIdentity, formatGuid } from './fabric-identity.ts';
import type { FabricGoalState } from './goal-state-file.ts';
import { formatGoalStateSettings } from './goal-state-settings.ts';
import { dependenciesOf, groupByHandler, type HandlerEntry, hasSettingsNode } from './handler-entries.ts';
import { formatTicks } from './ticks.ts';
import { escapeXml } from './xml.ts';

/** The document of one incarnation; the same goal state gives the same bytes. */
export function formatExtensionsConfig(
  goalState: FabricGoalState,
  identity: FabricIdentity,
  endpoints: FabricEndpoints,
): string {
  const handlers = groupByHandler(goalState);
  const number = String(goalState.incarnation);
  const metadata = attributes({
    inSvdSeqNo: number,
    createdOnTicks: formatTicks(new Date(goalState.createdOn)),
    activityId: formatGuid(identity.vmId, 'activity', number),
    correlationId: formatGuid(identity.vmId, 'correlation', number),
  });
  return lines([
    '<?xml version="1.0" encoding="utf-8"?>',
    `<Extensions version="1.0.0.0" goalStateIncarnation="${number}">`,
    '  <GuestAgentExtension>',
    '    <GAFamilies />',
    '  </GuestAgentExtension>',
    ...requiredFeatures(goalState.requiredFeatures),
    '  <Plugins>',
    ...handlers.map((handler) => formatPlugin(handler, endpoints)),
    '  </Plugins>',
    '  <PluginSettings>',
    ...handlers.flatMap((handler) => formatPluginSettings(handler, goalState)),
    '  </PluginSettings>',
    `  <StatusUploadBlob statusBlobType="${goalState.statusBlobType}">${escapeXml(formatStatusBlobUrl(endpoints, identity))}</StatusUploadBlob>`,
    ...(goalState.onHold === true
      ? [
          `  <InVMArtifactsProfileBlob>${escapeXml(formatProfileUrl(endpoints, identity))}</InVMArtifactsProfileBlob>`,
        ]
      : []),
    `  <InVMGoalStateMetaData${metadata} />`,
    '</Extensions>',
  ]);
}

function requiredFeatures(names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const features = names.map(
    (name) => `    <RequiredFeature><Name>${escapeXml(name)}</Name></RequiredFeature>`,
  );
  return ['  <RequiredFeatures>', ...features, '  </RequiredFeatures>'];
}

function formatPlugin({ handlerName, version, state }: HandlerEntry, endpoints: FabricEndpoints): string {
  const location = formatManifestUrl(endpoints, handlerName);
  const named = { name: handlerName, version, location, failoverlocation: location, state };
  const fixed = {
    autoUpgrade: 'false',
    config: '',
    runAsStartupTask: 'false',
    isJson: 'true',
    useExactVersion: 'true',
  };
  return `    <Plugin${attributes({ ...named, ...fixed })} />`;
}

/** Nothing for a handler without settings: the agent then writes an empty settings file. */
function formatPluginSettings(handler: HandlerEntry, goalState: FabricGoalState): string[] {
  const { handlerName, version, extensions } = handler;
  const shown = extensions.filter((one) => hasSettingsNode(one, handler));
  const versions = new Set(shown.map((one) => one.settingsNode?.version ?? version));
  return [...versions].flatMap((stated) => {
    const own = shown.filter((one) => (one.settingsNode?.version ?? version) === stated);
    return [
      `    <Plugin${attributes({ name: handlerName, version: stated })}>`,
      ...own.flatMap((extension) => formatDependencies(extension, goalState)),
      ...own.map(formatSettingsNode),
      '    </Plugin>',
    ];
  });
}

function formatDependencies(extension: GoalStateExtension, goalState: FabricGoalState): string[] {
  if (extension.dependencyLevel === 0) return [];
  const level = attributes({
    dependencyLevel: String(extension.dependencyLevel),
    name: extension.extensionName,
  });
  const others = dependenciesOf(goalState, extension).map(
    ({ handlerName, extensionName }) =>
      `        <DependsOnExtension${attributes({ extension: extensionName, handler: handlerName })} />`,
  );
  return [`      <DependsOn${level}>`, ...others, '      </DependsOn>'];
}

function formatSettingsNode(extension: GoalStateExtension): string {
  const { sequence, extensionName, extensionState = 'enabled', settingsNode } = extension;
  const text = escapeXml(settingsNode?.text ?? formatGoalStateSettings(extension.settings));
  const seqNo = settingsNode === undefined ? String(sequence) : settingsNode.sequence;
  return extensionName === undefined
    ? `      <RuntimeSettings${attributes({ seqNo })}>${text}</RuntimeSettings>`
    : `      <ExtensionRuntimeSettings${attributes({ seqNo, name: extensionName, state: extensionState })}>${text}</ExtensionRuntimeSettings>`;
}

function attributes(values: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(values)
    .map(([name, value]) => (value === undefined ? '' : ` ${name}="${escapeXml(value)}"`))
    .join('');
}

function lines(all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}
