/** A file of rules that is loaded at boot: read, and replaced as a whole. */
import { readFileSync } from 'node:fs';
import { HandlerError } from '@handlerkit/sdk';
import { accessError } from './errors.ts';
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

/**
 * Gives a file another text; mode, owner and label stay. What a link names is changed, not the link. Throws
 * `FIREWALL_NOT_OPENED`; then the file is untouched.
 */
export async function replaceRulesFile(
  context: StepContext,
  file: string,
  texts: { readonly former: string; readonly next: string },
  undo: Undo,
): Promise<void> {
  const target = await followLinks(context, file);
  undo.add(`the rules in ${file}`, () => writeRulesFile(context, target, texts.former));
  await writeRulesFile(context, target, texts.next);
}

/** Writes a file whole, as those of sshd are written. Throws `FIREWALL_NOT_OPENED`. */
export async function writeRulesFile(context: StepContext, file: string, text: string): Promise<void> {
  try {
    await writeSshdFile(context, file, text);
  } catch (thrown) {
    if (!(thrown instanceof HandlerError) || thrown.code !== 'SSHD_FILE_NOT_WRITTEN') throw thrown;
    throw accessError('FIREWALL_NOT_OPENED', thrown.message, { cause: thrown });
  }
}

/** What is written in place of a link would be another file than the one that it names. */
async function followLinks({ run }: StepContext, file: string): Promise<string> {
  const { stdout } = await run(['readlink', '-f', '--', file]);
  return stdout.replace(/\n$/, '') || file;
}
