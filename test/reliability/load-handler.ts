/**
 * Much of everything for one handler: many settings after each other, a status as large as it may be, ten thousand files,
 * ten megabytes of settings. Each part is measured at three sizes, of which each is twice the one before.
 */
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CONFIG_FOLDER, STATUS_FOLDER, STATUS_TARGET_BYTES } from '@handlerkit/sdk/contract';
import { startFileServer } from '../file-server.ts';
import type { LaidOutHandler } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';
import type { CampaignContext, Figure } from './campaign.ts';
import { atMost, none } from './campaign.ts';
import type { MeasuredRun } from './measured-run.ts';
import { growthExponent, measuredEnable } from './measured-run.ts';

/** How much of each; figures of time only where the sizes are large enough to tell something. */
export interface LoadSizes {
  readonly changes: number;
  readonly files: number;
  readonly settingsBytes: number;
  readonly isTimed: boolean;
}

/** What linear growth may look like on a busy machine. */
const LINEAR = 1.3;
/** How long it may take is said by the handler's own limit. */
const POLL_MS = 20;
const MEBIBYTE = 1024 * 1024;

/** Settings changes, the largest status and large settings, by the probe. */
export async function loadOneHandler(sizes: LoadSizes, context: CampaignContext): Promise<Figure[]> {
  const unpacked = unpackPackage(context.zips.probeZip);
  try {
    return [
      ...(await withHandler(unpacked, (handler) => changeSettings(handler, sizes, context))),
      ...(await withHandler(unpacked, (handler) => writeLargestStatus(handler))),
      ...(await withHandler(unpacked, (handler) => readLargeSettings(handler, 'public', sizes, context))),
      ...(await withHandler(unpacked, (handler) => readLargeSettings(handler, 'protected', sizes, context))),
    ];
  } finally {
    unpacked.remove();
  }
}

/** Many small files by Custom Script, from a server of this process. */
export async function loadDownloads(sizes: LoadSizes, context: CampaignContext): Promise<Figure[]> {
  const unpacked = unpackPackage(context.zips.customScriptZip);
  const names = Array.from({ length: sizes.files }, (_, index) => `file-${index}.txt`);
  const server = await startFileServer(Object.fromEntries(names.map((name) => [`/${name}`, `${name}\n`])));
  try {
    return await withHandler(unpacked, async (handler) => {
      const runs: DownloadRun[] = [];
      for (const count of [0, sizes.files / 4, sizes.files / 2, sizes.files]) {
        context.progress(`${count} files`);
        runs.push(await download(handler, runs.length, server.url, names.slice(0, count)));
      }
      const [idle, small, , large] = runs;
      const what = `${sizes.files} fileUris`;
      return [
        none(
          `${what}: files that are missing or wrong`,
          runs.reduce((sum, run) => sum + run.wrong, 0),
        ),
        ...timed(sizes, what, idle, small, large),
      ];
    });
  } finally {
    await server.close();
    unpacked.remove();
  }
}

async function changeSettings(
  handler: LaidOutHandler,
  { changes, isTimed }: LoadSizes,
  { progress }: CampaignContext,
): Promise<Figure[]> {
  const runs: MeasuredRun[] = [];
  let failed = 0;
  let filesAfterFirst = 0;
  for (let sequence = 0; sequence < changes; sequence++) {
    if (sequence % 50 === 0) progress(`settings ${sequence} of ${changes}`);
    const steps = [{ do: 'end', message: `settings ${sequence}` }];
    const run = await measuredEnable(handler, sequence, {
      public: { steps },
      protected: { secret: `s3cret-${sequence}` },
    });
    rmSync(join(handler.libFolder, `measured-${sequence}`));
    runs.push(run);
    if (run.exitCode !== 0 || handler.readStatus(sequence)?.status !== 'success') failed++;
    if (sequence === 0) filesAfterFirst = ownFiles(handler).length;
  }
  const logBytes = statSync(join(handler.logFolder, 'handler.log')).size;
  const part = Math.ceil(changes / 4);
  const [first, last] = [runs.slice(0, part), runs.slice(-part)];
  const cpu = (some: typeof runs): number => middle(some.map(({ cpuMs }) => cpuMs));
  const what = `${changes} settings changes`;
  return [
    none(`${what}: without their success`, failed),
    none(
      `${what}: files of the handler's own more than after the first`,
      ownFiles(handler).length - filesAfterFirst,
    ),
    none(`${what}: older settings that still hold something`, olderSettings(handler, changes - 1)),
    atMost(`${what}: log for each`, logBytes / changes / 1024, 4, 'KiB'),
    ...(isTimed
      ? [
          { what: `${what}: processor time of each, median`, value: cpu(runs), unit: 'ms' },
          atMost(`${what}: the last quarter over the first`, cpu(last) / cpu(first), LINEAR),
          atMost(`${what}: peak memory`, Math.max(...runs.map(({ peakMib }) => peakMib)), 60, 'MiB'),
        ]
      : []),
  ];
}

/** Files beside the settings and the status of each sequence, which are the agent's, and the probe's own trace. */
function ownFiles(handler: LaidOutHandler): string[] {
  const agents = [CONFIG_FOLDER, STATUS_FOLDER].map((name) => `${join(handler.folder(), name)}/`);
  return (
    [handler.libFolder, handler.logFolder]
      .flatMap((top) =>
        readdirSync(top, { recursive: true, withFileTypes: true }).map((entry) =>
          join(entry.parentPath, entry.name),
        ),
      )
      // An event of each run lies there until the agent takes it; their number is limited elsewhere.
      .filter(
        (path) =>
          !path.startsWith(`${handler.eventsFolder}/`) && agents.every((folder) => !path.startsWith(folder)),
      )
  );
}

function olderSettings(handler: LaidOutHandler, newest: number): number {
  const texts = Array.from({ length: newest }, (_, sequence) =>
    readFileSync(handler.settingsFile(sequence), 'utf8'),
  );
  return texts.filter((text) => text !== '').length;
}

async function writeLargestStatus(handler: LaidOutHandler): Promise<Figure[]> {
  const substatus = Array.from({ length: 500 }, (_, index) => ({
    name: `part ${index}`,
    status: 'success',
    code: index,
    // Quotes and characters of several bytes take more room in the file than in the text.
    message: `"${'ä€😀\\\u0001'.repeat(100)}" ${index}`,
  }));
  const steps = [
    { do: 'report', message: 'working', substatus },
    { do: 'end', message: 'a long "result" 😀\n', times: 20_000, substatus },
  ];
  const run = await measuredEnable(handler, 0, { public: { steps } });
  const bytes = statSync(handler.statusFile(0)).size;
  const { message = '', status, substatus: kept = [] } = handler.readStatus(0) ?? {};
  return [
    none('the largest status: exit code', run.exitCode ?? -1),
    none(
      'the largest status: what the agent would not take',
      handler.judge(0).explanation === undefined ? 0 : 1,
    ),
    atMost('the largest status: size', bytes, STATUS_TARGET_BYTES, 'bytes'),
    none(
      'the largest status: result or parts lost',
      status === 'success' && message !== '' && kept.length > 0 ? 0 : 1,
    ),
  ];
}

/** Settings of which the schema judges every part. Of a step after `end` nothing is carried out. */
async function readLargeSettings(
  handler: LaidOutHandler,
  half: 'public' | 'protected',
  { settingsBytes, isTimed }: LoadSizes,
  { progress }: CampaignContext,
): Promise<Figure[]> {
  const runs: MeasuredRun[] = [];
  let failed = 0;
  for (const bytes of [0, settingsBytes / 4, settingsBytes / 2, settingsBytes]) {
    progress(`${half} settings of ${bytes} bytes`);
    const steps: object[] = [{ do: 'end', message: 'read' }];
    for (let size = 0; size < bytes; ) {
      const step = {
        do: 'write',
        file: `file-${steps.length}`,
        text: `${Math.imul(steps.length, 2654435761)} is written`,
      };
      steps.push(step);
      size += JSON.stringify(step).length + 1;
    }
    const sequence = runs.length;
    const run = await measuredEnable(
      handler,
      sequence,
      half === 'public' ? { public: { steps } } : { protected: { steps } },
    );
    if (run.exitCode !== 0 || handler.readStatus(sequence)?.status !== 'success') failed++;
    runs.push(run);
  }
  const [idle, small, , large] = runs;
  const what = `${(settingsBytes / MEBIBYTE).toFixed(1)} MiB of ${half} settings`;
  return [none(`${what}: refused`, failed), ...timed({ isTimed }, what, idle, small, large)];
}

interface DownloadRun {
  readonly cpuMs: number;
  readonly peakMib: number;
  /** Files that are not there or are not what was asked for. */
  readonly wrong: number;
}

/** Custom Script is detached: the command, whose parent it is, tells what the handler took. */
async function download(
  handler: LaidOutHandler,
  sequence: number,
  url: string,
  names: readonly string[],
): Promise<DownloadRun> {
  const fileUris = names.map((name) => `${url}/${name}`);
  const commandToExecute = 'grep VmHWM /proc/$PPID/status; cat /proc/$PPID/stat';
  handler.writeSettings(sequence, { public: { fileUris, commandToExecute } });
  const ended = await handler.run('enable', { sequence });
  if (ended.exitCode !== 0) throw new Error(`enable failed: ${ended.stderr}`);
  while (handler.readStatus(sequence)?.status === 'transitioning') await delay(POLL_MS);
  const { status, message = '' } = handler.readStatus(sequence) ?? {};
  if (status !== 'success') throw new Error(`enable did not succeed: ${message}`);
  const folder = join(handler.libFolder, 'custom-script', 'download', String(sequence));
  const wrong = names.filter((name) => readFileSync(join(folder, name), 'utf8') !== `${name}\n`).length;
  // After the name of the program, which may hold spaces: fields 14 and 15 of the line, in hundredths of a second.
  const fields = /\) (.*)/.exec(message)?.[1]?.split(' ') ?? [];
  const cpuMs = (Number(fields[11]) + Number(fields[12])) * 10;
  return { cpuMs, peakMib: Number(/VmHWM:\s+(\d+)/.exec(message)?.[1]) / 1024, wrong };
}

interface Taken {
  readonly cpuMs: number;
  readonly peakMib: number;
}

function timed(
  { isTimed }: Pick<LoadSizes, 'isTimed'>,
  what: string,
  idle: Taken | undefined,
  small: Taken | undefined,
  large: Taken | undefined,
): Figure[] {
  if (!isTimed || idle === undefined || small === undefined || large === undefined) return [];
  return [
    { what: `${what}: processor time`, value: large.cpuMs, unit: 'ms' },
    atMost(
      `${what}: growth of the time (1 is linear)`,
      growthExponent(idle.cpuMs, [small.cpuMs, large.cpuMs], 4),
      LINEAR,
    ),
    { what: `${what}: peak memory`, value: large.peakMib, unit: 'MiB' },
    atMost(
      `${what}: growth of the memory (1 is linear)`,
      growthExponent(idle.peakMib, [small.peakMib, large.peakMib], 4),
      LINEAR,
    ),
  ];
}

async function withHandler<T>(
  unpacked: Parameters<typeof layOutHandler>[0],
  work: (handler: LaidOutHandler) => Promise<T>,
): Promise<T> {
  const handler = layOutHandler(unpacked);
  try {
    return await work(handler);
  } finally {
    handler.remove();
  }
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
