/**
 * What the Azure Linux Agent does with a handler, seen from outside: stated once, for the embedded agent and for the real one.
 * Every group has a VM of its own, and the groups run side by side, because most of their time is an agent's pauses.
 * Source: agent-contract sections 0, 1, 3, 4 and 6 to 9.
 */
import { afterAll, beforeAll, describe } from 'vitest';
import { describeCommands } from './agent-command-cases.ts';
import { describeConfigurations } from './agent-configuration-cases.ts';
import { describeDependencies } from './agent-dependency-cases.ts';
import { describeHeartbeats } from './agent-heartbeat-cases.ts';
import { describeStates } from './agent-state-cases.ts';
import { describeStatuses } from './agent-status-cases.ts';
import { describeFailingSteps, describeUpdates } from './agent-update-cases.ts';
import type { AgentName, AgentVm } from './agent-vm.ts';
import { openAgentVm, whyNot } from './agent-vm.ts';

/** A group of cases that share a VM; called while the tests are collected, `vm` while they run. */
export type CaseGroup = (vm: () => AgentVm) => void;

const GROUPS: Readonly<Record<string, CaseGroup>> = {
  'runs commands': describeCommands,
  'goes from state to state': describeStates,
  'updates and downgrades': describeUpdates,
  'updates, and a step of the old version fails': describeFailingSteps(false, ['disable', 'uninstall']),
  'updates, and a step of the new version fails': describeFailingSteps(false, [
    'update',
    'install',
    'enable',
  ]),
  'updates with leave to go on, and a step of the old version fails': describeFailingSteps(true, [
    'disable',
    'uninstall',
  ]),
  'updates with leave to go on, and a step of the new version fails': describeFailingSteps(true, [
    'update',
    'install',
    'enable',
  ]),
  'reads a status': describeStatuses,
  'reads a heartbeat': describeHeartbeats,
  'keeps several configurations apart': describeConfigurations,
  'holds up what needs another': describeDependencies,
};

/** Registers the groups, all of them unless some are named. */
export function describeAgent(agent: AgentName, titles: readonly string[] = Object.keys(GROUPS)): void {
  const reason = whyNot(agent);
  const suffix = reason === undefined ? '' : ` (${reason})`;
  describe.runIf(reason === undefined)(
    `an agent (${agent})${suffix}`,
    { concurrent: true, timeout: 300_000 },
    () => {
      for (const title of titles) {
        describe(title, () => {
          let opened: AgentVm | undefined;
          beforeAll(async () => {
            opened = await openAgentVm(agent);
          });
          afterAll(async () => await opened?.remove());
          describe('one after the other', { concurrent: false, sequential: true }, () => {
            GROUPS[title]?.(() => {
              if (opened === undefined) throw new Error('the VM is opened before the cases');
              return opened;
            });
          });
        });
      }
    },
  );
}
