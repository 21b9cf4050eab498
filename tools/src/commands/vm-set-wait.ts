/** The waiting of `handlerkit vm set`: until the extension has succeeded or failed. */
import { interruptedError, ToolError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { firstLine } from '../ui.ts';
import type { ExtensionInstanceView } from '../vm/instance-view.ts';
import { formatInstanceView, provisioningState } from '../vm/instance-view.ts';
import type { LocalVm, ViewedExtension } from '../vm/local-vm.ts';
import { sayExplanations, viewExtensions } from '../vm/local-vm.ts';
import type { StoredExtension } from '../vm/store.ts';
import { readStore } from '../vm/store.ts';

export interface WaitOptions {
  /** Infinity: for ever. */
  readonly timeoutMs: number;
  /** A true answer ends the waiting before the end. */
  readonly isOver: () => boolean;
}

/**
 * Looks at the report until the extension has succeeded or failed, and gives all reports. Throws `TIMED_OUT`, `SUPERSEDED`, and
 * an interruption that says how the extension goes on.
 */
export async function waitUntilFinal(
  vm: LocalVm,
  extension: StoredExtension,
  { timeoutMs, isOver }: WaitOptions,
  context: CommandContext,
): Promise<readonly ViewedExtension[]> {
  const { deps, ui } = context;
  const deadline = deps.elapsedMs() + timeoutMs;
  let said: string | undefined;
  for (;;) {
    const store = readStore(vm.folder);
    const views = await viewExtensions(vm, store);
    const view = views.find((one) => one.name === extension.name);
    if (view === undefined || isReplaced(view.stored, extension)) {
      throw new ToolError('SUPERSEDED', `Another command changed or deleted "${extension.name}" meanwhile.`, {
        hint: 'See what it is now: handlerkit vm instance-view',
      });
    }
    if (provisioningState(view.report) !== 'Updating' || isOver()) return views;
    if (deps.elapsedMs() >= deadline) {
      sayExplanations(views, context);
      printViews(views, context);
      throw new ToolError('TIMED_OUT', `"${extension.name}" has not finished within the time limit.`, {
        hint: `Look into the logs: handlerkit vm logs ${extension.name}, or wait longer with --timeout-minutes.`,
      });
    }
    const state = describeWaiting(view);
    if (state !== said) ui.progress(state);
    said = state;
    await pause(context, extension.name);
  }
}

/** Prints the VM's instance view. */
export function printViews(extensions: readonly ViewedExtension[], context: CommandContext): void {
  const views: readonly ExtensionInstanceView[] = extensions.map(formatInstanceView);
  context.ui.result(JSON.stringify(views, null, 2));
  context.ui.json(views);
}

/** Milliseconds between two looks at the report. A real agent reports every 6 s; an author should not wait for that. */
const POLL_MS = 150;

/** Waits a moment. Ctrl-C ends the waiting only, and the user should know that. */
async function pause({ deps, signal }: CommandContext, name: string): Promise<void> {
  try {
    await deps.sleep(POLL_MS, signal);
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    throw interruptedError(
      `"${name}" goes on in the VM. See how it fares with handlerkit vm instance-view, or end it with handlerkit vm delete ${name}.`,
    );
  }
}

function isReplaced(now: StoredExtension, then: StoredExtension): boolean {
  return now.sequence !== then.sequence || now.packageDigest !== then.packageDigest;
}

function describeWaiting(view: ViewedExtension): string {
  const status = formatInstanceView(view).statuses[0];
  return `  ${status?.displayStatus ?? 'Waiting'}: ${firstLine(status?.message)}`;
}
