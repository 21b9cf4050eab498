/** `handlerkit vm kill-at`: sets the step at which the VM is to be killed, shows it, or takes it back. */
import { ToolError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { clearFault, formatFaultStep, parseFaultStep, readFault, writeFault } from '../vm/fault.ts';
import type { VmChoice } from '../vm/local-vm.ts';
import { vmFolder, withLocalVm } from '../vm/local-vm.ts';

export interface VmKillAtOptions {
  readonly vm: VmChoice;
  /** `undefined`: show the one that is set. */
  readonly step: string | undefined;
  /** Take it back. */
  readonly clear: boolean;
}

/** Makes the VM when a step is set and there is none. Throws `NOT_POSSIBLE` for one with the real agent. */
export async function vmKillAt(options: VmKillAtOptions, context: CommandContext): Promise<void> {
  const folder = vmFolder(options.vm.folder, context);
  const step = options.step === undefined ? undefined : parseFaultStep(options.step);
  if (options.clear) clearFault(folder);
  if (step !== undefined) {
    await withLocalVm(options.vm, context, async ({ machine }) => {
      if (machine.agent !== 'embedded') throw notPossible();
      writeFault(folder, step);
    });
  }
  const armed = readFault(folder);
  const text = armed === undefined ? null : formatFaultStep(armed);
  context.ui.json({ killAt: text });
  context.ui.result(text === null ? 'No kill is set.' : `The VM will be killed at ${text}, once.`);
}

function notPossible(): ToolError {
  return new ToolError(
    'NOT_POSSIBLE',
    'The real agent does not say when it starts an operation, so nothing can be killed at one.',
    {
      hint: 'Use a VM with the embedded agent: handlerkit vm kill-at STEP --vm ANOTHER_DIR',
    },
  );
}
