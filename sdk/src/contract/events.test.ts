import { describe, expect, it } from 'vitest';
import type { TelemetryEvent } from './events.ts';
import {
  EVENT_LEVELS,
  EVENT_LIMITS,
  formatEvent,
  formatEventFile,
  isEventFile,
  parseEventFile,
} from './events.ts';
import { ContractError } from './json.ts';

const EVENT: TelemetryEvent = {
  version: '1.2.3',
  timestamp: '2026-01-02T03:04:05.678Z',
  taskName: 'Enable',
  level: 'Error',
  message: 'It broke',
  pid: 4711,
  tid: 1,
  operationId: 'op',
};
const RAW = {
  Version: 'v',
  Timestamp: 't',
  TaskName: 'n',
  EventLevel: 'Error',
  Message: 'm',
  EventPid: '1',
  EventTid: '2',
  OperationId: 'o',
};
const read = (value: unknown) => parseEventFile(JSON.stringify(value), 'f');

describe('formatEvent', () => {
  it('gives the eight fields, all of them texts', () => {
    const text = formatEvent(EVENT) ?? '';
    expect(JSON.parse(text)).toEqual({
      Version: '1.2.3',
      Timestamp: EVENT.timestamp,
      TaskName: 'Enable',
      EventLevel: 'Error',
      Message: 'It broke',
      EventPid: '4711',
      EventTid: '1',
      OperationId: 'op',
    });
    expect(parseEventFile(text, 'f')).toEqual({ events: [{ ...EVENT, pid: '4711', tid: '1' }], dropped: [] });
  });

  it.each(['', ' \n\t'])('gives nothing for the blank message %j, which the agent would drop', (message) => {
    expect(formatEvent({ ...EVENT, message })).toBeUndefined();
  });

  it('cuts every field, so that no event is dropped for its size', () => {
    const long = `\u0000"😀${'x'.repeat(10_000_000)}`;
    const event = {
      ...EVENT,
      version: long,
      timestamp: long,
      taskName: long,
      message: long,
      operationId: long,
    };
    const { events, dropped } = parseEventFile(formatEvent(event) ?? '', 'f');
    expect(dropped).toEqual([]);
    const characters = Object.values(events[0] ?? {}).reduce((sum, text) => sum + text.length, 0);
    expect(characters).toBeLessThan(EVENT_LIMITS.eventCharacters);
    expect(events[0]?.message).toHaveLength(EVENT_LIMITS.messageCharacters);
  });

  it('leaves no half of a surrogate pair', () => {
    const message = `${'x'.repeat(EVENT_LIMITS.messageCharacters - 1)}😀`;
    expect(
      parseEventFile(formatEvent({ ...EVENT, message }) ?? '', 'f').events[0]?.message.isWellFormed(),
    ).toBe(true);
  });
});

describe('names of event files', () => {
  it('sort in the order of time, also within one millisecond', () => {
    const names = [
      formatEventFile(1_767_323_045_000, 0),
      formatEventFile(1_767_323_045_000, 1),
      formatEventFile(1_767_323_045_000.9, 10),
      formatEventFile(1_767_323_045_001, 2),
    ];
    expect([...names].sort()).toEqual(names);
    expect(new Set(names).size).toBe(4);
    expect(names.every(isEventFile)).toBe(true);
  });

  it.each([
    ['1.json', true],
    ['1.JSON', true],
    ['a1.json', false],
    ['1.json.tmp', false],
    ['.json', false],
    ['1', false],
    ['-1.json', false],
  ])('%s is read: %s', (name, expected) => {
    expect(isEventFile(name)).toBe(expected);
  });
});

describe('parseEventFile', () => {
  it('reads names in any case, trims, takes numbers for the two ids, and ignores other keys', () => {
    const lower = Object.fromEntries(
      Object.entries(RAW).map(([key, value]) => [key.toLowerCase(), ` ${value} `]),
    );
    const { events, dropped } = read([RAW, lower, { ...RAW, EventPid: 1, EventTid: 2, Other: null }]);
    expect(dropped).toEqual([]);
    expect(events).toHaveLength(3);
    expect(new Set(events.map((event) => JSON.stringify(event))).size).toBe(1);
  });

  it.each(Object.keys(RAW))('drops an event without %s', (key) => {
    const { [key]: _, ...rest } = { ...RAW } as Record<string, string>;
    const shown = key === 'Message' ? key : key.toLowerCase();
    expect(read(rest)).toEqual({ events: [], dropped: [`MissingKeyError: ${shown} not found`] });
  });

  it.each<[unknown, string]>([
    [{ ...RAW, Message: ' \n' }, 'EmptyMessageError: Message should not be empty'],
    [{ ...RAW, TaskName: 5 }, 'taskname is a number, not a text'],
    [{ ...RAW, Version: null }, 'version is null, not a text'],
    [{ ...RAW, EventPid: 1.5 }, 'eventpid is a number, not a text'],
    [{ ...RAW, EventPid: null }, 'eventpid is null, not a text'],
    [{ ...RAW, EventTid: ['1'] }, 'eventtid is an array, not a text'],
    [5, 'the event is a number, not an object'],
    [null, 'the event is null, not an object'],
    [[[]], 'the event is an array, not an object'],
  ])('drops %j: %s', (value, reason) => {
    expect(read(value)).toEqual({ events: [], dropped: [reason] });
  });

  it('counts all fields but the version, which comes last', () => {
    const others = 'Error12mot'.length;
    const size = (length: number, more: object = {}) =>
      read({ ...RAW, TaskName: 'x'.repeat(length), ...more });
    const full = EVENT_LIMITS.eventCharacters - others;
    expect(size(full).events).toHaveLength(1);
    expect(size(full, { Version: 'v'.repeat(100_000) }).events).toHaveLength(1);
    expect(size(full + 1).dropped).toEqual(['OversizeEventError: max event size allowed: 6144']);
  });

  it('cuts a message after hiding signatures in it', () => {
    const secret = `https://a.example/b?sig=${'s'.repeat(5000)} end`;
    expect(read({ ...RAW, Message: secret }).events[0]?.message).toBe('https://a.example/b?<redacted> end');
    const [event] = read({ ...RAW, Message: '😀'.repeat(4000) }).events;
    expect([...(event?.message ?? '')]).toHaveLength(EVENT_LIMITS.messageCharacters);
  });

  it('drops the events with a fault, and no others', () => {
    expect(read([RAW, 5, RAW])).toMatchObject({ events: [{}, {}], dropped: [expect.any(String)] });
    expect(read([])).toEqual({ events: [], dropped: [] });
  });

  it.each(['', '{', '\uFEFF{}'])('refuses %j as a whole', (text) => {
    expect(() => parseEventFile(text, 'f')).toThrow(ContractError);
  });

  it('takes any level, though handlers write those of the documents', () => {
    expect(read({ ...RAW, EventLevel: 'Loud' }).events).toHaveLength(1);
    expect(EVENT_LEVELS).toContain('Informational');
  });
});
