/**
 * Measures `vm set` of a package that the VM has already, with new settings: from the start of the command to its end with the
 * final instance view, over the time that the handler's own operations took. The embedded agent, the tool as it is shipped (one
 * bundled program), beside a bare `node -e 0`. Run with `npm run bench`. Prints medians; never fails a build.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleTool } from '../bundled-tool.ts';
import { runHandlerkit } from '../handlerkit-command.ts';
import type { Isolation } from '../local-vm.ts';
import { NO_OVERLAY } from '../local-vm.ts';
import { verdict } from './verdict.ts';

const ROUNDS = 15;
const TARGET_MS = 1000;

interface Measured {
  readonly wallMs: number;
  /** What the tool says of the operations that the agent ran. */
  readonly handlerMs: number;
}

async function main(): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'handlerkit-bench-vm-set-'));
  const kinds: readonly Isolation[] = NO_OVERLAY === undefined ? ['overlay', 'relocated'] : ['relocated'];
  const tool = bundleTool(work);
  const handlerkit = async (words: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await runHandlerkit(words, { tool, cwd: work });
    if (exitCode !== 0) throw new Error(`handlerkit ${words.join(' ')} failed: ${stdout}${stderr}`);
    return stderr;
  };
  try {
    process.stderr.write('Packing the probe\n');
    const zip = join(work, 'probe.zip');
    const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
    const probe = join(import.meta.dirname, '../fixtures/probe');
    await handlerkit(['pack', probe, '--architectures', architecture, '--out', zip]);
    let settings = 0;
    const set = async (isolation: Isolation): Promise<Measured> => {
      settings++;
      const vm = ['--vm', join(work, isolation), '--isolation', isolation];
      const started = performance.now();
      const said = await handlerkit([
        'vm',
        'set',
        zip,
        ...vm,
        '--settings',
        JSON.stringify({ greeting: `${settings}` }),
      ]);
      return { wallMs: performance.now() - started, handlerMs: operationsMs(said) };
    };
    const results = new Map<Isolation, Measured[]>(kinds.map((kind) => [kind, []]));
    const bare: number[] = [];
    for (const kind of kinds) await set(kind);
    for (let round = 0; round < ROUNDS; round++) {
      for (const kind of kinds) results.get(kind)?.push(await set(kind));
      const started = performance.now();
      spawnSync(process.execPath, ['-e', '0']);
      bare.push(performance.now() - started);
    }
    print(results, bare);
  } finally {
    for (const kind of kinds) await handlerkit(['vm', 'reset', '--vm', join(work, kind)]);
    rmSync(work, { recursive: true, force: true });
  }
}

/** The sum of `  enable     bin/handler enable   exit 0   0.03 s   1.0.0`. */
function operationsMs(stderr: string): number {
  const seconds = [...stderr.matchAll(/ {3}exit 0 {3}([\d.]+) s /g)].map((match) => Number(match[1]));
  if (seconds.length === 0) throw new Error(`no operation in: ${stderr}`);
  return seconds.reduce((sum, one) => sum + one, 0) * 1000;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function print(results: ReadonlyMap<Isolation, readonly Measured[]>, bare: readonly number[]): void {
  const row = (...cells: readonly string[]): string =>
    cells.map((cell, index) => (index === 0 ? cell.padEnd(32) : cell.padStart(12))).join('');
  const overMs = (measured: readonly Measured[]): number[] =>
    measured.map(({ wallMs, handlerMs }) => wallMs - handlerMs);
  const lines = [
    `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, load ${loadavg()[0]?.toFixed(1)}, ${ROUNDS} rounds, median milliseconds`,
    row('', 'command', 'handler', 'over it', 'least'),
    row('node -e 0', median(bare).toFixed(0)),
    ...[...results].map(([kind, measured]) => {
      const over = overMs(measured);
      return row(
        `vm set, warm package, ${kind}`,
        median(measured.map(({ wallMs }) => wallMs)).toFixed(0),
        median(measured.map(({ handlerMs }) => handlerMs)).toFixed(0),
        median(over).toFixed(0),
        Math.min(...over).toFixed(0),
      );
    }),
    '',
    ...[...results].map(([kind, measured]) => {
      const over = median(overMs(measured));
      return verdict(`vm set over the handler's own time, ${kind}, ms`, over, 'most', TARGET_MS);
    }),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

await main();
