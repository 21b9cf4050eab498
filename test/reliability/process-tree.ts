/** The processes that run a file or in a folder below a given one, and who started whom. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface FoundProcess {
  readonly pid: number;
  readonly parent: number;
  /** Path of the program that it runs. */
  readonly program: string;
}

/** Processes that have ended, and only wait to be asked for it, are none. */
export function findProcesses(folder: string): FoundProcess[] {
  const inside = (path: string): boolean => path.startsWith(`${folder}/`);
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const program = readlinkSync(`/proc/${name}/exe`);
      if (!inside(program) && !inside(readlinkSync(`/proc/${name}/cwd`))) return [];
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      return [{ pid: Number(name), parent, program }];
    } catch {
      return [];
    }
  });
}

/** Sends SIGKILL; false when it has ended before. */
export function killProcess(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch {
    return false;
  }
}
