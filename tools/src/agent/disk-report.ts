/**
 * What the agent reports when it does not go by the goal state: the handlers that it finds on the disk.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` __get_handlers_on_file_system, _get_last_modified_seq_no_from_config_files;
 * agent-contract 4.3, 7.1.
 */
import { readdir, stat } from 'node:fs/promises';
import { CONFIG_FOLDER, parseSettingsFile } from '@handlerkit/sdk/contract';
import type { Machine } from '../vm/machine.ts';
import { isMissing } from './agent-files.ts';
import type { GoalStateExtension } from './goal-state.ts';
import type { HandlerInstance } from './handler-instance.ts';
import { pathIn } from './handler-instance.ts';
import { listHandlers } from './handler-store.ts';

/** An entry for every version of every handler, and for each of its configurations, with the number of the settings that were written last. */
export async function findOnDisk(machine: Machine): Promise<readonly GoalStateExtension[]> {
  const entries: GoalStateExtension[] = [];
  for (const handler of await listHandlers(machine)) entries.push(...(await entriesOnDisk(handler)));
  return entries;
}

async function entriesOnDisk(handler: HandlerInstance): Promise<readonly GoalStateExtension[]> {
  const newest = new Map<string | undefined, { readonly sequence: number; readonly time: number }>();
  for (const name of await namesIn(pathIn(handler, CONFIG_FOLDER))) {
    const parsed = parseSettingsFile(name);
    if (parsed === undefined) continue;
    const { mtimeMs } = await stat(pathIn(handler, CONFIG_FOLDER, name));
    const former = newest.get(parsed.extensionName);
    if (former !== undefined && former.time >= mtimeMs) continue;
    newest.set(parsed.extensionName, { sequence: parsed.sequence, time: mtimeMs });
  }
  const named = [...newest].filter(([name]) => name !== undefined);
  return (named.length > 0 ? named : [[undefined, newest.get(undefined)] as const]).map(([name, found]) => ({
    handlerName: handler.handlerName,
    version: handler.version,
    requestedState: 'enabled',
    packageFile: '',
    sequence: found?.sequence ?? 0,
    // The agent reads a status for a settings file of any content.
    settings:
      found === undefined ? undefined : { publicSettings: null, protectedSettings: null, thumbprint: null },
    dependencyLevel: 0,
    ...(name === undefined ? {} : { extensionName: name }),
  }));
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (thrown) {
    if (isMissing(thrown)) return [];
    throw thrown;
  }
}
