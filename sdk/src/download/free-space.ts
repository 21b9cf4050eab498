/**
 * Whether a disk has room for all files that are being downloaded to it: each tells how much it still needs, so that two
 * that fit one by one, but not together, are told before the disk is full.
 */
import { statfsSync } from 'node:fs';

/** One download's need of space. */
export interface SpaceClaim {
  /** The folder that it writes to, as this process sees it. Folders of one {@link FreeSpace} are on one disk. */
  readonly folder: string;
  /** Bytes that are not written yet, at this moment. */
  missingBytes(): number;
}

/** The room that is not there. */
export interface SpaceShortage {
  readonly freeBytes: number;
  /** What the claim itself needs. */
  readonly missingBytes: number;
  /** What the others of the same disk need. */
  readonly otherBytes: number;
}

/** The claims on one disk. */
export interface FreeSpace {
  /** Enters `claim`, and tells when all that are entered do not fit. It stays entered until it is taken back. */
  enter(claim: SpaceClaim): Promise<SpaceShortage | undefined>;
  /** Takes `claim` back; nothing when it was not entered. */
  leave(claim: SpaceClaim): void;
}

/**
 * No claims yet. Several downloads to one disk share one. `readFree` gives the bytes that a program may still write in a
 * folder, `undefined` when the file system does not say; then nothing is a shortage.
 */
export function createFreeSpace(
  readFree: (folder: string) => Promise<number | undefined> = readFreeBytes,
): FreeSpace {
  const claims = new Set<SpaceClaim>();
  return {
    async enter(claim) {
      claims.add(claim);
      // Read first: what is written in between then counts as room, not as need.
      const freeBytes = await readFree(claim.folder);
      if (freeBytes === undefined) return undefined;
      const missingBytes = claim.missingBytes();
      let otherBytes = 0;
      for (const other of claims) if (other !== claim) otherBytes += other.missingBytes();
      return missingBytes + otherBytes > freeBytes ? { freeBytes, missingBytes, otherBytes } : undefined;
    },
    leave(claim) {
      claims.delete(claim);
    },
  };
}

async function readFreeBytes(folder: string): Promise<number | undefined> {
  try {
    // At once: the body that waits for the answer grows in memory.
    const { bavail, bsize, blocks } = statfsSync(folder);
    return blocks > 0 ? bavail * bsize : undefined;
  } catch {
    return undefined;
  }
}
