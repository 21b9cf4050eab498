/**
 * Output: commands that print without end, without a line break, without sense. However much it is, the handler takes the same memory, and
 * its status is valid text of a size that the agent takes.
 */
import { readFileSync, statSync } from 'node:fs';
import { AGENT_STATUS_LIMIT_CHARACTERS } from '@handlerkit/sdk/contract';
import { until } from '../await-condition.ts';
import type { LaidOutHandler } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';
import type { Campaign, CampaignContext, CampaignSize, Figure } from './campaign.ts';
import { atMost, none } from './campaign.ts';
import { measuredEnable } from './measured-run.ts';
import { findProcesses } from './process-tree.ts';

interface Flood {
  readonly what: string;
  /** A command line of the shell; `$1` is the number of bytes. */
  readonly command: string;
  readonly mebibytes: Readonly<Record<CampaignSize, number>>;
}

const FLOODS: readonly Flood[] = [
  { what: 'lines', command: 'yes "a line of text" | head -c "$1"', mebibytes: { short: 64, long: 10_240 } },
  { what: 'one line', command: `head -c "$1" /dev/zero | tr '\\0' x`, mebibytes: { short: 64, long: 1024 } },
  { what: 'NULs', command: 'head -c "$1" /dev/zero', mebibytes: { short: 64, long: 1024 } },
  { what: 'random bytes', command: 'head -c "$1" /dev/urandom', mebibytes: { short: 16, long: 512 } },
  {
    what: 'halves of characters',
    command: `yes "$(printf '\\360\\237\\230')" | head -c "$1"`,
    mebibytes: { short: 32, long: 512 },
  },
  {
    what: 'escape sequences on both streams',
    command: `yes "$(printf '\\033[31mred\\033[0m\\007')" | head -c "$1" | tee /dev/stderr`,
    mebibytes: { short: 32, long: 512 },
  },
];

/** What the design promises of any enable. */
const PEAK_MIB = 60;
/** What the peaks of little and of much output may differ by: the garbage collector does not run by the clock. */
const SPREAD_MIB = 12;

export const outputCampaign: Campaign = {
  name: 'output',
  run: async (size, context) => [...(await floodProbe(size, context)), ...(await floodScript(size, context))],
};

/** Through the SDK's own capture, of which the end is kept. */
async function floodProbe(size: CampaignSize, { zips, progress }: CampaignContext): Promise<Figure[]> {
  const unpacked = unpackPackage(zips.probeZip);
  const handler = layOutHandler(unpacked);
  try {
    const enable = async (sequence: number, command: string, bytes: number) => {
      const argv = ['/bin/sh', '-c', command, 'sh', `${bytes}`];
      return measuredEnable(handler, sequence, { public: { steps: [{ do: 'exec', argv }] } });
    };
    const quiet = await enable(0, 'echo', 0);
    const figures: Figure[] = [{ what: 'peak memory, no output', value: round(quiet.peakMib), unit: 'MiB' }];
    const bad: string[] = [];
    let largest = 0;
    let highest = 0;
    for (const [index, { what, command, mebibytes }] of FLOODS.entries()) {
      const sequence = index + 1;
      progress(`${mebibytes[size]} MiB of ${what}`);
      const { exitCode, peakMib } = await enable(sequence, command, mebibytes[size] * 2 ** 20);
      const status = readStatus(handler, sequence);
      if (exitCode !== 0 || !status.isValid) bad.push(what);
      largest = Math.max(largest, status.bytes);
      highest = Math.max(highest, peakMib);
      figures.push(atMost(`peak memory, ${mebibytes[size]} MiB of ${what}`, round(peakMib), PEAK_MIB, 'MiB'));
    }
    return [
      ...figures,
      atMost('highest peak above that without output', round(highest - quiet.peakMib), SPREAD_MIB, 'MiB'),
      atMost('largest status', largest, AGENT_STATUS_LIMIT_CHARACTERS - 1, 'bytes'),
      none('runs that failed, or whose status is no valid text', bad.length),
    ];
  } finally {
    handler.remove();
    unpacked.remove();
  }
}

/** Through the files of Custom Script, which keep all of it. */
async function floodScript(size: CampaignSize, { zips, progress }: CampaignContext): Promise<Figure[]> {
  const unpacked = unpackPackage(zips.customScriptZip);
  const handler = layOutHandler(unpacked);
  try {
    const mebibytes = size === 'long' ? 1024 : 64;
    progress(`${mebibytes} MiB of one line in Custom Script`);
    const command = `head -c ${mebibytes * 2 ** 20} /dev/zero | tr '\\0' x; echo the end; kill -STOP $$`;
    handler.writeSettings(0, { public: { commandToExecute: command } });
    await handler.run('enable');
    // The command waits at its end to be looked at: the peak of its handler is known then, but for the last words.
    const shell = await until('the end of the output', () => stoppedProcess(handler));
    process.kill(shell, 'SIGCONT');
    let peakMib = 0;
    await until('the result', () => {
      peakMib = Math.max(peakMib, peakOfHandler(handler));
      const { isFinal } = readStatus(handler, 0);
      return isFinal;
    });
    const status = readStatus(handler, 0);
    return [
      atMost(`peak memory of Custom Script, ${mebibytes} MiB in one line`, round(peakMib), PEAK_MIB, 'MiB'),
      atMost('its status', status.bytes, AGENT_STATUS_LIMIT_CHARACTERS - 1, 'bytes'),
      none('results of it without the last line', status.text.includes('xthe end') ? 0 : 1),
    ];
  } finally {
    handler.remove();
    unpacked.remove();
  }
}

function readStatus(handler: LaidOutHandler, sequence: number) {
  const file = handler.statusFile(sequence);
  const bytes = readFileSync(file);
  const text = bytes.toString();
  const status = handler.readStatus(sequence);
  return {
    bytes: statSync(file).size,
    text,
    isFinal: status?.status !== 'transitioning',
    isValid: status?.status === 'success' && Buffer.from(text).equals(bytes) && !text.includes('\uFFFF'),
  };
}

/** A shell that has stopped itself. */
function stoppedProcess(handler: LaidOutHandler): number | undefined {
  return handler.processes().find((pid) => /^State:\s+T/m.test(readProcess(pid)));
}

/** MiB of the largest process that runs the handler's own program. */
function peakOfHandler(handler: LaidOutHandler): number {
  const programs = findProcesses(handler.folder());
  const peaks = programs.map(({ pid }) => Number(/^VmHWM:\s+(\d+)/m.exec(readProcess(pid))?.[1] ?? 0));
  return Math.max(0, ...peaks) / 1024;
}

function readProcess(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}

function round(mebibytes: number): number {
  return Math.round(mebibytes * 10) / 10;
}
