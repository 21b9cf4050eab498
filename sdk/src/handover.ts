/**
 * The note that a version's work has gone to another version, or has ended with the extension. The agent goes on as soon as
 * a detached enable has answered, so on a slow machine the run itself may begin when the extension is updated or gone
 * already: such a late run finds the note, which names the process that wrote it, and begins nothing. An enable that the
 * agent asks for afterwards started later than that process, and heeds nothing.
 */
import { join } from 'node:path';
import type { HandlerFolder } from './handler-files.ts';
import type { Host } from './host.ts';
import { identifyProcess } from './process-identity.ts';
import { readTextIfThere, writeWholeFile } from './whole-file.ts';

/** In the version's folder, with which it goes. */
export const HANDOVER_FILE = '.handed-over';

/** Writes the note for `version`. Called under the lock. Throws the system's error. */
export function noteHandover(host: Host, version: HandlerFolder): void {
  const own = identifyProcess(host, process.pid);
  if (own === undefined) return;
  writeWholeFile(
    host.path(join(version.folder, HANDOVER_FILE)),
    `${own.pid}:${own.startTicks}:${own.bootId}`,
  );
}

/** True when this process was started before the one that noted a handover of `version`, in the same boot. */
export function isHandedOver(host: Host, version: HandlerFolder): boolean {
  const text = readTextIfThere(host.path(join(version.folder, HANDOVER_FILE)));
  const own = identifyProcess(host, process.pid);
  const [, pid, startTicks, bootId] = /^(\d+):(\d+):(.*)$/.exec(text ?? '') ?? [];
  if (own === undefined || pid === undefined || own.pid === Number(pid) || own.bootId !== bootId)
    return false;
  // Ticks are hundredths of a second: the start of a run and of what the agent did next may fall into one.
  return own.startTicks <= Number(startTicks);
}
