/**
 * What the crash campaign runs: a packed handler that downloads, starts a script and answers, whose script notes how often it
 * has begun and ended.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileServer } from '../file-server.ts';
import { startFileServer } from '../file-server.ts';
import type { GivenSettings, LaidOutHandler } from '../unpacked-handler.ts';
import type { PackedZip } from './campaign.ts';

export interface CrashSubject {
  readonly zip: PackedZip;
  /** True when its author lets an interrupted run begin again. */
  readonly isRepeated: boolean;
  settings(work: CrashWork): GivenSettings;
  /** The files that it downloads. */
  downloads(handler: LaidOutHandler, sequence: number): readonly DownloadedFile[];
}

export interface CrashWork {
  readonly serverUrl: string;
  /** File of the notes. */
  readonly notes: string;
  /** True: the script goes on for ever when it begins for the first time. */
  readonly hangs: boolean;
}

export interface DownloadedFile {
  readonly path: string;
  /** What may be in it. */
  readonly contents: readonly Buffer[];
}

/** What the script has noted. */
export interface ScriptNotes {
  readonly begun: number;
  readonly ended: number;
  /** How often it began while it still ran. */
  readonly overlaps: number;
}

export const SUBJECTS: readonly [CrashSubject, ...CrashSubject[]] = [
  {
    zip: 'customScriptZip',
    isRepeated: false,
    settings: (work) => ({
      public: {
        fileUris: [`${work.serverUrl}/${DATA_FILE}`, `${work.serverUrl}/${TOOL_FILE}`],
        commandToExecute: script(work),
      },
    }),
    downloads: ({ libFolder }, sequence) => {
      const folder = join(libFolder, 'custom-script', 'download', String(sequence));
      return [
        { path: join(folder, DATA_FILE), contents: [DATA] },
        {
          path: join(folder, TOOL_FILE),
          contents: [TOOL, Buffer.from(String(TOOL).replaceAll('\r\n', '\n'))],
        },
      ];
    },
  },
  { zip: 'probeZip', isRepeated: false, settings: probeSettings, downloads: probeDownloads },
  { zip: 'detachedProbeZip', isRepeated: true, settings: probeSettings, downloads: probeDownloads },
];

/** Serves what the subjects download. */
export function startCrashServer(): Promise<FileServer> {
  return startFileServer({ [`/${DATA_FILE}`]: DATA, [`/${TOOL_FILE}`]: TOOL });
}

export function readNotes(file: string): ScriptNotes {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  const count = (word: string): number => lines.filter((line) => line.split(' ')[0] === word).length;
  return { begun: count('begin'), ended: count('end'), overlaps: count('overlap') };
}

const DATA_FILE = 'data.bin';
const DATA = randomBytes(256 * 1024);
/** Its line ends are to be converted. */
const TOOL_FILE = 'tool.sh';
const TOOL = Buffer.from('#!/bin/sh\r\necho tool\r\n'.repeat(500));

/** The grandchild is a `sleep`, so that there is one to be killed. */
function script({ notes, hangs }: CrashWork): string {
  return [
    'again=',
    `touch ${notes}`,
    `while read -r word pid; do [ "$word" = begin ] && again=1 && [ -e /proc/$pid/exe ] && echo overlap >>${notes}; done <${notes}`,
    `echo begin $$ >>${notes}`,
    hangs ? `[ -n "$again" ] || sleep 600` : 'sleep 0.03',
    `echo end >>${notes}`,
  ].join('; ');
}

function probeSettings(work: CrashWork): GivenSettings {
  const steps = [
    { do: 'report', message: 'downloading' },
    { do: 'download', url: `${work.serverUrl}/${DATA_FILE}`, file: DATA_FILE },
    { do: 'event', message: 'downloaded' },
    { do: 'exec', argv: ['/bin/sh', '-c', script(work)] },
    { do: 'report', message: 'nearly done' },
    { do: 'end', message: 'done' },
  ];
  return { public: { steps } };
}

function probeDownloads({ dataFolder }: LaidOutHandler): readonly DownloadedFile[] {
  return [{ path: join(dataFolder, DATA_FILE), contents: [DATA] }];
}
