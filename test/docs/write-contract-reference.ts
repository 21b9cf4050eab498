/** `npm run docs:contract`: writes the pages of `docs/contract` anew, and removes those of artefacts that are no more. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../handlerkit-command.ts';
import { CONTRACT_PAGES, formatContractPages } from './contract-reference.ts';

const folder = join(REPOSITORY, CONTRACT_PAGES);
const pages = formatContractPages();
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder)) if (!pages.has(name)) rmSync(join(folder, name));
for (const [name, text] of pages) writeFileSync(join(folder, name), text);
