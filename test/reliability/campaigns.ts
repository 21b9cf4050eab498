/** All campaigns, in the order in which they are carried out. */
import type { Campaign } from './campaign.ts';
import { envelopesCampaign } from './envelopes-campaign.ts';
import { fuzzCampaign } from './fuzz-campaign.ts';
import { loadCampaign } from './load-campaign.ts';

export const CAMPAIGNS: readonly Campaign[] = [loadCampaign, envelopesCampaign, fuzzCampaign];
