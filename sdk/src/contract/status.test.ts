import { describe, expect, it } from 'vitest';
import { ContractError } from './json.ts';
import type { Status, Substatus } from './status.ts';
import {
  AGENT_TERMINAL_STATUSES,
  CUT_MARK,
  cleanText,
  cutText,
  ERROR_CLARIFICATION,
  formatStatus,
  formatTime,
  isFinal,
  parseStatus,
  STATUS_TARGET_BYTES,
  STATUS_VALUES,
} from './status.ts';
import { judgeStatus } from './status-verdict.ts';

const STATUS: Status = {
  operation: 'Enable',
  status: 'success',
  code: 0,
  message: 'Enable succeeded',
  substatus: [],
  time: '2026-01-02T03:04:05Z',
};
const sub = (name: string, message: string, more: Partial<Substatus> = {}): Substatus => ({
  name,
  status: 'error',
  code: 7,
  message,
  ...more,
});
const judge = (text: string) =>
  judgeStatus({ text, file: 'f', extension: 'e', handlerFolder: 'e-1', sequence: 0 });
const expectTaken = (text: string): Status => {
  expect(Buffer.byteLength(text)).toBeLessThan(STATUS_TARGET_BYTES);
  expect(text.isWellFormed()).toBe(true);
  expect(judge(text)).toMatchObject({ silencesVm: false, explanation: undefined });
  return parseStatus(text, 'f');
};

describe('formatStatus', () => {
  it('gives a file that comes back as it was, and that the agent reports as it is', () => {
    const status: Status = {
      ...STATUS,
      status: 'error',
      code: -21,
      message: 'Zeile 1\n\t"Zeile 2" \\ 😀',
      substatus: [
        sub(ERROR_CLARIFICATION, '', { code: -21 }),
        sub('Download', 'ok', { status: 'success', code: 0 }),
      ],
    };
    expect(expectTaken(formatStatus(status))).toEqual(status);
  });

  it('keeps a text as long as it fits, whole', () => {
    const message = 'x'.repeat(60_000);
    expect(expectTaken(formatStatus({ ...STATUS, message })).message).toBe(message);
  });

  it.each([
    ['50 MB', 'x', 50_000_000],
    ['20 MB of two bytes each', 'é', 10_000_000],
    ['10 MB of NUL', '\u0000', 10_000_000],
    ['10 MB that grow in JSON', '"', 10_000_000],
    ['10 MB of line breaks', '\n', 10_000_000],
    ['10 M lone surrogates', '\ud800', 10_000_000],
    ['10 M surrogate pairs', '😀', 10_000_000],
  ])('cuts a text in the middle, in no time: %s', (_reason, part, times) => {
    const long = part.repeat(times);
    const message = `BEGIN${long}END`;
    // Flattens the text, which is not what is measured.
    expect(message.charCodeAt(message.length >> 1)).toBeGreaterThanOrEqual(0);
    // Bounded, however long the text is. The best of three, and in processor time: a busy machine is not the code's fault.
    let text = '';
    const spentMs = [1, 2, 3].map(() => {
      const start = process.cpuUsage();
      text = formatStatus({ ...STATUS, message });
      return process.cpuUsage(start).user / 1_000;
    });
    expect(Math.min(...spentMs)).toBeLessThan(100);
    const back = expectTaken(text).message;
    expect(back.startsWith('BEGIN')).toBe(true);
    expect(back.endsWith('END')).toBe(true);
    expect(back).toContain(CUT_MARK);
  });

  it.each([
    [300, 10, 0],
    [300, 10, 299],
    [100_000, 10, 99_999],
    [1000, 10_000_000, 999],
    [40, 100_000, 20],
  ])(
    'never drops the code of the error: %s substatuses of %s characters, it is number %s',
    (count, length, at) => {
      const long = 'y'.repeat(length);
      const substatus = Array.from({ length: count }, (_, i) =>
        sub(i === at ? ERROR_CLARIFICATION : `step ${i}`, long, { code: i }),
      );
      const back = expectTaken(formatStatus({ ...STATUS, status: 'error', message: long, substatus }));
      expect(back.substatus.find((item) => item.name === ERROR_CLARIFICATION)?.code).toBe(at);
      expect(back.substatus[0]?.code).toBe(0);
      expect(back.message.length).toBeGreaterThanOrEqual(Math.min(length, 256));
    },
  );

  it('cuts the long texts and leaves the short ones', () => {
    const substatus = [sub('a', 'short'), sub('b', 'z'.repeat(1_000_000)), sub('c', 'w'.repeat(3000))];
    const back = expectTaken(formatStatus({ ...STATUS, substatus }));
    expect(back.message).toBe(STATUS.message);
    expect(back.substatus.map((item) => item.message.length)).toEqual([5, expect.any(Number), 3000]);
    expect(back.substatus[1]?.message.length).toBeGreaterThan(30_000);
  });

  it('leaves out no substatus when there is room for all of them', () => {
    const substatus = Array.from({ length: 100 }, (_, i) => sub(`step ${i}`, 'done'));
    expect(expectTaken(formatStatus({ ...STATUS, substatus })).substatus).toEqual(substatus);
  });

  it.each([
    [Number.NaN, -1],
    [1.5, -1],
    [2 ** 60, -1],
    [-5, -5],
  ])('gives the code %s as %s', (code, expected) => {
    const back = expectTaken(formatStatus({ ...STATUS, code, substatus: [sub('a', '', { code })] }));
    expect([back.code, back.substatus[0]?.code]).toEqual([expected, expected]);
  });

  it.each([undefined, null, 5, ['a'], { a: 1 }])(
    'survives a caller that passes %j for texts and values',
    (value) => {
      const wrong: object = { operation: value, status: value, code: value, message: value, time: value };
      const item: object = { name: value, status: value, code: value, message: value };
      const status = { ...STATUS, ...wrong, substatus: [Object.assign(sub('a', ''), item)] };
      const back = expectTaken(formatStatus(status));
      expect([back.status, back.substatus[0]?.status, back.message]).toEqual(['error', 'error', '']);
    },
  );

  it('cuts names and the title', () => {
    const long = 'n'.repeat(1_000_000);
    const back = expectTaken(formatStatus({ ...STATUS, operation: long, substatus: [sub(long, 'm')] }));
    expect(back.operation.length).toBeLessThanOrEqual(256);
    expect(back.substatus[0]?.name.length).toBeLessThanOrEqual(256);
  });
});

describe('parseStatus', () => {
  const file = (status: unknown): string => JSON.stringify([{ status }]);

  it.each([
    [file({ status: 'success' }), 'the least that is valid'],
    [file({ status: 'success', formattedMessage: null, substatus: null, operation: null }), 'nulls'],
    [
      file({ status: 'success', formattedMessage: { lang: 'en', message: null }, substatus: [null] }),
      'nulls inside',
    ],
    [`[{"status":{"status":"success"}},5]`, 'a second element'],
  ])('reads %s: %s', (text) => {
    expect(parseStatus(text, 'f')).toEqual({ ...STATUS, operation: '', message: '', time: '' });
  });

  it.each([
    ['', 'is empty'],
    ['\uFEFF[]', 'begins with a byte order mark'],
    ['{}', 'must be an array'],
    ['[]', '[0] is missing; it must be an object'],
    ['[null]', '[0] must be an object, but is null'],
    ['[{}]', '[0].status is missing'],
    [file({}), '[0].status.status is missing'],
    [file({ status: 'Success' }), '[0].status.status must be one of transitioning, success, warning, error'],
    [file({ status: 'success', code: '7' }), '[0].status.code must be a number, but is a string'],
    [file({ status: 'success', formattedMessage: 'x' }), '[0].status.formattedMessage must be an object'],
    [
      file({ status: 'success', formattedMessage: { message: 'x' } }),
      '[0].status.formattedMessage.lang is missing',
    ],
    [
      file({ status: 'success', formattedMessage: { lang: 'x' } }),
      '[0].status.formattedMessage.message is missing',
    ],
    [file({ status: 'success', substatus: {} }), '[0].status.substatus must be an array'],
    [file({ status: 'success', substatus: [{}] }), '[0].status.substatus[0].status is missing'],
    [
      file({ status: 'success', substatus: [{ status: 'failed' }] }),
      '[0].status.substatus[0].status must be one of',
    ],
  ])('refuses %s: %s', (text, problem) => {
    const parse = () => parseStatus(text, '0.status');
    expect(parse).toThrow(ContractError);
    expect(parse).toThrow(`0.status: ${problem}`);
  });

  it('refuses a file that is cut off at any character', () => {
    const text = formatStatus({ ...STATUS, substatus: [sub('a', 'b')] }).trim();
    for (let end = 0; end < text.length; end++) {
      expect(() => parseStatus(text.slice(0, end), 'f')).toThrow(ContractError);
    }
  });
});

describe('cutText', () => {
  it.each([
    ['abc', 3, 'abc'],
    ['abcd', 3, 'abc'],
    ['abcd', 0, ''],
    ['a'.repeat(30), 20, `aaaa${CUT_MARK}\naaaa`.slice(0, 20)],
    ['a😀', 2, 'a'],
  ])('cuts %j to %s characters', (text, characters, expected) => {
    const cut = cutText(text, characters);
    expect(cut.length).toBeLessThanOrEqual(Math.max(characters, 0));
    if (characters !== 20) expect(cut).toBe(expected);
    else expect(cut).toMatch(/^a+ \.\.\. \[cut\]\na+$/);
  });

  it('never cuts through a surrogate pair', () => {
    for (let characters = 0; characters < 40; characters++) {
      for (const text of ['😀'.repeat(30), `x${'😀'.repeat(30)}y`]) {
        const cut = cutText(text, characters);
        expect(cut.isWellFormed()).toBe(true);
        expect(cut.length).toBeLessThanOrEqual(characters);
      }
    }
  });
});

describe('small things', () => {
  it('cleanText leaves tab, line break and all of Unicode, and replaces the rest', () => {
    expect(cleanText('a\tb\nc\rd é € 😀')).toBe('a\tb\nc\rd é € 😀');
    expect(cleanText('\u0000\u001b[31m\u007f\u0085\ud800x\udc00')).toBe(
      '\uFFFD\uFFFD[31m\uFFFD\uFFFD\uFFFDx\uFFFD',
    );
  });

  it('formatTime gives UTC to the second', () => {
    expect(formatTime(new Date('2026-01-02T03:04:05.999+01:00'))).toBe('2026-01-02T02:04:05Z');
  });

  it('every value but transitioning is final to a handler; warning is none that the agent waits for', () => {
    expect(STATUS_VALUES.filter(isFinal)).toEqual(['success', 'warning', 'error']);
    expect(AGENT_TERMINAL_STATUSES).toEqual(['success', 'error']);
  });
});
