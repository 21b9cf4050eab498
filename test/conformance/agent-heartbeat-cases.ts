/**
 * What the agent makes of a heartbeat, and of what makes it give up on its whole report. A heartbeat is read with every report,
 * so a case writes it and looks again. Source: agent-contract 8.3 (its last rows), 9.
 */
import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { CaseGroup } from './agent-cases.ts';
import { planned } from './observer-package.ts';
import { differs } from './version-differences.ts';

const TYPE = 'Heart';

interface Row {
  readonly title: string;
  /** Shell that makes the heartbeat, in enable. */
  readonly plan: string;
  /** What the handler is said to be; `undefined`: nothing is said, as it is ready. */
  readonly handler: string | undefined;
}

const NUMBER = 'a message that is a number';
const REPORTED = `write_status '[{"status": {"status": "success", "formattedMessage": {"lang": "en-US", "message": "done"}}}]'`;
const beat = (text: string): string => `printf '%s' '${text}' >heartbeat.log`;

const ROWS: readonly Row[] = [
  {
    title: 'a ready one',
    plan: beat('[{"version": 1.0, "heartbeat": {"status": "Ready", "code": 0}}]'),
    handler: undefined,
  },
  {
    title: 'a word in another case, passed on as it is (trap 12)',
    plan: beat('[{"heartbeat": {"status": "ready", "code": 0}}]'),
    handler: 'ready',
  },
  {
    title: 'one of eleven minutes ago',
    plan: `${beat('[{"heartbeat": {"status": "Ready", "code": 0}}]')}\ntouch -d '11 minutes ago' heartbeat.log`,
    handler: 'Unresponsive',
  },
  { title: 'one that says nothing', plan: beat('[{"heartbeat": {}}]'), handler: 'null' },
];

export const describeHeartbeats: CaseGroup = (vm) => {
  let zip = '';
  for (const row of ROWS) {
    it(`reads ${row.title}`, async () => {
      zip ||= vm().pack({ type: TYPE, version: '1.0.0', manifest: { reportHeartbeat: true } });
      const shown = await vm().apply(zip, planned(`${row.plan}\n${REPORTED}`));
      // Ready means no more than that enable exited with 0; the heartbeat does not change that.
      expect(vm().handlerStatus(TYPE, '1.0.0')).toEqual({
        status: 'Ready',
        code: 0,
        message: 'Plugin enabled',
      });
      expect(shown.status).toMatchObject({ code: 'ProvisioningState/succeeded', message: 'done' });
      const said = /the heartbeat makes the handler (\w+)/.exec(shown.stderr)?.[1];
      expect(said).toBe(row.handler);
    });
  }

  for (const [title, plan, message] of [
    ['is missing', 'rm -f heartbeat.log', '[ExtensionError] Failed to get heart beat file'],
    ['is no JSON', beat('{'), '[ExtensionError] Malformed heartbeat file: '],
    ['has no heartbeat in it', beat('[{}]'), "[ExtensionError] Malformed heartbeat file: 'heartbeat'"],
  ] as const) {
    it(`fails a handler whose heartbeat ${title}, from the next report on, until the next enable`, async () => {
      await vm().apply(zip, planned(`${plan}\n${REPORTED}`), ['--no-wait']);
      await vm().run(['instance-view']);
      const { status } = await vm().run(['instance-view']);
      await until('the failure', () => vm().handlerStatus(TYPE, '1.0.0').code === -1);
      expect(vm().handlerStatus(TYPE, '1.0.0')).toMatchObject({
        status: 'NotReady',
        message: expect.stringContaining(message),
      });
      expect(status?.code).toMatch(/^ProvisioningState\/(failed\/-1|succeeded)$/);
      const good = await vm().apply(zip, planned(`${ROWS[0]?.plan}\n${REPORTED}`));
      expect(good.status?.code).toBe('ProvisioningState/succeeded');
    });
  }

  for (const [title, name, text] of [
    ['a heartbeat that is an empty array', 'heartbeat.log', '[]'],
    ['a status that is null', 'status', '[{"status": null}]'],
    [
      NUMBER,
      'status',
      '[{"status": {"status": "success", "formattedMessage": {"lang": "en-US", "message": 5}}}]',
    ],
  ] as const) {
    it(`reports nothing of the whole VM for ${title} (trap 10)`, async () => {
      // Written after the goal state has been reported, which could not be waited for otherwise. The real agent crashes
      // over some of them, begins anew, and enables again: from then on the enable itself writes it. The file is made in
      // the VM, which need not see one that is made in its overlay from outside.
      const target = name === 'status' ? '"$status_file"' : name;
      const go = `go-${title.replaceAll(' ', '-')}`;
      const plan = `${ROWS[0]?.plan}
${REPORTED}
spoil() { cat "$log/${go}" >${target}; }
[ -e "$log/${go}" ] || : >"$log/${go}"
if [ -s "$log/${go}" ]; then spoil; else
  (until [ -s "$log/${go}" ]; do sleep 0.1; done; spoil) >/dev/null 2>&1 &
fi`;
      const shown = await vm().apply(zip, planned(plan));
      expect(shown.status?.code).toBe('ProvisioningState/succeeded');
      writeFileSync(vm().log(TYPE, go), text);
      if (title === NUMBER && differs(vm().agent, 'message-kind')) {
        const look = async () => (await vm().run(['instance-view'])).status?.message;
        await expect.poll(look, { timeout: 60_000 }).toBe('5');
      } else {
        await vm().awaitSilence();
      }
    });
  }

  it('takes the message out of a heartbeat as well', async () => {
    const behaviour = `[ $operation = enable ] && ${beat(
      '[{"heartbeat": {"status": "Ready", "formattedMessage": {"lang": "en-US", "message": "beating"}}}]',
    )}`;
    vm().forget();
    const beating = vm().pack({
      type: 'Beating',
      version: '1.0.0',
      manifest: { reportHeartbeat: true },
      behaviour,
    });
    // Without settings there is no status, so the platform shows what the handler says.
    const { status } = await vm().apply(beating, {});
    expect(status?.message).toBe(differs(vm().agent, 'heartbeat-message') ? 'Plugin enabled' : 'beating');
  });

  it('reads no heartbeat where the manifest says that there is none, also as a text', async () => {
    vm().forget();
    const texts = vm().pack({ type: 'Texts', version: '1.0.0', manifest: { reportHeartbeat: 'false' } });
    await vm().apply(texts, { public: {} }, ['--no-wait']);
    await vm().run(['instance-view']);
    const isMissed = differs(vm().agent, 'boolean-texts');
    if (isMissed) await until('the failure', () => vm().handlerStatus('Texts', '1.0.0').code === -1);
    expect(vm().handlerStatus('Texts', '1.0.0').code).toBe(isMissed ? -1 : 0);
  });
};
