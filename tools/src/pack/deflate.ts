/**
 * Compression of the large executables: libdeflate, which the pinned bun carries. It packs smaller than `zip -9` in a
 * fifth of the time, and its output does not depend on the version of Node that runs the tools.
 */
import { runChild } from './child-program.ts';
import type { Deflate } from './zip.ts';

/** Compresses with the given bun, one child process for each file. */
export function createDeflate(bun: string, deps: { readonly signal?: AbortSignal | undefined }): Deflate {
  return async (source, target) => {
    await runChild([bun, '-e', PROGRAM, source, target], {
      cwd: '/',
      env: {},
      timeoutMs: 10 * 60 * 1000,
      errorCode: 'PACKAGE_COMPRESSION_FAILED',
      purpose: `Compressing ${source}`,
      signal: deps.signal,
    });
  };
}

/** Level 6 of libdeflate. Level 9 takes 1.8 times as long for 0.4 % less, level 12 seven times as long for 2 % less. */
const PROGRAM = `
const [source, target] = process.argv.slice(-2);
const bytes = await Bun.file(source).bytes();
await Bun.write(target, Bun.deflateSync(bytes, { library: 'libdeflate', level: 6 }));
`;
