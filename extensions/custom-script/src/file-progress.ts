/** How far the downloads of a run are, in words for the status. */
import type { PlannedFile } from './download/file-name.ts';

export interface FileProgress {
  /** A file is begun. */
  onStart(file: PlannedFile): void;
  /** So much of it is there; `totalBytes` where the server said it. */
  onProgress(file: PlannedFile, bytes: number, totalBytes: number | undefined): void;
  /** It is whole. */
  onEnd(file: PlannedFile): void;
  describe(seconds: number): string;
}

/** Counts `total` files. */
export function trackFiles(total: number): FileProgress {
  const open = new Map<string, string>();
  let complete = 0;
  return {
    onStart: ({ name }) => void open.set(name, `${name}: begun`),
    onProgress: ({ name }, bytes, totalBytes) =>
      void open.set(name, `${name}: ${bytes} ${totalBytes === undefined ? '' : `of ${totalBytes} `}bytes`),
    onEnd: ({ name }) => {
      open.delete(name);
      complete++;
    },
    describe: (seconds) => {
      const files = `${total} file${total === 1 ? '' : 's'}`;
      const first = `downloading ${files}: ${complete} complete, ${seconds} seconds so far`;
      return [first, ...open.values()].join('\n');
    },
  };
}
