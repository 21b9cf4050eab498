/**
 * Reads one entry of a zip as Python's zipfile does: never more bytes than the entry says, a stream that ends early is
 * what it is, and in the end the checksum decides. bzip2 and LZMA are read by this machine's Python itself, because whether
 * an agent reads them depends on how its Python was built.
 * Source: CPython 3 `Lib/zipfile` ZipExtFile, _get_decompressor, _check_compression.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { constants, crc32, createInflateRaw } from 'node:zlib';
import type { ZipRecord } from './zip-structure.ts';

/** The Python of this machine cannot read the entry, or there is none; that of another machine may. */
export class PythonLacking extends Error {
  override readonly name = 'PythonLacking';
}

/** The compression methods that Python's zipfile knows, with the name of the module that each needs. */
export const PYTHON_METHODS: ReadonlyMap<number, string> = new Map([
  [0, ''],
  [8, 'zlib'],
  [12, 'bz2'],
  [14, 'lzma'],
]);

/**
 * Gives the content of `record`, the entry with the number `index` in the directory of the zip `file`, in pieces. Throws an
 * error whose message says why the agent could not unpack it either, {@link PythonLacking}, and the system's errors.
 */
export async function* readZipContent(
  file: string,
  record: ZipRecord,
  index: number,
): AsyncGenerator<Buffer, void> {
  const { name, method, sizeBytes } = record;
  const module = PYTHON_METHODS.get(method);
  if (module === undefined) {
    throw new Error(`${name} is compressed with method ${method}, which the agent's Python cannot unpack`);
  }
  const isOwn = method === 0 || method === 8;
  const pieces = isOwn ? readPlain(file, record) : readByPython(file, name, index, module);
  let left = sizeBytes;
  let sum = 0;
  for await (const piece of pieces) {
    const taken = piece.subarray(0, left);
    left -= taken.length;
    sum = crc32(taken, sum);
    yield taken;
    if (left === 0) break;
  }
  if (sum !== record.crc) throw new Error(`${name} is damaged: its checksum does not match`);
}

const PIECE_BYTES = 256 * 1024;

async function* readPlain(
  file: string,
  { name, method, packedBytes, local }: ZipRecord,
): AsyncGenerator<Buffer, void> {
  if (packedBytes === 0) return;
  const start = local?.dataOffset ?? 0;
  const raw = createReadStream(file, { start, end: start + packedBytes - 1, highWaterMark: PIECE_BYTES });
  // Python takes what a stream holds that was cut off; the checksum is the judge of it.
  const inflate = { chunkSize: PIECE_BYTES, finishFlush: constants.Z_SYNC_FLUSH };
  const stream: Readable = method === 0 ? raw : raw.pipe(createInflateRaw(inflate));
  raw.on('error', (error: Error) => stream.destroy(error));
  try {
    for await (const piece of stream) if (Buffer.isBuffer(piece)) yield piece;
  } catch (thrown) {
    const isOfZlib = thrown instanceof Error && 'code' in thrown && String(thrown.code).startsWith('Z_');
    throw isOfZlib ? new Error(`${name} is damaged: it is compressed with errors`) : thrown;
  } finally {
    raw.destroy();
    stream.destroy();
  }
}

/** Longer than the agent waits for a whole download. */
const PYTHON_LIMIT_MS = 5 * 60 * 1000;

const PYTHON_SCRIPT = `
import shutil, sys, zipfile
package = zipfile.ZipFile(sys.argv[1])
with package.open(package.infolist()[int(sys.argv[2])]) as entry:
    shutil.copyfileobj(entry, sys.stdout.buffer)
`;

async function* readByPython(
  file: string,
  name: string,
  index: number,
  module: string,
): AsyncGenerator<Buffer, void> {
  const argv = ['-I', '-c', PYTHON_SCRIPT, file, String(index)];
  const limits = { timeout: PYTHON_LIMIT_MS, killSignal: 'SIGKILL', detached: true } as const;
  const child = spawn('python3', argv, { ...limits, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = text(child.stderr);
  const ended = once(child, 'close').then(
    () => child.exitCode === 0,
    () => false,
  );
  try {
    for await (const piece of child.stdout) if (Buffer.isBuffer(piece)) yield piece;
    if (await ended) return;
    const reason = (await said).trim().split('\n').at(-1) ?? '';
    const what = `${name} needs the module ${module} of the Python that the agent runs with`;
    if (reason === '') throw new PythonLacking(`${what}; there is no python3 here that could try it`);
    const words = `${what}; the one here says: ${reason}`;
    throw /missing|No module/.test(reason) ? new PythonLacking(words) : new Error(words);
  } finally {
    child.kill('SIGKILL');
  }
}
