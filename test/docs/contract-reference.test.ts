import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as contract from '@handlerkit/sdk/contract';
import { expect, it } from 'vitest';
import { REPOSITORY } from '../handlerkit-command.ts';
import { CONTRACT_PAGES, formatContractPages } from './contract-reference.ts';

const pages = formatContractPages();

it('is what `npm run docs:contract` makes of the docstrings', () => {
  const folder = join(REPOSITORY, CONTRACT_PAGES);
  const written = Object.fromEntries(
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
  );
  expect(written).toEqual(Object.fromEntries(pages));
});

it('has every name of the contract', () => {
  const text = [...pages.values()].join('\n');
  const missing = Object.keys(contract).filter(
    (name) => !new RegExp(`^(?:### ${name}(?:\\(\\))?$|\\| \`${name}\`)`, 'm').test(text),
  );
  expect(missing).toEqual([]);
});

it('says of every artefact what it is, and of no name where a fact comes from twice', () => {
  for (const [name, text] of pages) {
    expect(text.split('\n')[4], name).toMatch(/\w+ \w+/);
    expect(text, name).not.toMatch(/Source: Source:|Source: ;|\{@link/);
  }
});
