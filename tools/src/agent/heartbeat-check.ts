/**
 * Reads a handler's heartbeat when its manifest promises one.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` collect_heartbeat, is_responsive; agent-contract 9.
 */
import { readFile, stat } from 'node:fs/promises';
import type { HeartbeatVerdict } from '@handlerkit/sdk/contract';
import { HEARTBEAT_FILE, judgeHeartbeat } from '@handlerkit/sdk/contract';
import type { HandlerInstance } from './handler-instance.ts';
import { loadManifest, pathIn } from './handler-instance.ts';

/** The verdict on the heartbeat; `undefined` when the handler has none to give. Throws `AgentError` without a manifest. */
export async function checkHeartbeat(
  handler: HandlerInstance,
  now: Date,
): Promise<HeartbeatVerdict | undefined> {
  if (!(await loadManifest(handler)).reportHeartbeat) return undefined;
  const file = `${handler.folder}/${HEARTBEAT_FILE}`;
  try {
    const path = pathIn(handler, HEARTBEAT_FILE);
    const { mtimeMs } = await stat(path);
    const ageSeconds = Math.trunc((now.getTime() - mtimeMs) / 1000);
    return judgeHeartbeat({ text: await readFile(path, 'utf8'), ageSeconds, file });
  } catch {
    return judgeHeartbeat({ text: undefined, ageSeconds: 0, file });
  }
}
