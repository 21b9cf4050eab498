import { describe, expect, it } from 'vitest';
import { formatHandlerEnvironment, parseHandlerEnvironment } from './handler-environment.ts';
import { ContractError } from './json.ts';

const FOLDERS = {
  logFolder: '/l',
  configFolder: '/c',
  statusFolder: '/s',
  heartbeatFile: '/h',
  eventsFolder: '/e',
};
const file = (handlerEnvironment: unknown): string =>
  JSON.stringify([{ name: 'N', version: 1.0, handlerEnvironment }]);

describe('parseHandlerEnvironment', () => {
  it.each<[unknown, unknown, string]>([
    [{ ...FOLDERS, eventsFolder_preview: '/p' }, FOLDERS, 'both events folders: the final name wins'],
    [
      { ...FOLDERS, eventsFolder: undefined, eventsFolder_preview: '/p' },
      { ...FOLDERS, eventsFolder: '/p' },
      'the preview name only',
    ],
    [
      { ...FOLDERS, eventsFolder: null },
      { ...FOLDERS, eventsFolder: undefined },
      'an agent that collects no events',
    ],
    [{ ...FOLDERS, heartbeatFile: undefined }, { ...FOLDERS, heartbeatFile: undefined }, 'no heartbeat file'],
    [
      { ...FOLDERS, deploymentid: 'd', rolename: 'r', supportedFeatures: [] },
      FOLDERS,
      'keys of older agents',
    ],
  ])('reads %j: %s', (given, expected) => {
    expect(parseHandlerEnvironment(file(given), 'f')).toEqual(expected);
  });

  it.each([
    ['', 'is empty'],
    ['{', 'is not valid JSON'],
    ['{}', 'must be an array, but is an object'],
    ['[]', 'must be an array of exactly one element, but has 0'],
    ['[{},{}]', 'must be an array of exactly one element, but has 2'],
    ['[null]', '[0] must be an object, but is null'],
    ['[{}]', '[0].handlerEnvironment is missing; it must be an object'],
    [file('x'), '[0].handlerEnvironment must be an object, but is a string'],
    [file({ ...FOLDERS, logFolder: undefined }), '[0].handlerEnvironment.logFolder is missing'],
    [file({ ...FOLDERS, configFolder: '' }), '[0].handlerEnvironment.configFolder must not be empty'],
    [
      file({ ...FOLDERS, statusFolder: 5 }),
      '[0].handlerEnvironment.statusFolder must be a string, but is a number',
    ],
    [file({ ...FOLDERS, eventsFolder: {} }), '[0].handlerEnvironment.eventsFolder must be a string'],
  ])('refuses %s: %s', (text, problem) => {
    const parse = () => parseHandlerEnvironment(text, 'HandlerEnvironment.json');
    expect(parse).toThrow(ContractError);
    expect(parse).toThrow(`HandlerEnvironment.json: ${problem}`);
  });
});

describe('formatHandlerEnvironment', () => {
  it('leaves out what the agent does not give', () => {
    const text = formatHandlerEnvironment('N', { ...FOLDERS, eventsFolder: undefined });
    expect(text).toBe(
      '[{"name": "N", "version": 1.0, "handlerEnvironment": {"logFolder": "/l", "configFolder": "/c", "statusFolder": "/s", "heartbeatFile": "/h"}}]',
    );
  });
});
