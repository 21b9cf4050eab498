import { judgeStatus } from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';
import type { HandlerReport } from '../agent/agent.ts';
import { explainReport, formatInstanceView, provisioningState } from './instance-view.ts';

const READY = { status: 'Ready', code: 0, message: 'Plugin enabled' } as const;

function report(
  handler: Pick<HandlerReport, 'status' | 'code' | 'message'>,
  statusFile: string | null | undefined,
): HandlerReport {
  return {
    handlerName: 'Contoso.Greeter',
    handlerVersion: '1.0.1',
    ...handler,
    silencesVm: undefined,
    // null: the agent reads no status file; undefined: there is none.
    extension:
      statusFile === null
        ? undefined
        : {
            name: 'Contoso.Greeter',
            sequence: 3,
            verdict: judgeStatus({
              text: statusFile,
              file: '/status/3.status',
              extension: 'Contoso.Greeter',
              handlerFolder: 'Contoso.Greeter-1.0.1',
              sequence: 3,
            }),
          },
  };
}

function file(status: string, code: unknown, message: string, substatus: unknown[] = []): string {
  return JSON.stringify([{ status: { status, code, formattedMessage: { lang: 'en', message }, substatus } }]);
}

const view = (one: HandlerReport | undefined) =>
  formatInstanceView({ name: 'Greeter', handlerName: 'Contoso.Greeter', version: '1.0.0', report: one });

const explain = (one: HandlerReport | undefined) =>
  explainReport({ name: 'Greeter', handlerName: 'Contoso.Greeter', version: '1.0.0', report: one });

describe('the instance view', () => {
  // Origin: the output on Microsoft's page of the Custom Script extension, with its keys in the same order.
  it('has the shape that az prints for a misspelt command', () => {
    const message =
      'Enable failed: failed to execute command: command terminated with exit status=127\n[stdout]\n\n[stderr]\n/bin/sh: 1: ech: not found\n';
    expect(JSON.stringify(view(report(READY, file('error', 0, message))), null, 2)).toBe(`{
  "name": "Greeter",
  "statuses": [
    {
      "code": "ProvisioningState/failed/0",
      "displayStatus": "Provisioning failed",
      "level": "Error",
      "message": ${JSON.stringify(message)},
      "time": null
    }
  ],
  "substatuses": null,
  "type": "Contoso.Greeter",
  "typeHandlerVersion": "1.0.1"
}`);
  });

  it.each([
    ['success', 0, 'ProvisioningState/succeeded', 'Info', 'Provisioning succeeded', 'Succeeded'],
    ['warning', 0, 'ProvisioningState/succeeded', 'Warning', 'Provisioning succeeded', 'Succeeded'],
    ['error', -21, 'ProvisioningState/failed/-21', 'Error', 'Provisioning failed', 'Failed'],
    ['error', '7', 'ProvisioningState/failed/7', 'Error', 'Provisioning failed', 'Failed'],
    ['error', null, 'ProvisioningState/failed/0', 'Error', 'Provisioning failed', 'Failed'],
    ['Success', 0, 'ProvisioningState/failed/0', 'Error', 'Provisioning failed', 'Failed'],
    ['transitioning', 0, 'ProvisioningState/transitioning', 'Info', 'Transitioning', 'Updating'],
  ])('of the status %s with the code %j is %s', (status, code, expected, level, displayStatus, state) => {
    const one = report(READY, file(status, code, 'text'));
    expect(view(one).statuses).toEqual([
      { code: expected, displayStatus, level, message: 'text', time: null },
    ]);
    expect(provisioningState(one)).toBe(state);
  });

  it('shows the substatuses as components', () => {
    const substatus = [
      { name: 'StdOut', status: 'success', code: 0, formattedMessage: { lang: 'en', message: 'out' } },
      { name: 'Join', status: 'error', code: 1, formattedMessage: { lang: 'en', message: 'no' } },
    ];
    expect(view(report(READY, file('error', 1, 'text', substatus))).substatuses).toEqual([
      {
        code: 'ComponentStatus/StdOut/succeeded',
        displayStatus: 'Provisioning succeeded',
        level: 'Info',
        message: 'out',
        time: null,
      },
      {
        code: 'ComponentStatus/Join/failed/1',
        displayStatus: 'Provisioning failed',
        level: 'Error',
        message: 'no',
        time: null,
      },
    ]);
  });

  it.each([
    [
      'a failed enable',
      { status: 'NotReady', code: 1009, message: 'no luck' },
      undefined,
      'failed/1009',
      'no luck',
    ],
    [
      'a failed enable over a good file',
      { status: 'NotReady', code: 1009, message: 'no luck' },
      file('success', 0, 'x'),
      'failed/1009',
      'no luck',
    ],
    ['a failed install', { status: 'NotReady', code: 1007, message: 'bad' }, null, 'failed/1007', 'bad'],
    [
      'an installed handler',
      { status: 'NotReady', code: 0, message: 'not enabled' },
      undefined,
      'transitioning',
      'not enabled',
    ],
    ['no settings', READY, null, 'succeeded', 'Plugin enabled'],
    [
      'a silent heartbeat',
      { status: 'Unresponsive', code: 0, message: 'x' },
      file('success', 0, 'fine'),
      'succeeded',
      'fine',
    ],
    ['an empty array', READY, '[]', 'transitioning', null],
    ['a file that silences the VM', READY, '[null]', 'transitioning', null],
  ] as const)('of %s', (_, handler, text, code, message) => {
    const [status] = view(report(handler, text)).statuses;
    expect(status).toMatchObject({ code: `ProvisioningState/${code}`, message });
  });

  it('of a handler that is not reported is transitioning', () => {
    expect(view(undefined)).toMatchObject({
      statuses: [{ code: 'ProvisioningState/transitioning' }],
      typeHandlerVersion: '1.0.0',
    });
  });
});

describe('the explanation', () => {
  it.each([
    [report(READY, file('success', 0, 'x')), []],
    [report(READY, file('Success', 0, 'x')), [/Success.* which the agent turns into error/]],
    [report(READY, '{'), [/the agent reports 1012 because the file is not valid JSON/]],
    [report(READY, undefined), [/no file \/status\/3\.status/]],
    [report(READY, '[null]'), [/gives up on the report of the whole VM/]],
    [report(READY, null), [/no settings, so the agent reads no status file/]],
    [
      report({ status: 'NotReady', code: 1009, message: 'x' }, undefined),
      [/^Greeter: the agent reports 1009 because enable exited with another code than 0/],
    ],
    [
      report({ status: 'ready', code: 0, message: 'x' }, file('success', 0, 'x')),
      [/makes the handler ready/],
    ],
    [undefined, [/reports nothing/]],
  ])('of report %# says why the view is not what the file says', (one, expected) => {
    const sentences = explain(one);
    expect(sentences).toHaveLength(expected.length);
    for (const [index, pattern] of expected.entries()) expect(sentences[index]).toMatch(pattern);
  });
});
