import { expect, it } from 'vitest';
import { AZURE_ENDPOINTS } from './fabric-addresses.ts';
import { createIdentity } from './fabric-identity.ts';
import { exampleGoalState } from './fixtures/example-goal-state.ts';
import { formatEntityTag, formatVmSettings } from './vm-settings.ts';

const identity = createIdentity('seed');
const text = formatVmSettings(exampleGoalState(), identity, AZURE_ENDPOINTS, 'FastTrack');

it('says the same as the extensions config, with public settings as text', () => {
  expect(JSON.parse(text)).toMatchObject({
    hostGAPluginVersion: '1.0.8.133',
    inSvdSeqNo: 3,
    extensionGoalStatesSource: 'FastTrack',
    statusUploadBlob: { statusBlobType: 'BlockBlob', value: expect.stringContaining('?sv=') },
    requiredFeatures: [{ name: 'MultipleExtensionsPerHandler' }],
    extensionGoalStates: [
      {
        name: 'Contoso.Samples.Greeter',
        version: '1.2.3',
        state: 'enabled',
        settingsSeqNo: 5,
        isMultiConfig: false,
        settings: [
          {
            protectedSettingsCertThumbprint: 'A'.repeat(40),
            protectedSettings: 'TUlJ',
            publicSettings: '{"text":"<a> & \\"b\\""}',
          },
        ],
      },
      {
        name: 'Contoso.Samples.Runner',
        isMultiConfig: true,
        settings: [
          { publicSettings: '{"Name":"x"}', seqNo: 1, extensionName: 'first', extensionState: 'enabled' },
          { seqNo: 2, extensionName: 'second', extensionState: 'disabled' },
        ],
        dependsOn: [
          {
            name: 'first',
            dependencyLevel: 1,
            dependsOnExtension: [
              { handler: 'Contoso.Samples.Greeter' },
              { extension: 'second', handler: 'Contoso.Samples.Runner' },
            ],
          },
        ],
      },
    ],
  });
});

it('has the ticks as a number, with all digits', () => {
  expect(text).toContain('"extensionsLastModifiedTickCount":639029198456780000,');
});

it('takes no setting for the ticks', () => {
  const [first] = exampleGoalState().extensions;
  if (first === undefined) throw new Error('unreachable');
  const settings = { publicSettings: { '<ticks>': '<ticks>' }, protectedSettings: null, thumbprint: null };
  const odd = formatVmSettings(
    exampleGoalState({ extensions: [{ ...first, settings }] }),
    identity,
    AZURE_ENDPOINTS,
    'Fabric',
  );
  expect(JSON.parse(odd).extensionGoalStates[0].settings[0].publicSettings).toBe('{"<ticks>":"<ticks>"}');
});

it('has another tag when it says another thing', () => {
  const other = formatVmSettings(
    exampleGoalState({ incarnation: 4 }),
    identity,
    AZURE_ENDPOINTS,
    'FastTrack',
  );
  expect(formatEntityTag(text)).toBe(formatEntityTag(text));
  expect(formatEntityTag(other)).not.toBe(formatEntityTag(text));
});

it('reads settings that come as the platform words them, and says when the VM is on hold', () => {
  const [first] = exampleGoalState().extensions;
  if (first === undefined) throw new Error('the example has an extension');
  const words = '{"runtimeSettings":[{"handlerSettings":{"publicSettings":{"a":1}}}]}';
  const worded = { ...first, settings: undefined, settingsNode: { sequence: '9', text: words } };
  const goalState = exampleGoalState({ extensions: [worded], onHold: true });
  expect(JSON.parse(formatVmSettings(goalState, identity, AZURE_ENDPOINTS, 'FastTrack'))).toMatchObject({
    onHold: true,
    extensionGoalStates: [{ settingsSeqNo: 9, settings: [{ publicSettings: '{"a":1}' }] }],
  });
});
