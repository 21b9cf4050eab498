import { describe, expect, it } from 'vitest';
import { agentRecords } from './agent-records.ts';

describe("the agent's records", () => {
  const machine = { hostPath: (path: string) => `/proc/9/root${path}`, logFolder: '/var/log/azure' };

  it('are its log, as the VM names it', () => {
    expect(agentRecords({ ...machine, agent: 'embedded' }, '/vm')).toEqual([
      { shown: '/var/log/waagent.log', path: '/proc/9/root/var/log/waagent.log' },
    ]);
  });

  it('of the real agent are also what it uploaded last and what the fabric was asked for', () => {
    const [, ...others] = agentRecords({ ...machine, agent: 'waagent' }, '/vm');
    expect(others.map((record) => record.path)).toEqual(['/vm/fabric.log', '/vm/status-blob.json']);
  });
});
