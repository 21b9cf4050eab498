import { describe, expect, it } from 'vitest';
import type { AgentConfiguration } from './agent-configuration.ts';
import { parseAgentConfiguration } from './agent-configuration.ts';

const DEFAULTS: AgentConfiguration = {
  extensionsEnabled: true,
  overProvisioning: true,
  policyEnabled: false,
  policyFile: '/etc/waagent_policy.json',
};

describe('parseAgentConfiguration', () => {
  it.each<[string, Partial<AgentConfiguration>, string]>([
    ['', {}, 'an empty file'],
    ['Extensions.Enabled=n', { extensionsEnabled: false }, 'a switch that is off'],
    ['  Extensions.Enabled  =  N  ', { extensionsEnabled: false }, 'blanks and capitals'],
    ['Extensions.Enabled="n" # why', { extensionsEnabled: false }, 'quotes and a remark'],
    ['#Extensions.Enabled=n', {}, 'a line that is a remark'],
    ['Extensions.Enabled=no', {}, 'a word that is neither y nor n'],
    ['Extensions.Enabled=None', {}, 'Python’s None'],
    ['Extensions.Enabled=n\nExtensions.Enabled=y', {}, 'the last of two lines'],
    ['EnableOverProvisioning=n', { overProvisioning: false }, 'over-provisioning'],
    ['Debug.EnableExtensionPolicy=y', { policyEnabled: true }, 'the policy'],
    ['Policy.PolicyFilePath=/a/b.json', { policyFile: '/a/b.json' }, 'the policy’s file'],
  ])('reads %j as %j: %s', (text, changes) => {
    expect(parseAgentConfiguration(text)).toEqual({ ...DEFAULTS, ...changes });
  });

  it('reads a line of nothing but blanks and quotes in one pass', () => {
    const started = performance.now();
    expect(parseAgentConfiguration(`Policy.PolicyFilePath=${'" '.repeat(200_000)}x`).policyFile).toBe('x');
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});
