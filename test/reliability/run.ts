/**
 * Program: carries out the campaigns in their long form and prints their figures as one table. Run with
 * `npm run reliability`, with the names of campaigns for only these, and with `--short` for the short form. Ends with 1 when
 * a promise is broken, with 2 when there is no such campaign or option.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleTool } from '../bundled-tool.ts';
import { TOOL_VARIABLE } from '../handlerkit-command.ts';
import { packZips } from '../packed-zip.ts';
import type { Campaign, CampaignContext, CampaignSize, Figure } from './campaign.ts';
import { CAMPAIGNS } from './campaigns.ts';

async function main(words: readonly string[]): Promise<void> {
  const size: CampaignSize = words.includes('--short') ? 'short' : 'long';
  const names = words.filter((word) => word !== '--short');
  const unknown = names.filter((name) => CAMPAIGNS.every((campaign) => campaign.name !== name));
  if (unknown.length > 0) {
    const known = CAMPAIGNS.map(({ name }) => name).join(', ');
    say(`no campaign ${unknown.join(', ')}; there are ${known}, and the option --short`);
    process.exitCode = 2;
    return;
  }
  const chosen = CAMPAIGNS.filter(({ name }) => names.length === 0 || names.includes(name));
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-reliability-'));
  try {
    say('Packing the extensions');
    process.env[TOOL_VARIABLE] = bundleTool(folder);
    const zips = await packZips(folder);
    const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores`;
    print(`${new Date().toISOString().slice(0, 10)}, ${machine}, ${size} form`);
    for (const campaign of chosen) {
      await carryOut(campaign, size, { zips, work: mkdtempSync(join(folder, 'work-')), progress: say });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function carryOut(campaign: Campaign, size: CampaignSize, context: CampaignContext): Promise<void> {
  say(`${campaign.name} begins`);
  const started = performance.now();
  try {
    const figures = await campaign.run(size, context);
    const seconds = Math.round((performance.now() - started) / 1000);
    print(`\n${campaign.name} (${seconds} s)`);
    for (const figure of figures) print(row(figure));
    if (figures.some(({ isMet }) => isMet === false)) process.exitCode = 1;
  } catch (error) {
    process.exitCode = 1;
    print(
      `\n${campaign.name} could not be carried out: ${error instanceof Error ? error.message : String(error)}`,
    );
  } finally {
    rmSync(context.work, { recursive: true, force: true });
  }
}

function row({ what, value, unit, wanted, isMet }: Figure): string {
  const shown = typeof value === 'number' ? String(Math.round(value * 100) / 100) : value;
  const verdict = isMet === undefined ? '' : isMet ? 'met' : 'BROKEN';
  const promise = wanted === undefined ? '' : `wanted: ${wanted}`;
  return `  ${what.padEnd(70)} ${`${shown} ${unit ?? ''}`.trim().padStart(12)}   ${promise.padEnd(24)} ${verdict}`.trimEnd();
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

await main(process.argv.slice(2));
