import { describe, expect, it } from 'vitest';
import type { GoalState, GoalStateExtension } from '../agent/goal-state.ts';
import { parseStatusBlob, reportsFor } from './status-blob-report.ts';

describe('the status blob', () => {
  it('becomes the reports of the handlers, with the status of their extensions', () => {
    expect(parseStatusBlob(blobOf([READY]), FILE)).toEqual({
      agentVersion: '2.7.3.0',
      incarnation: 4,
      goalStateError: undefined,
      handlers: [
        {
          handlerName: 'Contoso.Greeter',
          handlerVersion: '1.0.0',
          extensionName: undefined,
          status: 'Ready',
          code: 0,
          message: 'Plugin enabled',
          silencesVm: undefined,
          extension: {
            name: 'Contoso.Greeter',
            sequence: 2,
            verdict: {
              explanation: undefined,
              silencesVm: false,
              reported: {
                operation: 'Enable',
                configurationAppliedTime: null,
                status: 'success',
                code: 0,
                message: 'done',
                substatus: [{ name: 'part', status: 'error', code: 3, message: undefined }],
              },
            },
          },
        },
      ],
    });
  });

  it('says of a handler that failed what the agent says, and nothing of its extension', () => {
    const failed = {
      handlerVersion: '1.0.0',
      handlerName: 'Contoso.Greeter',
      status: 'NotReady',
      code: 1007,
      formattedMessage: { lang: 'en-US', message: 'Non-zero exit code: 51' },
    };
    expect(parseStatusBlob(blobOf([failed]), FILE).handlers).toMatchObject([
      { status: 'NotReady', code: 1007, message: 'Non-zero exit code: 51', extension: undefined },
    ]);
  });

  it('takes a word or a message of any kind, as a handler may have written it and the agent passes it on', () => {
    const { runtimeSettingsStatus } = READY;
    const { settingsStatus } = runtimeSettingsStatus;
    const status = { ...settingsStatus.status, formattedMessage: { lang: 'en-US', message: 5 } };
    const odd = {
      ...READY,
      status: 7,
      runtimeSettingsStatus: { ...runtimeSettingsStatus, settingsStatus: { ...settingsStatus, status } },
    };
    expect(parseStatusBlob(blobOf([odd]), FILE).handlers).toMatchObject([
      { status: '7', extension: { verdict: { reported: { message: '5' } } } },
    ]);
  });

  it('has no goal state and no handlers before the first one', () => {
    const early = { aggregateStatus: { guestAgentStatus: { version: '2.7.3.0' } } };
    expect(parseStatusBlob(JSON.stringify(early), FILE)).toMatchObject({
      incarnation: undefined,
      goalStateError: undefined,
      handlers: [],
    });
  });

  it('says why the agent refused a goal state', () => {
    const text = blobOf([], { status: 'Failed', message: 'Failing GS as Unsupported features found: x' });
    expect(parseStatusBlob(text, FILE).goalStateError).toBe('Failing GS as Unsupported features found: x');
  });

  it.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['a handler without a name', blobOf([{ handlerVersion: '1.0.0' }])],
    ['handlers that are no array', JSON.stringify({ aggregateStatus: { handlerAggregateStatus: {} } })],
  ])('is refused, naming the file, with %s', (_, text) => {
    expect(() => parseStatusBlob(text, FILE)).toThrow(FILE);
  });

  it('is reported in the order of the goal state, without what the goal state does not name', () => {
    const blob = parseStatusBlob(blobOf([READY, { ...READY, handlerName: 'Contoso.Other' }]), FILE);
    const reports = reportsFor(goalStateOf('CONTOSO.OTHER', 'Contoso.Missing', 'Contoso.Greeter'), blob);
    expect(reports.map((report) => report.handlerName)).toEqual(['Contoso.Other', 'Contoso.Greeter']);
  });

  it('tells several configurations of one handler apart', () => {
    const named = (extensionName: string) => ({
      ...READY,
      runtimeSettingsStatus: { ...READY.runtimeSettingsStatus, extensionName },
    });
    const blob = parseStatusBlob(blobOf([named('first'), named('second')]), FILE);
    const { id, extensions } = goalStateOf('Contoso.Greeter');
    const goalState = { id, extensions: extensions.map((one) => ({ ...one, extensionName: 'second' })) };
    expect(reportsFor(goalState, blob)).toMatchObject([
      { extensionName: 'second', extension: { name: 'second' } },
    ]);
  });
});

const FILE = '/vm/status-blob.json';

const READY = {
  handlerVersion: '1.0.0',
  handlerName: 'Contoso.Greeter',
  status: 'Ready',
  code: 0,
  useExactVersion: true,
  formattedMessage: { lang: 'en-US', message: 'Plugin enabled' },
  runtimeSettingsStatus: {
    sequenceNumber: 2,
    settingsStatus: {
      version: 1,
      timestampUTC: '2026-01-01T00:00:00Z',
      status: {
        name: 'Contoso.Greeter',
        configurationAppliedTime: null,
        operation: 'Enable',
        status: 'success',
        code: 0,
        formattedMessage: { lang: 'en-US', message: 'done' },
        substatus: [{ name: 'part', status: 'error', code: 3 }],
      },
    },
  },
};

function blobOf(
  handlers: readonly unknown[],
  { status = 'Success', message = 'GoalState executed successfully' } = {},
): string {
  return JSON.stringify({
    version: '1.1',
    aggregateStatus: {
      guestAgentStatus: { version: '2.7.3.0', status: 'Ready' },
      handlerAggregateStatus: handlers,
      vmArtifactsAggregateStatus: {
        goalStateAggregateStatus: {
          inSvdSeqNo: '4',
          status,
          code: 0,
          formattedMessage: { lang: 'en-US', message },
        },
      },
    },
  });
}

function goalStateOf(...handlerNames: readonly string[]): GoalState {
  const extensions = handlerNames.map(
    (handlerName): GoalStateExtension => ({
      handlerName,
      version: '1.0.0',
      requestedState: 'enabled',
      packageFile: '/packages/x.zip',
      sequence: 2,
      settings: undefined,
      dependencyLevel: 0,
    }),
  );
  return { id: 'incarnation_4', extensions };
}
