/**
 * Runs of a packed handler with bad inputs, each on a machine of its own, a few at a time, and what must hold for every one: it ends
 * soon, in bounded memory, with a code and a text that names the cause, without a stack and without a secret.
 */
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../await-condition.ts';
import type { EndedOperation, LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler } from '../unpacked-handler.ts';
import { fewAtATime } from './tried-download.ts';

/** One input; {@link BadInput.lay} puts it where it belongs, for sequence 0. */
export interface BadInput {
  readonly name: string;
  lay(handler: LaidOutHandler): void;
  /** Part of the message; `undefined`: the input is taken. */
  readonly refusal: RegExp | undefined;
}

export interface TriedInput {
  readonly name: string;
  readonly exitCode: number | null;
  readonly code: number | undefined;
  readonly isTaken: boolean;
  /** Of the status, or of stderr where there is none. */
  readonly message: string;
  readonly peakMemoryMiB: number;
  /** What is wrong; empty when all is as it should be. */
  readonly broken: readonly string[];
}

export interface Limits {
  readonly memoryMiB?: number;
  readonly wrapper?: readonly string[];
  /** Looks at the machine after the run; gives what is wrong. */
  after?(handler: LaidOutHandler): readonly string[];
}

/** In every secret and value of the inputs that must not be repeated. */
export const INPUT_CANARY = 'canary-7d1f';

/** Tries all, and gives what came out, in their order. */
export function tryInputs(
  unpacked: UnpackedPackage,
  inputs: readonly BadInput[],
  limits: Limits = {},
): Promise<TriedInput[]> {
  return fewAtATime(inputs, (input) => tryInput(unpacked, input, limits), 4);
}

/** Milliseconds after which it counts as a hang. */
const LONGEST_MS = 30_000;
const MOST_MEMORY_MIB = 256;
const MOST_CHARACTERS = 20_000;

/** Notes the peak memory of what it runs, and ends it when it hangs. */
const MEASURE = `
import os, signal, sys
pid = os.fork()
if pid == 0: os.execvp(sys.argv[2], sys.argv[2:])
signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
signal.alarm(${LONGEST_MS / 1000})
_, status, usage = os.wait4(pid, 0)
open(sys.argv[1], 'w').write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status) % 256)
`;

async function tryInput(unpacked: UnpackedPackage, input: BadInput, limits: Limits): Promise<TriedInput> {
  const handler = layOutHandler(unpacked);
  try {
    writeFileSync(handler.settingsFile(0), '');
    input.lay(handler);
    const memoryFile = join(handler.libFolder, 'peak-memory');
    const wrapper = ['python3', '-c', MEASURE, memoryFile, ...(limits.wrapper ?? [])];
    const ended = await handler.run('enable', { wrapper });
    const worker = await watchWorker(handler);
    const status = isFile(handler.statusFile(0)) ? handler.readStatus(0) : undefined;
    const message = status?.message ?? ended.stderr;
    const peakMemoryMiB = Math.max(Number(readFileSync(memoryFile, 'utf8')), worker.peakKiB) / 1024;
    const isTaken = ended.exitCode === 0 && (status === undefined || status.status === 'success');
    const tried = {
      name: input.name,
      exitCode: ended.exitCode,
      code: status?.code,
      isTaken,
      message,
      peakMemoryMiB,
    };
    const broken = [
      ...judge(tried, ended, input, limits.memoryMiB ?? MOST_MEMORY_MIB),
      ...findCanary(handler, ended),
      ...(limits.after?.(handler) ?? []),
    ];
    return { ...tried, broken };
  } finally {
    handler.remove();
  }
}

/** Waits for the end of what a detached enable has left running. */
async function watchWorker(handler: LaidOutHandler): Promise<{ readonly peakKiB: number }> {
  let peakKiB = 0;
  const isOver = (): boolean => {
    const pids = handler.processes();
    for (const pid of pids) peakKiB = Math.max(peakKiB, peakMemoryKiB(pid));
    return pids.length === 0;
  };
  await until('the handler to end', isOver);
  return { peakKiB };
}

function peakMemoryKiB(pid: number): number {
  try {
    return Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function judge(
  tried: Omit<TriedInput, 'broken'>,
  ended: EndedOperation,
  { refusal }: BadInput,
  memoryMiB: number,
): string[] {
  const { exitCode, isTaken, message, peakMemoryMiB } = tried;
  const rows: readonly (readonly [boolean, string])[] = [
    [ended.durationMs > LONGEST_MS, `takes ${Math.round(ended.durationMs)} ms`],
    [peakMemoryMiB > memoryMiB, `needs ${Math.round(peakMemoryMiB)} MiB`],
    [message.length > MOST_CHARACTERS, `says ${message.length} characters`],
    [
      /\n\s+at \S+|RangeError|TypeError|undefined|INTERNAL/.test(message + ended.stderr),
      `shows its inside: ${message.slice(0, 300)}`,
    ],
    [isTaken !== (refusal === undefined), `exit code ${exitCode}: ${message.slice(0, 300)}`],
    [refusal !== undefined && !refusal.test(message), `says ${message.slice(0, 300)}`],
  ];
  return rows.filter(([isBroken]) => isBroken).map(([, what]) => what);
}

function findCanary(handler: LaidOutHandler, { stdout, stderr }: EndedOperation): string[] {
  const log = existsSync(handler.logFolder)
    ? readdirSync(handler.logFolder)
        .map((name) => join(handler.logFolder, name))
        .filter((file) => isFile(file) && !file.endsWith('trace.jsonl'))
        .map((file) => readFileSync(file, 'utf8'))
    : [];
  const status = isFile(handler.statusFile(0)) ? readFileSync(handler.statusFile(0), 'utf8') : '';
  return [stdout, stderr, status, ...log].some((text) => text.includes(INPUT_CANARY))
    ? ['shows the canary']
    : [];
}

function isFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
