/** Load, in the short form of its campaign: what must hold; times are figures of the long form. */
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { loadCampaign } from './load-campaign.ts';
import { shortForm } from './short-form.ts';

it('much of everything for a handler and a VM leaves nothing undone and nothing behind', async () => {
  const figures = await loadCampaign.run('short', shortForm(tmpdir()));
  expect(figures.filter(({ isMet }) => isMet === false)).toEqual([]);
  expect(figures.length).toBeGreaterThan(10);
});
