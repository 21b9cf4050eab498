/** Extensions that wait for others. Source: agent-contract 7.6. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { CaseGroup } from './agent-cases.ts';
import { planned, writeStatusText } from './observer-package.ts';

const status = (value: string): string => writeStatusText(`[{"status": {"status": "${value}"}}]`);

export const describeDependencies: CaseGroup = (vm) => {
  let first = '';
  let second = '';
  const inShort = (commands: readonly { handlerName: string; operation: string }[]): string[] =>
    commands.map(({ handlerName, operation }) => `${operation} ${handlerName.replace('Observer.', '')}`);

  it('enables an extension after the one that it needs, whichever came first', async () => {
    first = vm().pack({ type: 'First', version: '1.0.0' });
    second = vm().pack({ type: 'Second', version: '1.0.0' });
    await vm().apply(second);
    await vm().apply(first);
    const ordered = await vm().apply(second, { public: { n: 1 } }, ['--provision-after', 'First']);
    expect(inShort(ordered.commands)).toEqual(['enable First', 'enable Second']);
  });

  it('waits until the needed one has reported success', async () => {
    const later = `${status('transitioning')}\n(sleep 2; ${status('success')}; date +%s%N >"$log/done") >/dev/null 2>&1 &`;
    const waited = await vm().apply(first, planned(later));
    expect(inShort(waited.commands)).toEqual(['enable First', 'enable Second']);
    const done = readFileSync(vm().log('First', 'done'), 'utf8').trim();
    expect((waited.commands[1]?.time ?? '') > done).toBe(true);
  });

  it('leaves out what needs an extension that reports an error', async () => {
    const { commands } = await vm().apply(first, planned(status('error')));
    expect(inShort(commands)).toEqual(['enable First']);
    expect(vm().handlerStatus('Second', '1.0.0')).toEqual({
      status: 'NotReady',
      code: -1,
      message: 'Dependent Extension Observer.First did not succeed. Status was error',
    });
  });

  it('leaves out what needs an extension whose command fails', async () => {
    const { commands } = await vm().apply(first, planned('fail 1'));
    expect(inShort(commands)).toEqual(['enable First']);
    expect(vm().handlerStatus('Second', '1.0.0')).toMatchObject({
      code: -1,
      message:
        'Skipping processing of extensions since execution of dependent extension Observer.First failed',
    });
  });
};
