/** One operation of a packed handler, with the processor time and the peak memory that it and its children took. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EndedOperation, GivenSettings, LaidOutHandler } from '../unpacked-handler.ts';

export interface MeasuredRun extends EndedOperation {
  /** User and system time of all its processes. */
  readonly cpuMs: number;
  /** Of the largest of its processes. */
  readonly peakMib: number;
}

/** Runs enable with new settings. The handler must not be a detached one: what goes on after the answer is not measured. */
export async function measuredEnable(
  handler: LaidOutHandler,
  sequence: number,
  settings: GivenSettings,
): Promise<MeasuredRun> {
  const file = join(handler.libFolder, `measured-${sequence}`);
  handler.writeSettings(sequence, settings);
  const ended = await handler.run('enable', { sequence, wrapper: ['python3', '-c', MEASURE, file] });
  const [cpuMs = Number.NaN, peakMib = Number.NaN] = readFileSync(file, 'utf8').split(' ').map(Number);
  return { ...ended, cpuMs, peakMib };
}

/** How time grows with size: 1 is linear, 2 is quadratic. What a run takes without any size is `base`. */
export function growthExponent(
  base: number,
  [small, large]: readonly [number, number],
  factor: number,
): number {
  // A difference that the clock cannot tell from nothing is no growth.
  return Math.log(Math.max(1, large - base) / Math.max(1, small - base)) / Math.log(factor);
}

const MEASURE = `
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    file.write("%.3f %.3f" % ((used.ru_utime + used.ru_stime) * 1000, used.ru_maxrss / 1024))
sys.exit(code)
`;
