/** A process of its own that looks at the arguments and the environment of all processes of the machine while something runs. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface SampledLeak {
  readonly place: 'cmdline' | 'environ';
  /** The bytes around. */
  readonly near: Buffer;
  /** The process's arguments, parted by NUL. */
  readonly words: string;
}

export interface Sampled {
  readonly sweeps: number;
  /** Files that were read. */
  readonly looks: number;
  /** Processes, counted again for each program that one has become. */
  readonly programs: number;
  readonly leaks: readonly SampledLeak[];
}

export interface ProcSampler {
  /** Ends it; gives what it has seen. */
  end(): Promise<Sampled>;
}

/** Resolves when it looks. `pauseSeconds` is between two sweeps; 0: as fast as it goes. */
export async function startProcSampler(
  needles: readonly Buffer[],
  pauseSeconds: number,
): Promise<ProcSampler> {
  const child = spawn('python3', [fileURLToPath(new URL('proc-sampler.py', import.meta.url))], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  const isReady = once(reader, 'line');
  reader.on('line', (line) => lines.push(line));
  const ended = once(reader, 'close');
  child.stdin.write(
    `${JSON.stringify({ needles: needles.map((one) => one.toString('base64')), pauseSeconds })}\n`,
  );
  await isReady;
  return {
    end: async () => {
      child.stdin.end();
      await ended;
      const said = JSON.parse(lines.at(-1) ?? '') as Omit<Sampled, 'leaks'> & {
        readonly leaks: readonly { place: 'cmdline' | 'environ'; near: string; words: string }[];
      };
      return {
        ...said,
        leaks: said.leaks.map((leak) => ({ ...leak, near: Buffer.from(leak.near, 'base64') })),
      };
    },
  };
}
