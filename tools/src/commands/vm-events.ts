/**
 * `handlerkit vm events`: the telemetry events that the agent took from the VM, and why it lost others. Collects what lies
 * there now; `--follow` goes on until the user stops it.
 */
import { usageError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import type { LoggedEvent } from '../vm/event-log.ts';
import { collectVmEvents, readEventLog } from '../vm/event-log.ts';
import { requireExtension, vmFolder, withLocalVm } from '../vm/local-vm.ts';
import { handlerNameOf, readStore } from '../vm/store.ts';

export interface VmEventsOptions {
  readonly folder: string;
  /** `undefined`: those of all extensions, also of deleted ones. */
  readonly name: string | undefined;
  readonly follow: boolean;
}

/** Prints the events, the oldest first, with `--json` as an array. Throws `NOT_FOUND` for an unknown extension. */
export async function vmEvents(options: VmEventsOptions, context: CommandContext): Promise<void> {
  const { ui, deps, signal } = context;
  if (options.follow && ui.isJson) {
    throw usageError(
      '--follow never ends, so there is no one JSON document.',
      'Leave out --json or --follow.',
    );
  }
  const store = readStore(vmFolder(options.folder, context));
  const handlerName =
    options.name === undefined ? undefined : handlerNameOf(requireExtension(store, options.name));
  const isWanted = (event: LoggedEvent): boolean =>
    handlerName === undefined || event.handlerName.toLowerCase() === handlerName.toLowerCase();
  // A VM that never had an extension is not opened: looking at it makes nothing.
  if (store.incarnation === 0 && !options.follow) {
    ui.progress('No events.');
    ui.json([]);
    return;
  }
  await withLocalVm({ folder: options.folder }, context, async (vm) => {
    let shown = 0;
    const round = async (): Promise<readonly LoggedEvent[]> => {
      await collectVmEvents(vm, context);
      const events = readEventLog(vm.folder, shown);
      shown += events.length;
      const wanted = events.filter(isWanted);
      for (const event of wanted) ui.result(formatLine(event));
      return wanted;
    };
    const first = await round();
    if (first.length === 0 && !options.follow) ui.progress('No events.');
    ui.json(first);
    while (options.follow) {
      await deps.sleep(FOLLOW_MS, signal);
      await round();
    }
  });
}

const FOLLOW_MS = 500;

function formatLine({ collectedAt, handlerName, file, event, dropped }: LoggedEvent): string {
  if (event === undefined) return `${collectedAt} ${handlerName} lost ${file}: ${dropped ?? ''}`;
  return `${event.timestamp} ${handlerName}-${event.version} ${event.level} ${event.taskName}: ${event.message}`;
}
