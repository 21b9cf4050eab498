/** What the agent makes of a status file. Source: agent-contract 8.2 to 8.6. */
import { expect, it } from 'vitest';
import type { CaseGroup } from './agent-cases.ts';
import { planned, writeStatusText } from './observer-package.ts';
import { differs } from './version-differences.ts';

const TYPE = 'Statuses';

/** A status file and what the platform shows of it. */
interface Row {
  readonly title: string;
  readonly text: string;
  readonly code: string;
  /** The whole message, or what it has to match. */
  readonly message: string | RegExp | null;
  /** Level, where it is not that of the code. */
  readonly level?: string;
}

const status = (body: Readonly<Record<string, unknown>>): string => JSON.stringify([{ status: body }]);
const message = (text: string) => ({ lang: 'en-US', message: text });

const ROWS: readonly Row[] = [
  {
    title: 'nothing but the value',
    text: '[{"status": {"status": "success"}}]',
    code: 'succeeded',
    message: null,
  },
  {
    title: 'a value in another case is an error (trap 9)',
    text: status({ status: 'Success', code: 4, formattedMessage: message('said') }),
    code: 'failed/4',
    message: 'said',
  },
  {
    title: 'a warning',
    text: status({ status: 'warning', formattedMessage: message('careful') }),
    code: 'succeeded',
    message: 'careful',
    level: 'Warning',
  },
  {
    title: 'any code, passed on',
    text: status({ status: 'error', code: 'seven', formattedMessage: message('x') }),
    code: 'failed/seven',
    message: 'x',
  },
  {
    title: 'only the first element',
    text: `[{"status": {"status": "success", "formattedMessage": {"lang": "de", "message": "first"}}}, {"status": {"status": "error"}}]`,
    code: 'succeeded',
    message: 'first',
  },
  {
    title: 'an object in the place of the array',
    text: '{"status": {"status": "success"}}',
    code: 'failed/1012',
    message:
      /^Could not get a valid status from the extension Observer\.Statuses-1\.0\.0\. Encountered the following error: \[ExtensionStatusError\] The extension status must be an array: /,
  },
  {
    title: 'no status',
    text: '[{}]',
    code: 'failed/1012',
    message: /Invalid status format by extension: Missing status key$/,
  },
  {
    title: 'no value',
    text: '[{"status": {}}]',
    code: 'failed/1012',
    message: /Missing status\/status key$/,
  },
  {
    title: 'a message without a language',
    text: status({ status: 'success', formattedMessage: { message: 'x' } }),
    code: 'failed/1012',
    message: /Missing formattedMessage\/lang key$/,
  },
  {
    title: 'a substatus with a value in another case makes all of it invalid (trap 9)',
    text: status({ status: 'success', substatus: [{ name: 'part', status: 'Success' }] }),
    code: 'failed/1012',
    message: /Invalid value Success in range \[.*\] at the node substatus\/status$/,
  },
  {
    title: 'no JSON',
    text: '[{"status": ',
    code: 'failed/1012',
    message:
      /^The status reported by the extension Observer\.Statuses-1\.0\.0\(Sequence number \d+\), was in an incorrect format and the agent could not parse it correctly\. Failed due to \[ExtensionStatusError\] [\s\S]* First 2000 Bytes of status file:\n \[\{"status": \nInner error: /,
  },
  {
    title: 'a byte order mark',
    text: '\uFEFF[{"status": {"status": "success"}}]',
    code: 'failed/1012',
    message: /was in an incorrect format/,
  },
  {
    title: 'a long message in a file that is not too long, whole',
    text: status({ status: 'success', formattedMessage: message('x'.repeat(100_000)) }),
    code: 'succeeded',
    message: 'x'.repeat(100_000),
  },
  {
    title: 'a file that is too long, cut',
    text: status({
      status: 'error',
      code: 3,
      formattedMessage: message('y'.repeat(5000)),
      substatus: [{ name: 'part', status: 'error', code: 1, formattedMessage: message('z'.repeat(130_000)) }],
    }),
    code: 'failed/3',
    message: `${'y'.repeat(1024)} ... [TRUNCATED]`,
  },
];

export const describeStatuses: CaseGroup = (vm) => {
  let zip = '';
  it('keeps a handler ready whose enable ends well, and shows the error that it reports', async () => {
    zip = vm().pack({ type: TYPE, version: '1.0.0' });
    const text = status({ status: 'error', code: 12, formattedMessage: message('not done') });
    const shown = await vm().apply(zip, planned(writeStatusText(text)));
    expect(vm().handlerStatus(TYPE, '1.0.0')).toEqual({
      status: 'Ready',
      code: 0,
      message: 'Plugin enabled',
    });
    expect(shown.status).toMatchObject({
      code: 'ProvisioningState/failed/12',
      message: 'not done',
      level: 'Error',
    });
  });

  for (const row of ROWS) {
    it(`reads ${row.title}: ${row.code}`, async () => {
      const long = row.text.length > 10_000;
      // A long text is made in the VM: the settings would be too long for a command line.
      const { status: shown, views } = await vm().apply(
        zip,
        planned(long ? writeLongStatus(row.text) : writeStatusText(row.text)),
      );
      expect(shown?.code).toBe(`ProvisioningState/${row.code}`);
      if (row.message instanceof RegExp) expect(shown?.message).toMatch(row.message);
      else expect(shown?.message).toBe(row.message);
      if (row.level !== undefined) expect(shown?.level).toBe(row.level);
      if (row.code === 'failed/3')
        expect(views[0]?.substatuses?.map(({ code }) => code)).toEqual(['ComponentStatus/part/failed/1']);
    });
  }

  it('hides the query of a URL with a shared access signature in a message', async () => {
    const [url, query] = ['https://account.blob.core.windows.net/c/file', 'sv=2022&sig=abc'];
    const text = status({ status: 'success', formattedMessage: message(`see ${url}?${query} for more`) });
    const shown = await vm().apply(zip, planned(writeStatusText(text)));
    const left = differs(vm().agent, 'sas-redaction') ? query : '<redacted>';
    expect(shown.status?.message).toBe(`see ${url}?${left} for more`);
  });

  it('shows the failure of enable, whatever its status says', async () => {
    const text = status({ status: 'success', formattedMessage: message('done') });
    const shown = await vm().apply(zip, planned(`${writeStatusText(text)}\nexit 5`));
    expect(shown.status).toMatchObject({ code: 'ProvisioningState/failed/1009' });
  });

  it('shows a status of its own as long as there is none (trap 2), and takes none of an older number', async () => {
    const shown = await vm().apply(zip, planned('true'), ['--no-wait']);
    const { status: later } = await vm().run(['instance-view']);
    for (const one of [shown.status, later]) {
      expect(one?.code).toBe('ProvisioningState/transitioning');
      expect(one?.message).toMatch(
        /^This status is being reported by the Guest Agent since no status file was reported by extension Observer\.Statuses: \[ExtensionStatusError\] Status file .*\/status\/\d+\.status does not exist$/,
      );
    }
  });
};

/** The runs of one letter, made by a loop of the shell's. */
function writeLongStatus(text: string): string {
  const parts = text.split(/(([xyz])\2{999,})/).filter((part) => !/^[xyz]$/.test(part));
  const commands = parts.map((part) =>
    /^([xyz])\1{999,}$/.test(part)
      ? `printf '%0${part.length}d' 0 | tr 0 ${part[0]}`
      : `printf '%s' '${part}'`,
  );
  return `{ ${commands.join('; ')}; } >"$status_file"`;
}
