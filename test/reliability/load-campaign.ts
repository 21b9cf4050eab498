/** Load: more of everything than a VM has, with figures of time and memory, which must not grow faster than the load. */
import type { Campaign } from './campaign.ts';
import { loadDownloads, loadOneHandler } from './load-handler.ts';
import { loadManyVms, loadOneVm } from './load-vms.ts';

const SIZES = {
  short: { changes: 12, files: 200, settingsBytes: 256 * 1024, extensions: 3, vms: 2, isTimed: false },
  long: {
    changes: 200,
    files: 10_000,
    settingsBytes: 10 * 1024 * 1024,
    extensions: 50,
    vms: 20,
    isTimed: true,
  },
} as const;

export const loadCampaign: Campaign = {
  name: 'load',
  run: async (size, context) => {
    const sizes = SIZES[size];
    return [
      ...(await loadOneHandler(sizes, context)),
      ...(await loadDownloads(sizes, context)),
      ...(await loadOneVm(sizes.extensions, sizes.isTimed, context)),
      ...(await loadManyVms(sizes.vms, sizes.isTimed, context)),
    ];
  },
};
