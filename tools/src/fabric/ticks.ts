/** Time as .NET counts it: steps of 100 ns since the year 1. Source: .NET, `DateTime.Ticks`; fabric.md 3. */

/** The ticks of a time, as decimal digits: they do not fit into a number. */
export function formatTicks(time: Date): string {
  return String(BigInt(time.getTime()) * TICKS_PER_MILLISECOND + TICKS_AT_1970);
}

const TICKS_PER_MILLISECOND = 10_000n;
const TICKS_AT_1970 = 62_135_596_800n * 10_000_000n;
