/**
 * `events.jsonl` in a VM's folder: every telemetry event that the agent took from the VM, and every one that it lost, one a
 * line, the oldest first. It takes the place of Azure's telemetry.
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { readTextIfThere } from '@handlerkit/sdk';
import type { EventRecord } from '../agent/event-collection.ts';
import { collectEvents } from '../agent/event-collection.ts';
import type { CommandContext } from '../tool-deps.ts';
import { lockFile } from './file-lock.ts';
import type { OpenMachine } from './machine.ts';
import { findTool } from './system-tools.ts';

/** Name of the file. */
export const EVENT_LOG_FILE = 'events.jsonl';

/** A line of the file. */
export interface LoggedEvent extends EventRecord {
  /** When the agent took it, ISO 8601 in UTC. */
  readonly collectedAt: string;
}

/**
 * Collects the events of a VM with the embedded agent, as that agent does in a period, adds them to the file, and warns of
 * each that was lost. The real agent does it by itself, and then this does nothing.
 */
export async function collectVmEvents(
  vm: { readonly folder: string; readonly machine: OpenMachine },
  context: CommandContext,
): Promise<void> {
  if (vm.machine.agent !== 'embedded') return;
  const { deps, ui, signal } = context;
  // Not the lock of the goal state: the events of a long operation are to be seen while it runs.
  const flock = findTool('flock', deps.env.PATH ?? '');
  const lock = await lockFile(join(vm.folder, LOCK_FILE), 'exclusive', flock);
  let records: readonly EventRecord[];
  try {
    const collected = await collectEvents(vm.machine, { sleep: (ms) => deps.sleep(ms, signal) });
    records = collected.toSorted(byFile);
    const collectedAt = deps.now().toISOString();
    const lines = records.map((record) => `${JSON.stringify({ collectedAt, ...record })}\n`);
    // Events may hold what the author would not show to everybody.
    if (lines.length > 0) appendFileSync(join(vm.folder, EVENT_LOG_FILE), lines.join(''), { mode: 0o600 });
  } finally {
    lock.release();
  }
  for (const { handlerName, file, dropped } of records) {
    if (dropped !== undefined) ui.warning(`${handlerName}: the agent loses the event in ${file}: ${dropped}`);
  }
}

/** The agent takes the newest file first, so that it is old ones that get lost; people read from the oldest on. */
function byFile(one: EventRecord, other: EventRecord): number {
  return one.file.localeCompare(other.file, 'en', { numeric: true });
}

/** All lines of the file, from the line `from` on; one that is cut off, as after a kill, is left out. */
export function readEventLog(folder: string, from = 0): readonly LoggedEvent[] {
  const text = readTextIfThere(join(folder, EVENT_LOG_FILE)) ?? '';
  return text
    .split('\n')
    .filter((line) => line !== '')
    .slice(from)
    .flatMap((line) => {
      const event = decode(line);
      return event === undefined ? [] : [event];
    });
}

/** Two tools that collect at the same time would each count an event. */
const LOCK_FILE = 'events.lock';

function decode(line: string): LoggedEvent | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isLoggedEvent(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isLoggedEvent(value: unknown): value is LoggedEvent {
  if (typeof value !== 'object' || value === null) return false;
  return ['collectedAt', 'handlerName', 'file'].every((key) => typeof Reflect.get(value, key) === 'string');
}
