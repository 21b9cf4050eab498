/**
 * One download by the packed probe, and what it left: for faults of the network. Whatever the server does, a few things must
 * hold; these are looked at here, once for all rows.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StartOptions, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler } from '../unpacked-handler.ts';

/** In the query of every URL. */
export const CANARY = 'canary-signature';

export interface TriedDownload {
  readonly status: string;
  readonly code: number;
  /** Of the status. */
  readonly message: string;
  readonly exitCode: number | null;
  readonly durationMs: number;
  /** The file, when it has got its name. */
  readonly content: Buffer | undefined;
  /** What must never be there: temporary files, and places where the query of the URL is seen. */
  readonly broken: readonly string[];
}

/** More of the probe's step `download`. */
export interface DownloadSettings {
  readonly sha256?: string;
  readonly attempts?: number;
  readonly headersMs?: number;
  readonly idleMs?: number;
  readonly totalMs?: number;
  readonly maxBytes?: number;
}

const FILE = 'file.bin';

/** Runs one enable that downloads `url`, on a machine of its own. Three tries unless told otherwise. */
export async function tryToDownload(
  unpacked: UnpackedPackage,
  url: string,
  settings: DownloadSettings = {},
  options: StartOptions = {},
): Promise<TriedDownload> {
  const handler = layOutHandler(unpacked);
  try {
    const signed = `${url}${url.includes('?') ? '&' : '?'}sig=${CANARY}`;
    const step = { do: 'download', url: signed, file: FILE, attempts: 3, ...settings };
    handler.writeSettings(0, { protected: { steps: [step] } });
    const { exitCode, stdout, stderr, durationMs } = await handler.run('enable', options);
    const status = handler.readStatus(0);
    const path = join(handler.dataFolder, FILE);
    const logs = readdirSync(handler.logFolder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(handler.logFolder, entry.name));
    const said = { stdout, stderr, status: JSON.stringify(status) };
    const texts = [
      ...Object.entries(said),
      ...[...logs, handler.statusFile(0)].map((file) => [file, readFileSync(file, 'latin1')] as const),
    ];
    const left = existsSync(handler.dataFolder) ? readdirSync(handler.dataFolder) : [];
    return {
      status: status?.status ?? 'none',
      code: status?.code ?? Number.NaN,
      message: status?.message ?? '',
      exitCode,
      durationMs,
      content: existsSync(path) ? readFileSync(path) : undefined,
      broken: [
        ...texts.filter(([, text]) => text.includes(CANARY)).map(([name]) => `the query is in ${name}`),
        ...left.filter((name) => name.endsWith('.part')).map((name) => `${name} is left`),
      ],
    };
  } finally {
    handler.remove();
  }
}

/** Calls `work` for each item, a few at a time, and gives the results in order. */
export async function fewAtATime<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
  workers = 6,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const run = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) {
      const item = items[at];
      if (item !== undefined) results[at] = await work(item);
    }
  };
  await Promise.all(Array.from({ length: workers }, run));
  return results;
}
