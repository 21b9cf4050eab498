/** What a campaign gets as a test: the packages that all black-box tests share, and a folder. */
import { inject } from 'vitest';
import type { CampaignContext } from './campaign.ts';

/** `said` gets the lines of its progress. */
export function shortForm(work: string, said: string[] = []): CampaignContext {
  return {
    work,
    progress: (line) => void said.push(line),
    zips: {
      customScriptZip: inject('customScriptZip'),
      vmAccessZip: inject('vmAccessZip'),
      probeZip: inject('probeZip'),
      detachedProbeZip: inject('detachedProbeZip'),
      daemonProbeZip: inject('daemonProbeZip'),
    },
  };
}
