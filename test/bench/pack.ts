/**
 * Measures `handlerkit pack` of Custom Script for both architectures, with everything cached, beside `zip -9` of the same files:
 * what the packer put into its zip, unpacked. The tool as it is shipped (one bundled program). Run with `npm run bench`; needs
 * Info-ZIP's `zip` and `unzip`. Prints medians; never fails a build.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleTool } from '../bundled-tool.ts';
import { REPOSITORY, runHandlerkit } from '../handlerkit-command.ts';
import { verdict } from './verdict.ts';

const ROUNDS = 3;
const RUNTIMES = ['bun', 'node'] as const;

async function main(): Promise<void> {
  if (spawnSync('zip', ['-v']).status !== 0 || spawnSync('unzip', ['-v']).status !== 0) {
    process.stdout.write("pack: not measured, needs Info-ZIP's zip and unzip\n");
    return;
  }
  const work = mkdtempSync(join(tmpdir(), 'handlerkit-bench-pack-'));
  try {
    const tool = bundleTool(work);
    process.stdout.write(
      `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, load ${loadavg()[0]?.toFixed(1)}, ${ROUNDS} rounds, medians\n`,
    );
    for (const runtime of RUNTIMES) process.stdout.write(await measure(runtime, work, tool));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function measure(runtime: (typeof RUNTIMES)[number], work: string, tool: string): Promise<string> {
  const packed = join(work, `${runtime}.zip`);
  const other = join(work, `${runtime}-zip-9.zip`);
  const files = join(work, runtime);
  const extension = join(REPOSITORY, 'extensions/custom-script');
  const pack = async (): Promise<void> => {
    const words = ['pack', extension, '--runtime', runtime, '--out', packed, '--quiet'];
    const { exitCode, stdout, stderr } = await runHandlerkit(words, { tool, cwd: work });
    if (exitCode !== 0) throw new Error(`handlerkit pack failed: ${stdout}${stderr}`);
  };
  const zip = (): void => {
    rmSync(other, { force: true });
    execFileSync('zip', ['-9', '-q', '-X', '-r', other, '.'], { cwd: files });
  };
  process.stderr.write(`Packing Custom Script with ${runtime}\n`);
  await pack();
  mkdirSync(files);
  execFileSync('unzip', ['-q', packed, '-d', files]);
  const times = { pack: [] as number[], zip: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    times.pack.push(await timed(pack));
    times.zip.push(await timed(zip));
  }
  const [ours, theirs] = [statSync(packed).size, statSync(other).size];
  const [packMs, zipMs] = [median(times.pack), median(times.zip)];
  return [
    row(`pack, ${runtime}, x64 and arm64`, packMs, ours),
    row('zip -9 of the same files', zipMs, theirs),
    verdict(`pack, ${runtime}: time / zip -9`, packMs / zipMs, 'most', 1),
    `${verdict(`pack, ${runtime}: size / zip -9`, ours / theirs, 'most', 1)}
`,
  ].join('\n');
}

async function timed(work: () => unknown): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function row(name: string, milliseconds: number, bytes: number): string {
  return `${name.padEnd(32)}${(milliseconds / 1000).toFixed(2).padStart(8)} s${(bytes / 1e6).toFixed(1).padStart(9)} MB`;
}

await main();
