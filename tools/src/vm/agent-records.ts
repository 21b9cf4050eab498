/**
 * Where a VM's agent tells of its work, for people who want to look: its own log, and with the real agent also the last
 * status blob and the fabric's log. What concerns one handler is in that handler's log folder besides.
 */
import { join, posix } from 'node:path';
import { AGENT_LOG_FILE } from '@handlerkit/sdk/contract';
import { FABRIC_FILES } from '../fabric/fabric-files.ts';
import type { OpenMachine } from './machine.ts';

export interface AgentRecord {
  /** Path for people: as the VM sees the file, or where it is on this machine. */
  readonly shown: string;
  /** Path on this machine through which it is read while the VM is open. */
  readonly path: string;
}

type RecordingMachine = Pick<OpenMachine, 'agent' | 'hostPath' | 'logFolder'>;

/** The files, of which any may be missing. `folder` is the VM's. */
export function agentRecords(machine: RecordingMachine, folder: string): readonly AgentRecord[] {
  const shown = agentLogPath(machine);
  const log = { shown, path: machine.hostPath(shown) };
  if (machine.agent === 'embedded') return [log];
  const kept = [FABRIC_FILES.log, FABRIC_FILES.statusBlob].map((name) => join(folder, name));
  return [log, ...kept.map((path) => ({ shown: path, path }))];
}

/** Path of the agent's log in the VM. Beside the handlers' logs, so that a relocated VM keeps it apart from this machine's own. */
export function agentLogPath({ logFolder }: Pick<RecordingMachine, 'logFolder'>): string {
  return posix.join(posix.dirname(logFolder), AGENT_LOG_FILE);
}
