import { mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GoalStateExtension, HandlerReport } from './agent.ts';
import type { TestVm } from './fixtures/test-vm.ts';
import { createTestVm, HANDLER } from './fixtures/test-vm.ts';

let vm: TestVm;
beforeEach(async () => {
  vm = await createTestVm();
});
afterEach(() => vm.dispose());

/** The only handler's report, by an agent that has not seen anything before. */
async function report(extension: GoalStateExtension): Promise<HandlerReport | undefined> {
  const reports = await vm.newAgent().report({ id: 'incarnation_9', extensions: [extension] });
  expect(reports.length).toBeLessThan(2);
  return reports[0];
}

describe('the report of a handler', () => {
  it('has the handler as Ready and what its status file says', async () => {
    const wanted = await vm.want('1.0.0', { sequence: 2 });
    await vm.apply(wanted);
    expect(await report(wanted)).toMatchObject({
      handlerName: HANDLER,
      handlerVersion: '1.0.0',
      status: 'Ready',
      code: 0,
      message: 'Plugin enabled',
      silencesVm: undefined,
      extension: {
        name: HANDLER,
        sequence: 2,
        verdict: {
          reported: { operation: null, status: 'success', code: 0, message: 'by 1.0.0', substatus: [] },
          explanation: undefined,
          silencesVm: false,
        },
      },
    });
    expect(vm.pauses).toEqual([]);
  });

  it('is missing for a handler that never was, and for one that was uninstalled', async () => {
    expect(await report(await vm.want('1.0.0'))).toBeUndefined();
    await vm.apply(await vm.want('1.0.0'));
    const wanted = await vm.want('1.0.0', { requestedState: 'uninstall' });
    await vm.apply(wanted);
    expect(await report(wanted)).toBeUndefined();
  });

  it('has no extension when the handler is not installed, or has no settings', async () => {
    await vm.failOn('1.0.0', 'install', 1);
    const wanted = await vm.want('1.0.0');
    await vm.apply(wanted);
    expect(await report(wanted)).toMatchObject({ status: 'NotReady', code: 1007, extension: undefined });
    await vm.failOn('1.0.0', 'install', 0);
    const plain = await vm.want('1.0.0', { settings: undefined });
    await vm.apply(plain);
    expect(await report(plain)).toMatchObject({ status: 'Ready', code: 0, extension: undefined });
  });

  it('has the installed version of a handler whose uninstall was held up', async () => {
    await vm.apply(await vm.want('1.0.0'));
    await vm.failOn('1.0.0', 'disable', 1);
    const wanted = await vm.want('2.0.0', { requestedState: 'uninstall' });
    await vm.apply(wanted);
    expect(await report(wanted)).toMatchObject({ handlerVersion: '1.0.0', status: 'NotReady', code: 1010 });
  });
});

describe('the status file in a report', () => {
  it('counts as transitioning when it is missing after five looks, two seconds apart', async () => {
    const wanted = await vm.want('1.0.0');
    await vm.apply(wanted);
    await rm(vm.path('1.0.0', 'status', '0.status'));
    const found = await report(wanted);
    expect(found).toMatchObject({
      status: 'Ready',
      extension: { verdict: { reported: { status: 'transitioning', code: 0 } } },
    });
    expect(found?.extension?.verdict.reported.message).toContain(
      `Status file ${vm.path('1.0.0', 'status', '0.status')} does not exist`,
    );
    expect(vm.pauses).toEqual([2000, 2000, 2000, 2000]);
  });

  it('is read again when it is only half written', async () => {
    const wanted = await vm.want('1.0.0');
    await vm.apply(wanted);
    const file = vm.path('1.0.0', 'status', '0.status');
    await writeFile(file, '[{"status":{"sta');
    vm.onSleep = () => writeFile(file, '[{"status":{"status":"warning"}}]');
    const found = await report(wanted);
    expect(found?.extension?.verdict.reported.status).toBe('warning');
    expect(vm.pauses).toEqual([2000]);
  });

  const unreadable: readonly [string, Buffer][] = [
    ['empty', Buffer.alloc(0)],
    ['cut off', Buffer.from('[{"status":')],
    ['not UTF-8', Buffer.from('[{"status":{"status":"success","name":"\xff"}}]', 'latin1')],
    ['marked with a byte order mark', Buffer.from('\uFEFF[{"status":{"status":"success"}}]')],
  ];
  it.each(unreadable)('is an error 1012 when it stays %s', async (_kind, bytes) => {
    const wanted = await vm.want('1.0.0');
    await vm.apply(wanted);
    await writeFile(vm.path('1.0.0', 'status', '0.status'), bytes);
    expect((await report(wanted))?.extension?.verdict.reported).toMatchObject({
      status: 'error',
      code: 1012,
    });
    expect(vm.pauses.length).toBe(4);
  });

  it('is an error -1 when it cannot be read', async () => {
    const reason = `[Errno 21] Is a directory: '${vm.path('1.0.0', 'status', '0.status')}'`;
    const wanted = await vm.want('1.0.0');
    await vm.apply(wanted);
    await rm(vm.path('1.0.0', 'status', '0.status'));
    await mkdir(vm.path('1.0.0', 'status', '0.status'));
    expect((await report(wanted))?.extension?.verdict.reported).toMatchObject({
      status: 'error',
      code: -1,
      message: `We couldn't read any status for ${HANDLER}-1.0.0 extension, for the sequence number 0. It failed due to [ExtensionStatusError] ${reason}\nInner error: ${reason}`,
    });
  });

  it('of an earlier sequence number does not count for a new one', async () => {
    await vm.apply(await vm.want('1.0.0'));
    await vm.failOn('1.0.0', 'enable', 1);
    const wanted = await vm.want('1.0.0', { sequence: 1 });
    await vm.apply(wanted);
    expect(await report(wanted)).toMatchObject({
      status: 'NotReady',
      code: 1009,
      extension: { sequence: 1, verdict: { reported: { status: 'transitioning' } } },
    });
  });

  it('that would silence the whole VM is told as that', async () => {
    const wanted = await vm.want('1.0.0');
    await vm.apply(wanted);
    await writeFile(vm.path('1.0.0', 'status', '0.status'), '[null]');
    expect((await report(wanted))?.extension?.verdict.silencesVm).toBe(true);
  });
});

describe('the heartbeat in a report', () => {
  const beat = (text: string) => writeFile(vm.path('1.0.0', 'heartbeat.log'), text);
  const age = (seconds: number) => {
    const time = new Date(vm.now().getTime() - seconds * 1000);
    return utimes(vm.path('1.0.0', 'heartbeat.log'), time, time);
  };

  async function enabled(): Promise<GoalStateExtension> {
    const packageFile = await vm.pack('1.0.0', { manifest: { reportHeartbeat: true } });
    const wanted = await vm.want('1.0.0', { packageFile });
    await vm.apply(wanted);
    return wanted;
  }

  it('replaces the status as it stands, and the message when it has one', async () => {
    const wanted = await enabled();
    await beat('[{"version":1,"heartbeat":{"status":"ready","code":5,"Message":"other"}}]');
    await age(0);
    expect(await report(wanted)).toMatchObject({ status: 'ready', code: 0, message: 'Plugin enabled' });
    await beat('[{"heartbeat":{"status":"NotReady","formattedMessage":{"lang":"en-US","message":"tired"}}}]');
    await age(0);
    expect(await report(wanted)).toMatchObject({ status: 'NotReady', code: 0, message: 'tired' });
  });

  it('is unresponsive when it is older than ten minutes, and not before', async () => {
    const wanted = await enabled();
    await beat('[{"heartbeat":{"status":"Ready"}}]');
    await age(600);
    expect(await report(wanted)).toMatchObject({ status: 'Ready' });
    vm.advance(1000);
    expect(await report(wanted)).toMatchObject({
      status: 'Unresponsive',
      code: 0,
      message: 'Plugin enabled',
    });
  });

  it('that is missing is an error in the next report, whose code stays until the next enable', async () => {
    const wanted = await enabled();
    expect(await report(wanted)).toMatchObject({ status: 'Ready', code: 0 });
    expect(await report(wanted)).toMatchObject({
      status: 'NotReady',
      code: -1,
      message: '[ExtensionError] Failed to get heart beat file',
    });
    await beat('[{"heartbeat":{"status":"Ready","formattedMessage":{"lang":"en","message":"well"}}}]');
    await age(0);
    expect(await report(wanted)).toMatchObject({ status: 'Ready', code: -1, message: 'well' });
    await vm.apply(wanted);
    expect(await report(wanted)).toMatchObject({ status: 'Ready', code: 0 });
  });

  it('with a message that lacks its text gives code 3 in the next report', async () => {
    const wanted = await enabled();
    await beat('[{"heartbeat":{"status":"Ready","formattedMessage":{"lang":"en-US"}}}]');
    await age(0);
    expect(await report(wanted)).toMatchObject({ status: 'Ready', code: 0, message: 'Plugin enabled' });
    expect(await report(wanted)).toMatchObject({ status: 'Ready', code: 3 });
  });

  it('that is an empty array silences the whole VM', async () => {
    const wanted = await enabled();
    await beat('[]');
    await age(0);
    expect((await report(wanted))?.silencesVm).toContain('whole VM');
  });

  it('is not asked for when the manifest does not promise one', async () => {
    const wanted = await vm.want('1.0.0');
    await vm.apply(wanted);
    await beat('no heartbeat');
    expect(await report(wanted)).toMatchObject({ status: 'Ready', code: 0 });
    expect(await report(wanted)).toMatchObject({ status: 'Ready', code: 0 });
  });
});
