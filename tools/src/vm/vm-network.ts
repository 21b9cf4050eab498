/**
 * The addresses of Azure's host side on the loopback of a VM that has a network of its own. The real agent looks for a
 * route to the wire server in `/proc/net/route`, where the addresses of `lo` alone do not show.
 * Source: fabric.md 1; ip-address(8), ip-route(8).
 */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { WIRE_SERVER_ADDRESS } from '@handlerkit/sdk/contract';
import { MachineError } from './machine-error.ts';
import type { AgentKind, KeeperRecord } from './machine-state.ts';
import { findTool } from './system-tools.ts';

/** Address of the instance metadata service. Source: Azure Instance Metadata Service, "Access". */
export const METADATA_ADDRESS = '169.254.169.254';

/** What a VM that has loopback only cannot do, and how to get one that can. The real agent can be on no other network. */
export function describeLoopbackOnly(agent: AgentKind): string {
  const way =
    agent === 'waagent'
      ? 'the real agent works on no other one. For an extension that needs a network make a new VM with --agent embedded --network host.'
      : '--network host gives it that of this machine.';
  return `The VM has no network but loopback; ${way}`;
}

/**
 * Puts the addresses and the route there; they may be there already. Throws `vm-other-network` for a VM on the machine's
 * network, which is not changed, `vm-tool-missing` without iproute2, and `vm-network-failed` with the words of `ip`.
 */
export async function addFabricAddresses(
  keeper: KeeperRecord,
  nsenter: string,
  searchPath: string,
): Promise<void> {
  if (keeper.network !== 'loopback') {
    throw new MachineError(
      'vm-other-network',
      "The addresses of Azure's host side need a VM with a network of its own, and this one shares the machine's.",
      'Make a new VM with --network loopback.',
    );
  }
  const ip = findTool('ip', searchPath, 'iproute2');
  const target = `/proc/${keeper.pid}/ns/net`;
  const child = spawn(nsenter, [`--net=${target}`, '--', ip, '-batch', '-'], {
    env: { LC_ALL: 'C' },
    stdio: ['pipe', 'ignore', 'pipe'],
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  // A child that is gone before it has read says so with its exit code.
  child.stdin.on('error', () => {});
  child.stdin.end(BATCH.join('\n'));
  const [exitCode, complaint] = await Promise.all([ended, text(child.stderr)]);
  if (exitCode === 0) return;
  throw new MachineError(
    'vm-network-failed',
    `The VM's loopback could not be given the addresses of Azure's host side: ${complaint.trim().split('\n')[0] || 'ip did not end'}`,
    'See with ip(8) what is amiss with loopback in a network namespace of this machine.',
  );
}

const TIMEOUT_MS = 10_000;

/** `replace` also does when it is there. */
const BATCH = [
  'link set lo up',
  ...[WIRE_SERVER_ADDRESS, METADATA_ADDRESS].map((address) => `address replace ${address}/32 dev lo`),
  `route replace ${WIRE_SERVER_ADDRESS}/32 dev lo`,
  '',
];
