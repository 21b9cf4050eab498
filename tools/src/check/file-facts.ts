/** Reads every content of a package once, in pieces, and keeps of each what the rules want to know. */
import { type ElfFacts, isElf, readElf } from './elf.ts';
import { DamagedContent, type PackedFile, UnreadContent } from './packed-file.ts';
import { BEFORE_ANCHOR, BEHIND_ANCHOR, findSecrets } from './secret-patterns.ts';

export interface FileFacts {
  readonly file: PackedFile;
  /** Why the content is not what the zip says; `undefined` for a good one. */
  readonly damage: DamagedContent | undefined;
  /** What could be read of the content, at most {@link HEAD_BYTES}; `undefined` when nothing was read. */
  readonly head: Buffer | undefined;
  readonly elf: ElfFacts | undefined;
  /** Kinds of secrets in it, in words. */
  readonly secrets: readonly string[];
  readonly mentionsHeartbeat: boolean;
  readonly hasInlineSourceMap: boolean;
}

/** More than a script or a manifest has, and enough of a program for its tables. */
export const HEAD_BYTES = 1024 * 1024;
const ELF_HEAD_BYTES = 8 * 1024 * 1024;

/** Reads all contents, one after the other. Throws the system's errors, and the signal's reason. */
export async function readFacts(
  files: readonly PackedFile[],
  signal?: AbortSignal,
): Promise<readonly FileFacts[]> {
  const facts: FileFacts[] = [];
  for (const file of files) {
    signal?.throwIfAborted();
    facts.push(await readFile(file));
  }
  return facts;
}

async function readFile(file: PackedFile): Promise<FileFacts> {
  const nothing = { file, damage: undefined, head: undefined, elf: undefined, secrets: [] };
  const without: FileFacts = { ...nothing, mentionsHeartbeat: false, hasInlineSourceMap: false };
  if (file.kind === 'folder' || file.body === undefined) return without;
  const heads: Buffer[] = [];
  let headBytes = 0;
  let limit = HEAD_BYTES;
  let tail: Buffer = Buffer.alloc(0);
  const secrets = new Set<string>();
  let mentionsHeartbeat = false;
  let hasInlineSourceMap = false;
  let damage: DamagedContent | undefined;
  const look = (bytes: Buffer): void => {
    for (const what of findSecrets(bytes)) secrets.add(what);
    mentionsHeartbeat ||= HEARTBEAT_WORDS.some((word) => bytes.includes(word));
    hasInlineSourceMap ||= bytes.includes(INLINE_SOURCE_MAP);
  };
  try {
    for await (const chunk of file.body()) {
      if (heads.length === 0 && isElf(chunk)) limit = ELF_HEAD_BYTES;
      if (headBytes < limit) heads.push(chunk.subarray(0, limit - headBytes));
      headBytes += chunk.length;
      // Pieces overlap, so that nothing is lost between two of them.
      const bytes = Buffer.concat([tail, chunk]);
      look(bytes);
      tail = bytes.subarray(Math.max(0, bytes.length - BEFORE_ANCHOR - BEHIND_ANCHOR));
    }
  } catch (thrown) {
    if (thrown instanceof UnreadContent) return without;
    if (!(thrown instanceof DamagedContent)) throw thrown;
    damage = thrown;
  }
  const head = Buffer.concat(heads);
  const found = { secrets: [...secrets], mentionsHeartbeat, hasInlineSourceMap };
  return { file, damage, elf: readElf(head), head: Buffer.from(head.subarray(0, HEAD_BYTES)), ...found };
}

const HEARTBEAT_WORDS = ['heartbeat', 'Heartbeat', 'HEARTBEAT'] as const;
const INLINE_SOURCE_MAP = 'sourceMappingURL=data:application/json';
