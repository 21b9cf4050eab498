/** A process of its own that reads status files a thousand times a second while something happens to their writers. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export interface StatusProblem {
  /** `gone`: it was there before. `taken back`: a final status was followed by another one. */
  readonly kind: 'unparsable' | 'gone' | 'taken back';
  readonly path: string;
  readonly text: string;
}

export interface StatusReading {
  /** Of files that were there. */
  readonly reads: number;
  /** How often each file was looked at. */
  readonly perSecond: number;
  readonly problems: readonly StatusProblem[];
}

export interface StatusReader {
  watch(path: string): void;
  /** Call it before the file is removed. */
  forget(path: string): void;
  end(): Promise<StatusReading>;
}

export function startStatusReader(): StatusReader {
  const program = fileURLToPath(new URL('status-reader.py', import.meta.url));
  const child = spawn('python3', [program], { stdio: ['pipe', 'pipe', 'inherit'] });
  const output = text(child.stdout);
  return {
    watch: (path) => child.stdin.write(`+${path}\n`),
    forget: (path) => child.stdin.write(`-${path}\n`),
    end: async () => {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
      return JSON.parse(await output) as StatusReading;
    },
  };
}
