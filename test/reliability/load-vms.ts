/** Many extensions on one local VM, and many VMs at once. */
import { createLocalVm } from '../local-vm.ts';
import type { CampaignContext, Figure } from './campaign.ts';
import { atMost, none } from './campaign.ts';

/** One extension after the other; each is a configuration of a handler that takes several. */
export async function loadOneVm(
  count: number,
  isTimed: boolean,
  context: CampaignContext,
): Promise<Figure[]> {
  const vm = await createLocalVm('relocated');
  const ms: number[] = [];
  let failed = 0;
  try {
    for (let index = 0; index < count; index++) {
      if (index % 10 === 0) context.progress(`extension ${index} of ${count}`);
      const started = performance.now();
      const settings = { public: { greeting: `extension ${index}` } };
      const { exitCode } = await vm.set(context.zips.detachedProbeZip, settings, [
        '--name',
        `extension_${index}`,
      ]);
      ms.push(performance.now() - started);
      if (exitCode !== 0) failed++;
    }
    const views = await vm.instanceView();
    const succeeded = views.filter(({ statuses }) =>
      statuses.some(({ code }) => code.endsWith('/succeeded')),
    );
    const what = `${count} extensions on one VM`;
    const part = Math.ceil(count / 5);
    return [
      none(`${what}: refused`, failed),
      none(`${what}: without success in the instance view`, count - succeeded.length),
      ...(isTimed
        ? [
            { what: `${what}: time of each, median`, value: middle(ms), unit: 'ms' },
            atMost(
              `${what}: the last fifth over the first`,
              middle(ms.slice(-part)) / middle(ms.slice(0, part)),
              2,
            ),
          ]
        : []),
    ];
  } finally {
    await vm.remove();
  }
}

/** Each VM gets an extension while the others do. */
export async function loadManyVms(
  count: number,
  isTimed: boolean,
  context: CampaignContext,
): Promise<Figure[]> {
  context.progress(`${count} VMs at once`);
  const vms = await Promise.all(Array.from({ length: count }, () => createLocalVm('relocated')));
  const started = performance.now();
  try {
    const results = await Promise.all(
      vms.map((vm, index) => vm.set(context.zips.probeZip, { public: { greeting: `VM ${index}` } })),
    );
    const seconds = (performance.now() - started) / 1000;
    const what = `${count} VMs at once`;
    return [
      none(`${what}: without success`, results.filter(({ exitCode }) => exitCode !== 0).length),
      ...(isTimed ? [{ what: `${what}: time of all`, value: seconds, unit: 's' }] : []),
    ];
  } finally {
    await Promise.all(vms.map((vm) => vm.remove()));
  }
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
