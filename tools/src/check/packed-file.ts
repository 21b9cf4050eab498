/** A package as the checks see it, whether it is a zip, a folder, or what a project will ship. */

export type FileKind = 'file' | 'folder' | 'link' | 'special';

export interface PackedFile {
  /** The name as it was packed. */
  readonly name: string;
  /** Where the agent puts it, relative to the handler's folder. */
  readonly path: string;
  readonly kind: FileKind;
  readonly sizeBytes: number;
  /** Permissions; `undefined` when the zip holds none. */
  readonly mode: number | undefined;
  /**
   * The content in pieces, never more of them than `sizeBytes`; `undefined` when it cannot be read, which then is a finding
   * already. Throws {@link DamagedContent} and {@link UnreadContent}.
   */
  readonly body: (() => AsyncIterable<Buffer>) | undefined;
}

/**
 * The content is not what the zip says it is; the message says how. `isFatal` is false where only other readers than
 * Python refuse it.
 */
export class DamagedContent extends Error {
  override readonly name = 'DamagedContent';
  readonly isFatal: boolean;

  constructor(message: string, isFatal = true) {
    super(message);
    this.isFatal = isFatal;
  }
}

/** The content cannot be read on this machine, which says nothing of the agent's. */
export class UnreadContent extends Error {
  override readonly name = 'UnreadContent';
}
