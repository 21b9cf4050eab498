import { describe, expect, it } from 'vitest';
import {
  formatHeartbeat,
  HEARTBEAT_INTERVAL_SECONDS,
  HEARTBEAT_MESSAGE_CHARACTERS,
  HEARTBEAT_STALE_SECONDS,
  parseHeartbeat,
} from './heartbeat.ts';
import type { HeartbeatVerdict } from './heartbeat-verdict.ts';
import { judgeHeartbeat } from './heartbeat-verdict.ts';
import { ContractError } from './json.ts';

const judge = (text: string | undefined, ageSeconds = 0): HeartbeatVerdict =>
  judgeHeartbeat({ text, ageSeconds, file: 'heartbeat.log' });
const file = (heartbeat: unknown): string => JSON.stringify([{ version: 1, heartbeat }]);
const words = (message: unknown, lang: unknown = 'en') => ({ lang, message });

describe('formatHeartbeat', () => {
  it('gives a file in both forms, which the agent reports as it was meant', () => {
    const text = formatHeartbeat({ status: 'Ready', code: 0, message: 'All is well' });
    expect(JSON.parse(text)[0].heartbeat).toEqual({
      status: 'Ready',
      code: 0,
      formattedMessage: { lang: 'en-US', message: 'All is well' },
      Message: 'All is well',
    });
    expect(judge(text)).toEqual({ kind: 'reported', status: 'Ready', message: 'All is well' });
    expect(parseHeartbeat(text, 'f')).toEqual({ status: 'Ready', message: 'All is well' });
  });

  it('cuts the message and makes it valid text', () => {
    const text = formatHeartbeat({ status: 'NotReady', code: 1, message: `\u0000${'x'.repeat(10_000_000)}` });
    const { message } = parseHeartbeat(text, 'f');
    expect(message?.length).toBe(HEARTBEAT_MESSAGE_CHARACTERS);
    expect(message?.startsWith('\uFFFDxxx')).toBe(true);
  });

  it('is refreshed ten times before it is stale', () => {
    expect(HEARTBEAT_STALE_SECONDS / HEARTBEAT_INTERVAL_SECONDS).toBeGreaterThanOrEqual(10);
  });
});

describe('parseHeartbeat', () => {
  it.each<[unknown, string | undefined, string | null | undefined]>([
    [{ status: 'ready' }, 'ready', undefined],
    [{ status: 'Ready', formattedMessage: null }, 'Ready', null],
    [{ status: 'Ready', formattedMessage: words(null, null) }, 'Ready', null],
    [{ status: null, code: 'x', Message: 'old form' }, undefined, undefined],
    [null, undefined, undefined],
  ])('reads %j', (heartbeat, status, message) => {
    expect(parseHeartbeat(file(heartbeat), 'f')).toEqual({ status, message });
  });

  it.each([
    ['', 'is empty'],
    ['\uFEFF[]', 'begins with a byte order mark'],
    ['{}', 'must be an array'],
    ['[]', '[0] is missing; it must be an object'],
    ['[{}]', '[0].heartbeat is missing; it must be an object'],
    [file('x'), '[0].heartbeat must be an object'],
    [file({ status: 5 }), '[0].heartbeat.status must be a string'],
    [file({ formattedMessage: 'x' }), '[0].heartbeat.formattedMessage must be an object'],
    [file({ formattedMessage: { message: 'x' } }), '[0].heartbeat.formattedMessage.lang is missing'],
    [file({ formattedMessage: { lang: 'x' } }), '[0].heartbeat.formattedMessage.message is missing'],
    [file({ formattedMessage: words(5) }), '[0].heartbeat.formattedMessage.message must be a string'],
  ])('refuses %s: %s', (text, problem) => {
    const parse = () => parseHeartbeat(text, 'heartbeat.log');
    expect(parse).toThrow(ContractError);
    expect(parse).toThrow(`heartbeat.log: ${problem}`);
  });
});

describe('judgeHeartbeat', () => {
  it.each<[string | undefined, number, HeartbeatVerdict]>([
    [
      undefined,
      0,
      {
        kind: 'failed',
        code: -1,
        message: '[ExtensionError] Failed to get heart beat file',
        status: undefined,
      },
    ],
    [file({ status: 'Ready' }), 600, { kind: 'reported', status: 'Ready', message: undefined }],
    [file({ status: 'Ready' }), 601, { kind: 'reported', status: 'Unresponsive', message: undefined }],
    ['not even JSON', 601, { kind: 'reported', status: 'Unresponsive', message: undefined }],
    [file({ status: 'ready' }), 0, { kind: 'reported', status: 'ready', message: undefined }],
    [file({}), 0, { kind: 'reported', status: null, message: undefined }],
    [
      file({ status: 'Ready', formattedMessage: null }),
      0,
      { kind: 'reported', status: 'Ready', message: null },
    ],
    [file(null), 0, { kind: 'ignored' }],
    [
      file({ status: 'Ready', formattedMessage: { lang: 'en' } }),
      0,
      {
        kind: 'failed',
        code: 3,
        message:
          '[ExtensionStatusError] Invalid status format by extension: Missing formattedMessage/message key',
        status: 'Ready',
      },
    ],
  ])('of %s, %s seconds old', (text, age, expected) => {
    expect(judge(text, age)).toEqual(expected);
  });

  it.each([
    ['', 'Expecting value: line 1 column 1 (char 0)'],
    ['[{"heartbeat":{}]', "Expecting ',' delimiter: line 1 column 17 (char 16)"],
    ['[]x', 'Extra data: line 1 column 3 (char 2)'],
    [`\uFEFF${file({})}`, 'Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)'],
    ['{"heartbeat":{}}', '0'],
    ['[{"version":1}]', "'heartbeat'"],
  ])('of %s has the message that Python makes of it: %s', (text, words) => {
    const message = `[ExtensionError] Malformed heartbeat file: ${words}`;
    expect(judge(text)).toEqual({ kind: 'failed', code: -1, message, status: undefined });
  });

  it.each([
    ['', 'failed'],
    ['{', 'failed'],
    ['\uFEFF[{"heartbeat":{"status":"Ready"}}]', 'failed'],
    ['{"heartbeat":{}}', 'failed'],
    ['[{}]', 'failed'],
    [file({ formattedMessage: 'hello' }), 'failed'],
    [file({ formattedMessage: [] }), 'failed'],
    ['[]', 'silences'],
    ['[null]', 'silences'],
    ['["x"]', 'silences'],
    ['5', 'silences'],
    ['null', 'silences'],
    [file('x'), 'silences'],
    [file([]), 'silences'],
    [file({ formattedMessage: 5 }), 'silences'],
    [file({ formattedMessage: ['lang', 'message'] }), 'silences'],
    [file({ formattedMessage: words(5) }), 'silences'],
  ])('of %s is: %s', (text, kind) => {
    expect(judge(text).kind).toBe(kind);
  });
});
