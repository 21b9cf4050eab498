/** Load, in the short form of its campaign: what must hold; times are figures of the long form. */
import { tmpdir } from 'node:os';
import { expect, inject, it } from 'vitest';
import { loadCampaign } from './load-campaign.ts';

it('much of everything for a handler and a VM leaves nothing undone and nothing behind', async () => {
  const zips = {
    customScriptZip: inject('customScriptZip'),
    vmAccessZip: inject('vmAccessZip'),
    probeZip: inject('probeZip'),
    detachedProbeZip: inject('detachedProbeZip'),
    daemonProbeZip: inject('daemonProbeZip'),
  };
  const figures = await loadCampaign.run('short', { zips, work: tmpdir(), progress: () => undefined });
  expect(figures.filter(({ isMet }) => isMet === false)).toEqual([]);
  expect(figures.length).toBeGreaterThan(10);
});
