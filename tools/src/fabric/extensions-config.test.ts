import { describe, expect, it } from 'vitest';
import type { SettingsNode } from '../agent/goal-state.ts';
import { formatExtensionsConfig } from './extensions-config.ts';
import { AZURE_ENDPOINTS } from './fabric-addresses.ts';
import { createIdentity } from './fabric-identity.ts';
import { exampleGoalState } from './fixtures/example-goal-state.ts';
import { EMPTY_GOAL_STATE, type FabricGoalState } from './goal-state-file.ts';
import { unescapeXml } from './xml.ts';

const identity = createIdentity('seed');
const format = (goalState: FabricGoalState): string =>
  formatExtensionsConfig(goalState, identity, AZURE_ENDPOINTS);

/** Text of the first settings node of that kind. */
function settingsOf(document: string, start: RegExp): unknown {
  const [, text = ''] = new RegExp(`${start.source}>([^<]*)<`).exec(document) ?? [];
  return JSON.parse(unescapeXml(text));
}

describe('the extensions config', () => {
  const document = format(exampleGoalState());

  it('names each handler once, with where its manifest is', () => {
    expect(document.match(/<Plugin name="Contoso.Samples.Runner" version="2.0.0" location=/g)).toHaveLength(
      1,
    );
    expect(document).toMatch(
      /<Plugin name="Contoso.Samples.Greeter" version="1.2.3" location="http:\/\/168\.63\.129\.16:8080\/manifests\/[^"]+" failoverlocation="[^"]+" state="enabled" autoUpgrade="false" config="" runAsStartupTask="false" isJson="true" useExactVersion="true" \/>/,
    );
  });

  it('has the settings of a handler with one configuration', () => {
    expect(settingsOf(document, /<RuntimeSettings seqNo="5"/)).toEqual({
      runtimeSettings: [
        {
          handlerSettings: {
            publicSettings: { text: '<a> & "b"' },
            protectedSettings: 'TUlJ',
            protectedSettingsCertThumbprint: 'A'.repeat(40),
          },
        },
      ],
    });
  });

  it('has those of several, each with its name, number and state, and leaves out what there is not', () => {
    expect(settingsOf(document, /<ExtensionRuntimeSettings seqNo="1" name="first" state="enabled"/)).toEqual({
      runtimeSettings: [{ handlerSettings: { publicSettings: { Name: 'x' } } }],
    });
    expect(
      settingsOf(document, /<ExtensionRuntimeSettings seqNo="2" name="second" state="disabled"/),
    ).toEqual({
      runtimeSettings: [{ handlerSettings: {} }],
    });
  });

  it('says what a configuration waits for', () => {
    const [, inner = ''] =
      /<DependsOn dependencyLevel="1" name="first">([\s\S]*?)<\/DependsOn>/.exec(document) ?? [];
    expect(inner).toContain('<DependsOnExtension handler="Contoso.Samples.Greeter" />');
    expect(inner).toContain('<DependsOnExtension extension="second" handler="Contoso.Samples.Runner" />');
    expect(document.match(/<DependsOn /g)).toHaveLength(1);
  });

  it('names features, the status blob with a query, and when it was made', () => {
    expect(document).toContain(
      '<RequiredFeature><Name>MultipleExtensionsPerHandler</Name></RequiredFeature>',
    );
    expect(document).toMatch(
      /<StatusUploadBlob statusBlobType="BlockBlob">http:[^<?]+\?sv=[^<]+&amp;sig=[^<]+</,
    );
    expect(document).toMatch(
      /<InVMGoalStateMetaData inSvdSeqNo="3" createdOnTicks="639029198456780000" activityId="[0-9a-f-]{36}" correlationId="[0-9a-f-]{36}" \/>/,
    );
    expect(format(exampleGoalState({ statusBlobType: 'PageBlob' }))).toContain('statusBlobType="PageBlob"');
  });

  it('has the same bytes each time, and other identifiers for another incarnation', () => {
    expect(format(exampleGoalState())).toBe(document);
    const [activity] = /activityId="[^"]+"/.exec(document) ?? [];
    expect(format(exampleGoalState({ incarnation: 4 }))).not.toContain(activity);
  });

  it.each(['disabled', 'uninstall'] as const)('says that a handler is to be %s', (requestedState) => {
    const [first] = exampleGoalState().extensions;
    if (first === undefined) throw new Error('unreachable');
    const text = format(exampleGoalState({ extensions: [{ ...first, requestedState }] }));
    expect(text).toContain(` state="${requestedState}"`);
  });

  it('has no settings node for a handler without settings', () => {
    const [first] = exampleGoalState().extensions;
    if (first === undefined) throw new Error('unreachable');
    const text = format(exampleGoalState({ extensions: [{ ...first, settings: undefined }] }));
    expect(text).toMatch(/<PluginSettings>\s*<\/PluginSettings>/);
  });

  it('is whole for a VM without extensions', () => {
    expect(format(EMPTY_GOAL_STATE)).toMatch(
      /<Plugins>\s*<\/Plugins>[\s\S]*<StatusUploadBlob[\s\S]*<\/Extensions>\n$/,
    );
  });

  it('gives settings as the platform words them, with what is wrong in them', () => {
    const [extension] = exampleGoalState().extensions;
    if (extension === undefined) throw new Error('the example has an extension');
    const worded = (settingsNode: SettingsNode): string =>
      format(exampleGoalState({ extensions: [{ ...extension, settingsNode }] }));
    expect(worded({ version: '1.2.4', sequence: '7', text: 'no <JSON>' })).toContain(
      '<Plugin name="Contoso.Samples.Greeter" version="1.2.4">\n      <RuntimeSettings seqNo="7">no &lt;JSON&gt;</RuntimeSettings>',
    );
    expect(worded({ sequence: undefined, text: '{}' })).toContain('<RuntimeSettings>{}</RuntimeSettings>');
  });

  it('passes on a state that there is not, and names the profile of a VM on hold', () => {
    const [extension] = exampleGoalState().extensions;
    if (extension === undefined) throw new Error('the example has an extension');
    const extensions = [{ ...extension, requestedState: 'paused' }];
    expect(format(exampleGoalState({ extensions }))).toContain(' state="paused" ');
    expect(format(exampleGoalState({ onHold: true }))).toMatch(
      /<InVMArtifactsProfileBlob>http:\/\/168\.63\.129\.16:8080\/profiles\/\S+<\/InVMArtifactsProfileBlob>/,
    );
    expect(document).not.toContain('InVMArtifactsProfileBlob');
  });
});
