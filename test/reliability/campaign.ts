/**
 * What a campaign of the reliability tests is: one piece of work in two sizes. The short one is part of `npm test`, the long
 * one of `npm run reliability`, which prints the figures of all.
 */

/** The packages that the campaigns run, by the names that the tests know them by. */
export type PackedZip =
  | 'customScriptZip'
  | 'vmAccessZip'
  | 'probeZip'
  | 'detachedProbeZip'
  | 'daemonProbeZip';

export type CampaignSize = 'short' | 'long';

export interface CampaignContext {
  /** Paths. */
  readonly zips: Readonly<Record<PackedZip, string>>;
  /** A folder of the campaign's own, which is removed after it. */
  readonly work: string;
  /** Says how far it is, for a person who waits. */
  progress(line: string): void;
}

/** One measured figure. */
export interface Figure {
  readonly what: string;
  readonly value: number | string;
  /** `ms`, `MiB`, …; none for a count. */
  readonly unit?: string;
  /** What is promised, in words: `0`, `at most 1.2`. */
  readonly wanted?: string;
  /** False: the promise is broken. `undefined`: nothing is promised. */
  readonly isMet?: boolean;
}

export interface Campaign {
  readonly name: string;
  /** Rejects only when it could not be carried out; a broken promise is a figure. */
  run(size: CampaignSize, context: CampaignContext): Promise<readonly Figure[]>;
}

/** A count that must be nought. */
export function none(what: string, value: number): Figure {
  return { what, value, wanted: '0', isMet: value === 0 };
}

/** A figure that must not be above a limit. */
export function atMost(what: string, value: number, limit: number, unit?: string): Figure {
  const shared = { what, value, wanted: `at most ${limit}`, isMet: value <= limit };
  return unit === undefined ? shared : { ...shared, unit };
}
