/** A file of rules that is loaded at boot: read, and replaced as a whole. */
import { readFileSync, realpathSync } from 'node:fs';
import { writeSshdFile } from './sshd-files.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/** The text of a file; `undefined` when there is none. */
export function readRulesFile(context: StepContext, file: string): string | undefined {
  try {
    return readFileSync(context.host.path(file), 'utf8');
  } catch {
    return undefined;
  }
}

/** Gives a file another text; mode, owner and label stay. What a link names is changed, not the link. */
export async function replaceRulesFile(
  context: StepContext,
  file: string,
  texts: { readonly former: string; readonly next: string },
  undo: Undo,
): Promise<void> {
  const target = followLinks(context, file);
  undo.add(`the rules in ${file}`, () => writeSshdFile(context, target, texts.former));
  await writeSshdFile(context, target, texts.next);
}

function followLinks({ host }: StepContext, file: string): string {
  const real = realpathSync(host.path(file));
  const root = realpathSync(host.path('/'));
  return root === '/' || !real.startsWith(`${root}/`) ? real : real.slice(root.length);
}
