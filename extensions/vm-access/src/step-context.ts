/**
 * What the steps of a run are given. When changes are taken back after an abort, programs must run all the same, so
 * from then on the context has a signal that is not aborted.
 */
import type { EnableContext } from '@handlerkit/sdk';
import type { RunCommand } from './command.ts';
import { createRunCommand } from './command.ts';
import type { Distro } from './distro.ts';
import type { StepContext } from './step.ts';

/** What is needed of the context of enable. */
export type AccessContext = Pick<
  EnableContext<Record<string, unknown>, Record<string, unknown>>,
  'host' | 'log' | 'signal' | 'redact' | 'dataFolder'
>;

/** The context of a run, and its way into taking back. */
export interface SteppedContext {
  readonly context: StepContext;
  /** From now on `context.signal` is another one, and programs that are run are not ended by the first one. */
  beginTakingBack(): void;
}

/** Makes the context. */
export function createStepContext(enable: AccessContext, distro: Distro): SteppedContext {
  const { host, log, dataFolder, redact } = enable;
  let { signal } = enable;
  let runNow = createRunCommand(host, signal, redact);
  const run: RunCommand = (argv, options) => runNow(argv, options);
  return {
    context: {
      host,
      log,
      run,
      distro,
      dataFolder,
      get signal() {
        return signal;
      },
    },
    beginTakingBack: () => {
      ({ signal } = new AbortController());
      runNow = createRunCommand(host, signal, redact);
    },
  };
}
