import type { Logger } from '@handlerkit/sdk';
import { beforeEach, describe, expect, it } from 'vitest';
import { createUndoList } from './undo.ts';

let lines: string[];
let done: string[];
const quiet = (): void => undefined;
const log: Logger = {
  debug: quiet,
  info: quiet,
  warn: quiet,
  error: (message, fields) => lines.push(`${message} ${JSON.stringify(fields)}`),
  event: quiet,
};
beforeEach(() => {
  lines = [];
  done = [];
});
const fill = () => {
  const undo = createUndoList(log);
  for (const what of ['one', 'two', 'three']) {
    undo.add(what, async () => {
      if (what === 'two') throw new Error('busy');
      done.push(`undo ${what}`);
    });
    undo.afterSuccess(what, async () => {
      if (what === 'two') throw 'no error at all';
      done.push(`end ${what}`);
    });
  }
  return undo;
};

describe('what was changed', () => {
  it('is taken back from the last to the first, whatever fails on the way, which is logged and told', async () => {
    expect(await fill().rollBack()).toEqual(['two']);
    expect(done).toEqual(['undo three', 'undo one']);
    expect(lines).toEqual(['a change could not be taken back {"what":"two","reason":"busy"}']);
  });

  it('is taken back once', async () => {
    const undo = fill();
    await undo.rollBack();
    expect(await undo.rollBack()).toEqual([]);
    expect(done).toHaveLength(2);
  });

  it('stays after a success, and what waits for it is done in order', async () => {
    expect(await fill().finish()).toEqual(['two']);
    expect(done).toEqual(['end one', 'end three']);
    expect(lines).toEqual(['something could not be cleared away {"what":"two","reason":"no error at all"}']);
  });
});
