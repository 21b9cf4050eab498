import { expect, it } from 'vitest';
import { describeLoopbackOnly } from './vm-network.ts';

it('advises only the networks that the agent of a VM can work on', () => {
  expect(describeLoopbackOnly('embedded')).toContain('; --network host gives it');
  expect(describeLoopbackOnly('waagent')).toContain('make a new VM with --agent embedded --network host');
});
