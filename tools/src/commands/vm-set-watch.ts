/**
 * `handlerkit vm set DIR --watch`: packs and applies, and again after every change. What goes wrong is shown and waited on; only
 * what no change of the sources can mend ends the command before Ctrl-C does.
 */
import { TOOL_EXIT_CODES, ToolError, toToolError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { vmFolder } from '../vm/local-vm.ts';
import { MachineError } from '../vm/machine.ts';
import { type ProjectWatch, watchProject } from '../vm/project-watch.ts';
import { settingsFile } from '../vm/settings-argument.ts';
import type { SetRound, VmSetOptions } from './vm-set.ts';

/** One application of the extension. */
export type SetOnce = (options: VmSetOptions, round: SetRound, context: CommandContext) => Promise<void>;

/** Goes on until the signal; then throws an interruption that says that the VM stays. */
export async function watchAndSet(
  options: VmSetOptions,
  folder: string,
  setOnce: SetOnce,
  context: CommandContext,
): Promise<void> {
  const { ui, signal } = context;
  const others = settingsFiles(options, context);
  const watch = watchProject({ folder, ignored: vmFolder(options.vm.folder, context), others });
  try {
    for (let isFirst = true; ; isFirst = false) {
      await watch.begin();
      try {
        await setOnce(options, { noteInputs: watch.noteInputs, isOver: watch.hasChanged }, context);
      } catch (thrown) {
        if (signal.aborted || (isFirst && isBeyondSources(thrown))) throw thrown;
        ui.error(toToolError(thrown));
      }
      ui.progress(`Waiting for a change in ${folder}. Ctrl-C ends the watch; the VM stays.`);
      ui.progress(`Changed: ${formatNames(await nextChange(watch, signal))}`);
    }
  } finally {
    watch.close();
  }
}

const SHOWN_NAMES = 5;

async function nextChange(watch: ProjectWatch, signal: AbortSignal): Promise<readonly string[]> {
  try {
    return await watch.changed(signal);
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    throw new ToolError('INTERRUPTED', 'The watch has ended. The VM stays as it is.', {
      hint: 'See how it fares: handlerkit vm instance-view. To end it: handlerkit vm reset',
      exitCode: TOOL_EXIT_CODES.interrupted,
    });
  }
}

function isBeyondSources(thrown: unknown): boolean {
  return thrown instanceof MachineError || toToolError(thrown).exitCode === TOOL_EXIT_CODES.wrongUsage;
}

function settingsFiles(
  { settings, protectedSettings }: VmSetOptions,
  { deps }: CommandContext,
): readonly string[] {
  return [settings, protectedSettings].flatMap((value) => {
    const file = value === undefined ? undefined : settingsFile(value, deps.cwd);
    return file === undefined ? [] : [file];
  });
}

function formatNames(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN_NAMES).join(', ');
  return names.length > SHOWN_NAMES ? `${shown} and ${names.length - SHOWN_NAMES} more` : shown;
}
