/** Output without end, in the short form of its campaign. */
import { tmpdir } from 'node:os';
import { expect, inject, it } from 'vitest';
import { outputCampaign } from './output-campaign.ts';

it('A15: output of any size and kind takes constant memory and gives a status that the agent takes', async () => {
  const zips = {
    customScriptZip: inject('customScriptZip'),
    vmAccessZip: inject('vmAccessZip'),
    probeZip: inject('probeZip'),
    detachedProbeZip: inject('detachedProbeZip'),
    daemonProbeZip: inject('daemonProbeZip'),
  };
  const figures = await outputCampaign.run('short', { zips, work: tmpdir(), progress: () => undefined });
  expect(figures.filter(({ isMet }) => isMet === false)).toEqual([]);
  expect(figures.length).toBeGreaterThan(10);
});
