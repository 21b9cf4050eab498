import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHost } from '@handlerkit/sdk';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { replaceRulesFile } from './firewall-file.ts';
import { createContext } from './fixtures/sshd-machine.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

let folder: string;
let file: string;
let context: StepContext;
let back: () => Promise<void>;
const undo: Undo = {
  add: (_what, action) => {
    back = action;
  },
  afterSuccess: () => undefined,
};
const texts = { former: 'old rules\n', next: 'new rules\n' };

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-rules-'));
  file = join(folder, 'nftables.conf');
  writeFileSync(file, texts.former, { mode: 0o640 });
  context = await createContext(createHost());
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('replaceRulesFile', () => {
  it('changes what a link names, and takes it back', async () => {
    symlinkSync('nftables.conf', join(folder, 'link'));
    await replaceRulesFile(context, join(folder, 'link'), texts, undo);
    expect(readFileSync(file, 'utf8')).toBe(texts.next);
    await back();
    expect(readFileSync(file, 'utf8')).toBe(texts.former);
  });

  it('blames the firewall, and not sshd, for a file that cannot be written', async () => {
    mkdirSync(join(folder, '.nftables.conf.handlerkit-new'));
    await expect(replaceRulesFile(context, file, texts, undo)).rejects.toMatchObject({
      code: 'FIREWALL_NOT_OPENED',
      statusCode: -50,
      message: expect.stringContaining(`cannot write ${file}`),
    });
    expect(readFileSync(file, 'utf8')).toBe(texts.former);
  });
});
