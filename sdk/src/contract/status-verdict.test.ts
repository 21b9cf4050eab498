import { describe, expect, it } from 'vitest';
import { AGENT_STATUS_LIMIT_CHARACTERS } from './status.ts';
import type { StatusVerdict } from './status-verdict.ts';
import { judgeStatus, judgeUnreadableStatus } from './status-verdict.ts';

const SOURCE = {
  file: '/var/lib/waagent/Contoso.Samples.Greeter-1.2.3/status/3.status',
  extension: 'Contoso.Samples.Greeter',
  handlerFolder: 'Contoso.Samples.Greeter-1.2.3',
  sequence: 3,
};
const judge = (text: string | undefined): StatusVerdict => judgeStatus({ ...SOURCE, text });
const file = (status: unknown): string => JSON.stringify([{ version: 1, status }]);
const success = (more: object): string => file({ status: 'success', ...more });
const words = (message: unknown, lang: unknown = 'en') => ({ lang, message });

describe('a file that is as it must be', () => {
  it('is reported as it is: the least', () => {
    expect(judge('[{"status":{"status":"success"}}]')).toEqual({
      reported: {
        operation: null,
        configurationAppliedTime: null,
        status: 'success',
        code: 0,
        message: null,
        substatus: [],
      },
      explanation: undefined,
      silencesVm: false,
    });
  });

  it('is reported as it is: all of it, codes untouched', () => {
    const text = file({
      name: 'ignored',
      status: 'warning',
      code: '7',
      operation: 'Enable',
      configurationAppliedTime: 'now',
      formattedMessage: words('hello', null),
      substatus: [
        null,
        { status: 'error', name: 'n', code: null, formattedMessage: words('m') },
        { status: 'success' },
      ],
      other: 1,
    });
    expect(judge(text)).toEqual({
      reported: {
        operation: 'Enable',
        configurationAppliedTime: 'now',
        status: 'warning',
        code: '7',
        message: 'hello',
        substatus: [
          { name: 'n', status: 'error', code: null, message: 'm' },
          { name: undefined, status: 'success', code: 0, message: undefined },
        ],
      },
      explanation: undefined,
      silencesVm: false,
    });
  });

  it.each<[string, unknown, string]>([
    [success({ code: null }), null, 'null'],
    [success({ code: 1.5 }), 1.5, 'a fraction'],
    [success({ code: { a: 1 } }), { a: 1 }, 'an object'],
  ])('%s keeps its code: %s', (text, code) => {
    expect(judge(text)).toMatchObject({ reported: { code }, explanation: undefined });
  });

  it.each([
    [success({ substatus: null }), 'null'],
    [success({ substatus: [] }), 'an empty array'],
    [success({ substatus: {} }), 'an empty object'],
    [success({ substatus: '' }), 'an empty text'],
  ])('%s has no substatus: %s', (text) => {
    expect(judge(text)).toMatchObject({
      reported: { status: 'success', substatus: [] },
      explanation: undefined,
    });
  });
});

describe('a file that the agent reports in its own way', () => {
  it('that is missing is transitioning', () => {
    const { reported, explanation, silencesVm } = judge(undefined);
    expect(reported).toMatchObject({ status: 'transitioning', code: 0 });
    expect(reported.message).toBe(
      `This status is being reported by the Guest Agent since no status file was reported by extension Contoso.Samples.Greeter: [ExtensionStatusError] Status file ${SOURCE.file} does not exist`,
    );
    expect(explanation).toContain('has not written a status for sequence number 3');
    expect(silencesVm).toBe(false);
  });

  it('that cannot be read is an error with code -1', () => {
    const { reported, explanation } = judgeUnreadableStatus(SOURCE, '[Errno 5] Input/output error');
    expect(reported).toMatchObject({ status: 'error', code: -1 });
    expect(reported.message).toBe(
      "We couldn't read any status for Contoso.Samples.Greeter-1.2.3 extension, for the sequence number 3. It failed due to [ExtensionStatusError] [Errno 5] Input/output error\nInner error: [Errno 5] Input/output error",
    );
    expect(explanation).toContain('cannot read');
  });

  it.each([
    ['', 'the file is empty', 'Expecting value: line 1 column 1 (char 0)'],
    [' \n', 'the file is empty', 'Expecting value: line 2 column 1 (char 2)'],
    [
      '[{"status":{"status":"succ',
      'the file is not valid JSON',
      'Unterminated string starting at: line 1 column 22 (char 21)',
    ],
    ['[]]', 'the file is not valid JSON', 'Extra data: line 1 column 3 (char 2)'],
    [
      '\uFEFF[{"status":{"status":"success"}}]',
      'the file begins with a byte order mark',
      'Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)',
    ],
  ])('%j is error 1012: %s', (text, reason, syntax) => {
    const { reported, explanation, silencesVm } = judge(text);
    expect(reported).toMatchObject({ status: 'error', code: 1012, substatus: [], operation: null });
    expect(reported.message).toBe(
      `The status reported by the extension Contoso.Samples.Greeter-1.2.3(Sequence number 3), was in an incorrect format and the agent could not parse it correctly. Failed due to [ExtensionStatusError] ${syntax} \n First 2000 Bytes of status file:\n ${text}\nInner error: ${syntax}`,
    );
    expect(explanation).toContain(`the agent reports 1012 because ${reason}`);
    expect(silencesVm).toBe(false);
  });

  it('that is no JSON is quoted, but only its first 2000 characters', () => {
    const { message } = judge(`{${'😀'.repeat(50_000)}`).reported;
    expect(message?.split('status file:\n ')[1]?.split('\n')[0]).toBe(`{${'😀'.repeat(1999)}`);
  });

  it.each([
    [
      '{"status":{"status":"success"}}',
      "The extension status must be an array: {'status': {'status': 'success'}}",
      'the file is an object, not an array',
    ],
    ['5', 'The extension status must be an array: 5', 'the file is a number, not an array'],
    ['"x"', 'The extension status must be an array: x', 'the file is a string, not an array'],
    ['[{}]', 'Invalid status format by extension: Missing status key', 'the first element has no status'],
    ['[[]]', 'Invalid status format by extension: Missing status key', 'the first element has no status'],
    ['["x"]', 'Invalid status format by extension: Missing status key', 'the first element has no status'],
    [file({}), 'Invalid status format by extension: Missing status/status key', '`status` has no status'],
    [file('x'), 'Invalid status format by extension: Missing status/status key', '`status` has no status'],
    [
      success({ formattedMessage: {} }),
      'Invalid status format by extension: Missing formattedMessage/lang key',
      '`formattedMessage` has no lang',
    ],
    [
      success({ formattedMessage: { lang: 'en' } }),
      'Invalid status format by extension: Missing formattedMessage/message key',
      '`formattedMessage` has no message',
    ],
    [
      success({ formattedMessage: { message: 'm' } }),
      'Invalid status format by extension: Missing formattedMessage/lang key',
      '`formattedMessage` has no lang',
    ],
    [
      success({ substatus: [{}] }),
      'Invalid status format by extension: Missing substatus/status key',
      'substatus[0] has no status, which is required',
    ],
    [
      success({ substatus: [null, 'x'] }),
      'Invalid status format by extension: Missing substatus/status key',
      'substatus[1] has no status',
    ],
    [
      success({ substatus: [{ status: 'error', formattedMessage: {} }] }),
      'Invalid status format by extension: Missing formattedMessage/lang key',
      'substatus[0].formattedMessage has no lang',
    ],
    [
      success({ substatus: [{ status: 'Failed' }] }),
      "Invalid value Failed in range ['transitioning', 'warning', 'error', 'success'] at the node substatus/status",
      'substatus[0].status is `Failed`; allowed: transitioning, success, warning, error',
    ],
    [
      success({ substatus: [{ status: { toString: 1 } }] }),
      "Invalid value {'toString': 1} in range",
      "substatus[0].status is {'toString': 1}; allowed: ",
    ],
    [
      success({ substatus: [{ status: null }] }),
      'Invalid value None in range',
      'substatus[0].status is None; allowed: ',
    ],
  ])('%s is error 1012: %s', (text, agentText, reason) => {
    const { reported, explanation, silencesVm } = judge(text);
    expect(reported).toMatchObject({ status: 'error', code: 1012 });
    expect(reported.message).toContain(
      `Could not get a valid status from the extension Contoso.Samples.Greeter-1.2.3. Encountered the following error: [ExtensionStatusError] ${agentText}`,
    );
    expect(explanation).toContain(`the agent reports 1012 because ${reason}`);
    expect(silencesVm).toBe(false);
  });

  it('keeps what it read before a fault', () => {
    const substatus = [{ status: 'success', name: 'first', formattedMessage: words('m') }, { status: 'no' }];
    expect(judge(success({ operation: 'Enable', substatus })).reported).toMatchObject({
      operation: 'Enable',
      code: 1012,
      substatus: [{ name: 'first', message: 'm' }],
    });
  });

  it.each<[unknown, string]>([
    ['Success', 'a capital letter'],
    ['failed', 'another word'],
    ['', 'nothing'],
    [null, 'null'],
    [5, 'a number'],
    [{ toString: null }, 'an object'],
  ])('with the status %j is an error, with code and message kept: %s', (status) => {
    const { reported, explanation } = judge(file({ status, code: 3, formattedMessage: words('m') }));
    expect(reported).toMatchObject({ status: 'error', code: 3, message: 'm' });
    expect(explanation).toContain('which the agent turns into error');
  });

  it.each([
    ['[]', 'the array is empty'],
    ['null', 'the file holds null'],
  ])('%s has no status at all', (text, reason) => {
    const { reported, explanation, silencesVm } = judge(text);
    expect(reported).toMatchObject({ status: null, code: null, message: null });
    expect(explanation).toContain(reason);
    expect(silencesVm).toBe(false);
  });

  it('with several elements is the first one', () => {
    const verdict = judge('[{"status":{"status":"success"}},null]');
    expect(verdict.reported.status).toBe('success');
    expect(verdict.explanation).toContain('of the 2 elements only the first is read');
  });

  it('loses the query of shared access signatures in all of its messages', () => {
    const url = 'https://a.blob.core.windows.net/c/b?sv=2020&sig=abc';
    const text = success({
      formattedMessage: words(`got ${url} well`),
      substatus: [{ status: 'success', formattedMessage: words(`"${url}"`) }],
    });
    const { reported, explanation } = judge(text);
    expect(reported.message).toBe('got https://a.blob.core.windows.net/c/b?<redacted> well');
    expect(reported.substatus[0]?.message).toBe('"https://a.blob.core.windows.net/c/b?<redacted>"');
    expect(explanation).toContain('shared access signatures');
  });
});

describe('a file that silences the whole VM', () => {
  it.each([
    ['[null]', 'the first element is null, not an object'],
    ['[5]', 'the first element is a number, not an object'],
    ['["status"]', 'the first element is a string, not an object'],
    ['[["status"]]', 'the first element is an array, not an object'],
    [file(null), '`status` is null, not an object'],
    [file('my status'), '`status` is a string, not an object'],
    [success({ formattedMessage: 'x' }), '`formattedMessage` is a text'],
    [success({ formattedMessage: 5 }), '`formattedMessage` is a number'],
    [success({ formattedMessage: ['lang', 'message'] }), '`formattedMessage` is an array'],
    [success({ formattedMessage: words(5) }), 'the message is a number, not a text'],
    [success({ formattedMessage: words(['a']) }), 'the message is an array, not a text'],
    [success({ substatus: { status: 'success' } }), '`substatus` is not an array'],
    [success({ substatus: 5 }), '`substatus` is not an array'],
    [success({ substatus: [5] }), 'substatus[0] is a number, not an object'],
    [
      success({ substatus: [{ status: 'error', formattedMessage: 'x' }] }),
      'substatus[0].formattedMessage is a text',
    ],
    [
      success({ substatus: [{ status: 'error', formattedMessage: words(5) }] }),
      'the message of a substatus is a number',
    ],
  ])('%s: %s', (text, reason) => {
    const { reported, explanation, silencesVm } = judge(text);
    expect(silencesVm).toBe(true);
    expect(explanation).toContain(reason);
    expect(explanation).toContain("so no extension's status is uploaded");
    expect(reported).toMatchObject({ status: null, message: null });
  });

  it.each([
    ['never closed', '['.repeat(100_000)],
    [
      'in a member that nobody reads',
      `[{"x":${'['.repeat(2000)}${']'.repeat(2000)},"status":{"status":"success"}}]`,
    ],
  ])('is one with brackets too deep for Python: %s', (_reason, text) => {
    expect(judge(text)).toMatchObject({ silencesVm: true });
    expect(judge(text).explanation).toContain('the file is nested too deep');
  });

  it('is not one with many brackets in a text', () => {
    expect(judge(success({ formattedMessage: words(`\\"${'[{'.repeat(5000)}`) })).silencesVm).toBe(false);
  });

  it('is not one when a later fault replaces the message that is no text', () => {
    expect(judge(success({ formattedMessage: words(5), substatus: [{ status: 'no' }] }))).toMatchObject({
      silencesVm: false,
      reported: { code: 1012 },
    });
  });
});

describe('a file that is too long', () => {
  const pad = (text: string, characters: number): string => text + ' '.repeat(characters - [...text].length);
  const LIMIT = AGENT_STATUS_LIMIT_CHARACTERS;

  it('is not cut up to the limit, which counts characters and not bytes', () => {
    const message = '😀'.repeat(100_000);
    for (const text of [
      success({ formattedMessage: words(message) }),
      pad(success({ formattedMessage: words('m'.repeat(5000)) }), LIMIT),
    ]) {
      expect(judge(text)).toMatchObject({ explanation: undefined, silencesVm: false });
    }
  });

  it.each([
    [1023, 1023],
    [1024, 1024 + ' ... [TRUNCATED]'.length],
    [5000, 1024 + ' ... [TRUNCATED]'.length],
  ])('has its message of %s characters reported with %s', (length, expected) => {
    const text = success({ code: 3, operation: 'Enable', formattedMessage: words('m'.repeat(length)) });
    const { reported, explanation } = judge(pad(text, LIMIT + 1));
    expect(reported).toMatchObject({ status: 'success', code: 3, operation: 'Enable' });
    expect(reported.message).toHaveLength(expected);
    expect(explanation).toContain(`the file has ${LIMIT + 1} characters, more than ${LIMIT}`);
  });

  it('keeps substatuses while all texts together, the message included, stay in the limit', () => {
    const item = (length: number) => ({
      status: 'error',
      name: 'n',
      formattedMessage: words('z'.repeat(length)),
    });
    const message = 'm'.repeat(1000);
    // 1000 + 12 * (1 + 10000) = 121012; with one of 10059 more it is exactly the limit.
    const list = [...Array.from({ length: 12 }, () => item(10_000)), item(LIMIT - 121_012 - 1), item(1)];
    const { reported } = judge(success({ formattedMessage: words(message), substatus: list }));
    expect(reported.substatus).toHaveLength(13);
    const longer = success({ formattedMessage: words(`${message}m`), substatus: list });
    expect(judge(longer).reported.substatus).toHaveLength(12);
  });

  it('has its substatus texts cut', () => {
    const substatus = [
      { status: 'error', name: 'n'.repeat(20_000), formattedMessage: words('z'.repeat(200_000)) },
    ];
    const [item] = judge(success({ formattedMessage: words('m'), substatus })).reported.substatus;
    expect(item?.name).toBe(`${'n'.repeat(10_240)} ... [TRUNCATED]`);
    expect(item?.message).toBe(`${'z'.repeat(10_240)} ... [TRUNCATED]`);
  });

  it.each([
    [success({}), 'no message'],
    [success({ formattedMessage: words(null) }), 'no message'],
    [success({ formattedMessage: words(5) }), 'no message'],
    ['[]', 'no message'],
    ['null', 'no message'],
    [
      success({ formattedMessage: words('m'), substatus: [{ status: 'error', name: 'n' }] }),
      'no name or no message',
    ],
    [
      success({
        formattedMessage: words('m'),
        substatus: [{ status: 'error', formattedMessage: words('x') }],
      }),
      'no name or no message',
    ],
  ])('%s silences the VM: %s', (text, reason) => {
    const { explanation, silencesVm } = judge(pad(text, LIMIT + 1));
    expect(silencesVm).toBe(true);
    expect(explanation).toContain(reason);
  });

  it('with another fault is reported with that fault', () => {
    expect(judge(pad(file({}), LIMIT + 1)).reported.code).toBe(1012);
  });
});
