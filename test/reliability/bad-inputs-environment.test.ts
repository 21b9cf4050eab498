/** B HandlerEnvironment: every form that the file may have, read by a packed handler. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HANDLER_ENVIRONMENT_FILE } from '@handlerkit/sdk/contract';
import { expect, inject, it } from 'vitest';
import type { LaidOutHandler } from '../unpacked-handler.ts';
import { unpackPackage } from '../unpacked-handler.ts';
import type { BadInput } from './bad-input-runs.ts';
import { tryInputs } from './bad-input-runs.ts';

type Folders = Readonly<Record<string, unknown>>;

function environment(
  name: string,
  change: (folders: Folders, handler: LaidOutHandler) => unknown,
  refusal?: RegExp,
): BadInput {
  return {
    name,
    refusal,
    lay: (handler) => {
      const folder = handler.folder();
      const folders = {
        logFolder: handler.logFolder,
        configFolder: join(folder, 'config'),
        statusFolder: join(folder, 'status'),
        heartbeatFile: join(folder, 'heartbeat.log'),
        eventsFolder: handler.eventsFolder,
      };
      const value = change(folders, handler);
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      writeFileSync(join(folder, HANDLER_ENVIRONMENT_FILE), text);
    },
  };
}
const whole = (handlerEnvironment: unknown) => [{ version: 1, name: 'A.B', handlerEnvironment }];
const MISSING = (key: string): RegExp => new RegExp(`HandlerEnvironment\\.json: \\S*${key} is missing`);

const INPUTS: readonly BadInput[] = [
  environment('an array', (folders) => whole(folders)),
  environment('an object', (folders) => whole(folders)[0], /must be an array, but is an object/),
  environment('a byte order mark', (folders) => `\uFEFF${JSON.stringify(whole(folders))}\r\n`),
  environment('more keys than there are', (folders) => whole({ ...folders, deploymentid: 7, more: [] })),
  environment('no eventsFolder', ({ eventsFolder: _, ...folders }) => whole(folders)),
  environment('the former name of eventsFolder', ({ eventsFolder, ...folders }) =>
    whole({ ...folders, eventsFolder_preview: eventsFolder }),
  ),
  environment('both names of eventsFolder', (folders) =>
    whole({ ...folders, eventsFolder_preview: '/nowhere' }),
  ),
  environment('eventsFolder null', (folders) => whole({ ...folders, eventsFolder: null })),
  environment('a log folder elsewhere', (folders, { libFolder }) =>
    whole({ ...folders, logFolder: join(libFolder, 'other', 'place') }),
  ),
  environment('no log folder', ({ logFolder: _, ...folders }) => whole(folders), MISSING('logFolder')),
  environment(
    'no config folder',
    ({ configFolder: _, ...folders }) => whole(folders),
    MISSING('configFolder'),
  ),
  environment(
    'no status folder',
    ({ statusFolder: _, ...folders }) => whole(folders),
    MISSING('statusFolder'),
  ),
  environment(
    'a folder that is a number',
    (folders) => whole({ ...folders, logFolder: 7 }),
    /logFolder must be/,
  ),
  environment('an empty array', () => [], /HandlerEnvironment\.json: /),
  environment('null', () => null, /HandlerEnvironment\.json: /),
  environment('nothing', () => '', /HandlerEnvironment\.json: is empty/),
  environment('half of it', (folders) => JSON.stringify(whole(folders)).slice(0, 40), /is not valid JSON/),
  {
    name: 'a pipe',
    refusal: /HandlerEnvironment\.json (?:is a pipe|was found neither)/,
    lay: (handler) => {
      rmSync(join(handler.folder(), HANDLER_ENVIRONMENT_FILE));
      execFileSync('mkfifo', [join(handler.folder(), HANDLER_ENVIRONMENT_FILE)]);
    },
  },
];

it('B HandlerEnvironment: every form that an agent has ever written is read, and any other refused by name', async () => {
  const unpacked = unpackPackage(inject('probeZip'));
  try {
    // What was written lies in the folders that were named.
    const after = ({ libFolder }: LaidOutHandler): string[] =>
      existsSync('/nowhere') || readdirSync(libFolder).some((name) => name.endsWith('.tmp'))
        ? ['leaves files']
        : [];
    const tried = await tryInputs(unpacked, INPUTS, { after });
    expect(tried.filter(({ broken }) => broken.length > 0)).toEqual([]);
  } finally {
    unpacked.remove();
  }
});
