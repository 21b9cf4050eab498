/** The crash campaign in its short form. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { CRASH_SIZES, crashHandlers } from './crash-campaign.ts';
import { shortForm } from './short-form.ts';

it('A1, A2, A4, A6: a killed enable leaves one final status, one run at most and nothing else once the agent asks again', async () => {
  const work = mkdtempSync(join(tmpdir(), 'handlerkit-crash-'));
  try {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const { problems, kills } = await crashHandlers(CRASH_SIZES.short, seed, shortForm(work));
    expect({ seed, problems }).toEqual({ seed, problems: [] });
    expect([...kills.values()].reduce((all, count) => all + count, 0)).toBeGreaterThanOrEqual(30);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});
