/**
 * Measures 20 downloads of 5 MiB, from a server that answers at once and from one that waits 50 ms before each answer:
 * enable of the packed Custom Script from its start to `success` on disk, beside one `curl` for all files and one
 * `curl --parallel`, and the peak memory of each. Then the peak memory with one large file, and with a command that prints
 * as much. Run with `npm run bench`. Prints medians and ratios; never fails a build.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { runHandlerkit } from '../handlerkit-command.ts';
import type { LaidOutHandler } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';
import { verdict } from './verdict.ts';

const ROUNDS = 7;
const FILES = 20;
const FILE_BYTES = 5 * 1024 * 1024;
const WAIT_MS = 50;
/** Of the one large file and of the large output. */
const LARGE_BYTES = 1024 * 1024 * 1024;
const LARGE_ROUNDS = 3;
/** Word with which this program is its own server, in a process of its own. */
const SERVE = 'serve';
const LIMIT_MS = 120_000;

interface Measured {
  readonly ms: number;
  readonly peakKib: number;
}
interface Subject {
  readonly name: string;
  run(): Promise<Measured>;
  readonly results: Measured[];
}
type Pace = 'fast' | 'slow';

async function main(): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'handlerkit-bench-download-'));
  process.stderr.write('Packing Custom Script\n');
  const zip = join(work, 'custom-script.zip');
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
  const options = ['--architectures', architecture, '--out', zip];
  const packed = await runHandlerkit(['pack', 'extensions/custom-script', ...options]);
  if (packed.exitCode !== 0) throw new Error(`pack failed: ${packed.stderr}`);
  const unpacked = unpackPackage(zip);
  const handler = layOutHandler(unpacked);
  const server = await startServer();
  try {
    const urls = (pace: Pace): readonly string[] =>
      Array.from({ length: FILES }, (_, index) => `${server.url}/${pace}/file-${index}.bin`);
    const enable = enableWith(handler);
    const ofPace = (pace: Pace): readonly Subject[] => [
      subject(`curl, ${pace} server`, () => curl(work, urls(pace), [])),
      subject(`curl --parallel, ${pace} server`, () => curl(work, urls(pace), ['--parallel'])),
      subject(`enable, ${pace} server`, () => enable(urls(pace))),
    ];
    const subjects = [subject('enable, no file', () => enable([])), ...ofPace('fast'), ...ofPace('slow')];
    for (const { run } of subjects) await run();
    for (let round = 0; round < ROUNDS; round++) {
      for (const one of shuffle(subjects)) one.results.push(await one.run());
    }
    const large = [
      subject('enable, one file of 1 GiB', () => enable([`${server.url}/large/file.bin`])),
      subject('enable, 1 GiB of output', () => enable([], `head -c ${LARGE_BYTES} /dev/zero; `)),
    ];
    for (let round = 0; round < LARGE_ROUNDS; round++) {
      for (const one of shuffle(large)) one.results.push(await one.run());
    }
    print([...subjects, ...large]);
  } finally {
    server.stop();
    handler.remove();
    unpacked.remove();
    rmSync(work, { recursive: true, force: true });
  }
}

function subject(name: string, run: Subject['run']): Subject {
  return { name, run, results: [] };
}

/** Each call applies new settings; the command tells the handler's own peak memory, as it is the command's parent. */
function enableWith(
  handler: LaidOutHandler,
): (fileUris: readonly string[], command?: string) => Promise<Measured> {
  let sequence = -1;
  return async (fileUris, command = '') => {
    sequence++;
    // What the run before left is not part of this one's time.
    rmSync(join(handler.libFolder, 'custom-script', 'download'), { recursive: true, force: true });
    handler.writeSettings(sequence, {
      public: { fileUris, commandToExecute: `${command}grep VmHWM /proc/$PPID/status` },
    });
    const started = performance.now();
    const operation = handler.start('enable', { sequence });
    const file = handler.statusFile(sequence);
    for (;;) {
      const text = readIfThere(file);
      const ms = performance.now() - started;
      if (text.includes('"success"')) {
        await operation.ended;
        const message = handler.readStatus(sequence)?.message ?? '';
        return { ms, peakKib: Number(/VmHWM:\s+(\d+) kB/.exec(message)?.[1]) };
      }
      if (text.includes('"error"') || ms > LIMIT_MS) throw new Error(`enable did not succeed: ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
}

/** One curl for all files, into a folder of its own. */
async function curl(work: string, urls: readonly string[], options: readonly string[]): Promise<Measured> {
  const folder = join(work, 'curl');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const args = ['-sS', '--fail', ...options, '--remote-name-all', ...urls];
  const started = performance.now();
  const child = spawn('curl', args, { cwd: folder, stdio: 'ignore' });
  let peakKib = 0;
  const watch = setInterval(() => {
    const seen = Number(/VmHWM:\s+(\d+) kB/.exec(readIfThere(`/proc/${child.pid}/status`))?.[1] ?? 0);
    peakKib = Math.max(peakKib, seen);
  }, 2);
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', resolve);
    });
    const ms = performance.now() - started;
    if (exitCode !== 0) throw new Error(`curl ended with ${exitCode}`);
    return { ms, peakKib };
  } finally {
    clearInterval(watch);
  }
}

/** The server runs in a process of its own, so that it does not compete with the clock. */
async function startServer(): Promise<{ readonly url: string; stop(): void }> {
  const [, program = ''] = process.argv;
  const child = spawn(process.execPath, [...process.execArgv, program, SERVE], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await new Promise<string>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the server ended')));
    child.stdout.once('data', (data) => resolve(String(data).trim()));
  });
  return { url: `http://127.0.0.1:${port}`, stop: () => void child.kill() };
}

function serve(): void {
  const content = Buffer.alloc(FILE_BYTES, 'handlerkit ');
  const server = createServer((request, response) => {
    const answer = (): void => {
      response.writeHead(200, { 'content-length': content.length }).end(content);
    };
    if (request.url?.startsWith('/large/')) {
      response.writeHead(200, { 'content-length': LARGE_BYTES });
      Readable.from(repeat(content, LARGE_BYTES)).pipe(response);
    } else if (request.url?.startsWith('/slow/')) setTimeout(answer, WAIT_MS);
    else answer();
  });
  server.listen(0, '127.0.0.1', () => {
    process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
  });
}

/** The same bytes again and again, so many in all. */
function* repeat(content: Buffer, bytes: number): Generator<Buffer> {
  for (let rest = bytes; rest > 0; rest -= content.length) yield content.subarray(0, rest);
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function shuffle<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, key: Math.random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function print(subjects: readonly Subject[]): void {
  const of = (name: string): readonly Measured[] => subjects.find((one) => one.name === name)?.results ?? [];
  const ms = (name: string): number => median(of(name).map((result) => result.ms));
  const peakMib = (name: string): number => Math.max(...of(name).map((result) => result.peakKib)) / 1024;
  const row = (...cells: readonly string[]): string =>
    cells.map((cell, index) => (index === 0 ? cell.padEnd(32) : cell.padStart(12))).join('');
  const lines = [
    `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, ${ROUNDS} interleaved rounds, ${FILES} files of ${FILE_BYTES / 1024 / 1024} MiB; the slow server waits ${WAIT_MS} ms`,
    row('', 'median ms', 'min ms', 'peak MiB'),
    ...subjects.map(({ name, results }) => {
      const least = Math.min(...results.map((result) => result.ms));
      return row(name, ms(name).toFixed(1), least.toFixed(1), peakMib(name).toFixed(1));
    }),
    '',
    ...(['fast', 'slow'] as const).map((pace) => {
      const speed = ms(`curl --parallel, ${pace} server`) / ms(`enable, ${pace} server`);
      return verdict(`speed of enable / curl --parallel, ${pace} server`, speed, 'least', 0.8);
    }),
    verdict(
      'time of enable / curl, slow server',
      ms('enable, slow server') / ms('curl, slow server'),
      'most',
      slowTarget(ms('curl --parallel, slow server') / ms('curl, slow server')),
    ),
    ...subjects
      .filter(({ name }) => name.startsWith('enable'))
      .map(({ name }) => verdict(`peak memory, ${name}, MiB`, peakMib(name), 'most', 60)),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

/**
 * The design asks for 0.15 of what curl takes for one file after the other. On a machine where not even `curl --parallel`
 * reaches that, the bytes take longer than the waits, and enable may take what the other target gives it: 1 / 0.8 of that.
 */
function slowTarget(parallel: number): number {
  return Math.max(0.15, parallel / 0.8);
}

if (process.argv.at(-1) === SERVE) serve();
else await main();
