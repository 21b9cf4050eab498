/** All campaigns, in the order in which they are carried out. */
import type { Campaign } from './campaign.ts';
import { crashCampaign } from './crash-campaign.ts';
import { envelopesCampaign } from './envelopes-campaign.ts';
import { fuzzCampaign } from './fuzz-campaign.ts';
import { loadCampaign } from './load-campaign.ts';
import { outputCampaign } from './output-campaign.ts';
import { secretsCampaign } from './secrets-campaign.ts';

export const CAMPAIGNS: readonly Campaign[] = [
  crashCampaign,
  loadCampaign,
  outputCampaign,
  envelopesCampaign,
  fuzzCampaign,
  secretsCampaign,
];
