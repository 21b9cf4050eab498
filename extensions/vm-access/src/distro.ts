/** Distributions in one table: what VM Access needs to know of each, and cannot ask the machine. */
import type { Distribution, Host } from '@handlerkit/sdk';
import { readDistribution } from '@handlerkit/sdk';

/** What VM Access knows of a distribution. */
export interface Distro {
  readonly distribution: Distribution;
}

/** Reads the distribution and finds its row. */
export async function readDistro(host: Host): Promise<Distro> {
  return { distribution: await readDistribution(host) };
}
