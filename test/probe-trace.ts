/** What the probe was given, one line for each operation that came to its author's code. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OldExitCode, Operation } from '@handlerkit/sdk/contract';

export interface TraceLine {
  readonly operation: Operation;
  readonly version: string;
  readonly sequence?: number;
  readonly extensionName?: string;
  readonly dataFolder: string;
  readonly handlerFolder: string;
  readonly greeting?: string;
  readonly fromVersion?: string;
  readonly toVersion?: string;
  readonly disableExitCode?: OldExitCode;
  readonly disableExitCodes?: Readonly<Record<string, OldExitCode>>;
  readonly uninstallExitCode?: OldExitCode;
  readonly pid: number;
  /** The whole environment of the process. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The lines so far, the oldest first. */
export function readTrace(logFolder: string): TraceLine[] {
  const file = join(logFolder, 'trace.jsonl');
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as TraceLine);
}

/** One line in short: `enable 1.0.0`. */
export function brief({ operation, version }: TraceLine): string {
  return `${operation} ${version}`;
}
