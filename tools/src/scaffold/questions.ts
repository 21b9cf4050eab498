/** The questions of `handlerkit init`, asked on a terminal: each with the answer that Enter gives. */
import { createInterface } from 'node:readline/promises';

/** Asks one question and gives the answer, or `preset` for an empty one. */
export type Ask = (question: string, preset: string) => Promise<string>;

/** What a terminal is made of. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
}

/**
 * Runs `questions` with a voice on the terminal, and closes it afterwards. Rejects with the signal's reason when it is
 * aborted, and with `ended` when the input ends before an answer.
 */
export async function onTerminal<Answers>(
  terminal: Terminal,
  signal: AbortSignal,
  ended: () => Error,
  questions: (ask: Ask) => Promise<Answers>,
): Promise<Answers> {
  const lines = createInterface({ ...terminal, terminal: false });
  const closed = new Promise<never>((_resolve, reject) => {
    lines.once('close', () => reject(signal.aborted ? signal.reason : ended()));
  });
  const aborted = (): void => lines.close();
  signal.addEventListener('abort', aborted);
  // Without a question under way nobody waits for it.
  closed.catch(() => undefined);
  try {
    return await questions(async (question, preset) => {
      const answer = await Promise.race([lines.question(`${question} [${preset}]: `, { signal }), closed]);
      return answer.trim() || preset;
    });
  } catch (thrown) {
    throw signal.aborted ? signal.reason : thrown;
  } finally {
    signal.removeEventListener('abort', aborted);
    lines.close();
  }
}
