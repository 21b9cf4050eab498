import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { secretsCampaign } from './secrets-campaign.ts';
import { shortForm } from './short-form.ts';

it('a canary in every protected field turns up nowhere but where it is declared to be, in no form', async () => {
  const work = mkdtempSync(join(tmpdir(), 'handlerkit-secrets-'));
  const said: string[] = [];
  try {
    const figures = await secretsCampaign.run('short', shortForm(work, said));
    expect(
      figures.filter(({ isMet }) => isMet === false),
      said.join('\n'),
    ).toEqual([]);
    const count = (what: string) => Number(figures.find((figure) => figure.what === what)?.value);
    expect(count('canaries planted')).toBeGreaterThan(30);
    expect(count('files searched')).toBeGreaterThan(20);
    expect(count('packages searched')).toBe(2);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});
