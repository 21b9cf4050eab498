/**
 * What can be done from the page. Each action is a command of the tool, run as from a terminal, with a voice of its own that the
 * page shows; one at a time.
 */
import * as z from 'zod';
import { vmDelete } from '../commands/vm-delete.ts';
import { vmReboot } from '../commands/vm-reboot.ts';
import { vmSet } from '../commands/vm-set.ts';
import { interruptedError, ToolError, usageError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { createUi } from '../ui.ts';
import type { VmChoice } from '../vm/local-vm.ts';
import type { ShownAction } from './page-state.ts';
import type { Uploads } from './uploads.ts';
import { clip, showProblem } from './vm-snapshot.ts';

export interface PageActions {
  /** Those of late, the newest last. */
  list(): readonly ShownAction[];
  /** Starts what was asked for. Throws `WRONG_USAGE` for a malformed request, `BUSY` while another one runs. */
  start(request: unknown): ShownAction;
  /** Gives the running one up, as Ctrl-C does. */
  stop(): void;
  /** Waits until none runs. */
  settled(): Promise<void>;
}

export interface ActionOptions {
  readonly vm: VmChoice;
  readonly uploads: Uploads;
  readonly onChange: () => void;
}

/** Of `context` only the world counts: what an action says goes to the page. */
export function createPageActions(options: ActionOptions, context: CommandContext): PageActions {
  const { deps, signal } = context;
  const actions: Writable[] = [];
  let running: { readonly controller: AbortController; readonly ended: Promise<void> } | undefined;
  let lastId = 0;
  return {
    list: () => actions.map((action) => ({ ...action, lines: [...action.lines] })),
    start(request) {
      const { title, run } = readRequest(request, options);
      if (running !== undefined) throw busy(actions.at(-1)?.title ?? '');
      lastId += 1;
      const action: Writable = {
        id: lastId,
        title,
        startedAt: deps.now().toISOString(),
        outcome: 'running',
        lines: [],
        problem: null,
      };
      actions.push(action);
      if (actions.length > MOST_ACTIONS) actions.shift();
      const say = (text: string): void => {
        action.lines = [...action.lines, clip(text.trimEnd())].slice(-MOST_LINES);
        options.onChange();
      };
      const controller = new AbortController();
      const forward = (): void => controller.abort(signal.reason);
      signal.addEventListener('abort', forward, { once: true });
      if (signal.aborted) forward();
      const work = async (): Promise<void> => {
        try {
          await run(actionContext(context, controller, say));
          action.outcome = 'succeeded';
        } catch (thrown) {
          action.outcome = 'failed';
          action.problem = showProblem(thrown);
        } finally {
          signal.removeEventListener('abort', forward);
          running = undefined;
          options.onChange();
        }
      };
      running = { controller, ended: work() };
      options.onChange();
      return action;
    },
    stop: () => running?.controller.abort(interruptedError()),
    settled: async () => {
      await running?.ended;
    },
  };
}

type Writable = { -readonly [Key in keyof ShownAction]: ShownAction[Key] };
type Run = (context: CommandContext) => Promise<void>;

const MOST_ACTIONS = 20;
const MOST_LINES = 200;

const Text = z.string().max(4096);
const JsonText = z.string().max(1024 * 1024);
const Request = z.discriminatedUnion('action', [
  z.strictObject({
    action: z.literal('set'),
    package: z.union([z.strictObject({ path: Text.min(1) }), z.strictObject({ upload: Text })]),
    settings: JsonText.optional(),
    protectedSettings: JsonText.optional(),
    keepSettings: z.boolean().optional(),
    name: Text.min(1).optional(),
    forceUpdateTag: Text.min(1).optional(),
  }),
  z.strictObject({ action: z.literal('delete'), name: Text.min(1) }),
  z.strictObject({ action: z.literal('reboot') }),
]);

function readRequest(value: unknown, options: ActionOptions): { title: string; run: Run } {
  const { success, data: request } = Request.safeParse(value);
  if (!success) throw usageError('The page has sent what this tool does not know.', 'Load the page anew.');
  const { vm } = options;
  if (request.action === 'delete') {
    const run: Run = (context) => vmDelete({ folder: vm.folder, name: request.name }, context);
    return { title: `Delete ${request.name}`, run };
  }
  // The page shows how the extensions fare, so nobody has to wait for them, and the next action can begin.
  if (request.action === 'reboot') {
    return { title: 'Reboot', run: (context) => vmReboot({ folder: vm.folder, wait: false }, context) };
  }
  const { keepSettings = false, name, forceUpdateTag } = request;
  const given = 'path' in request.package ? undefined : options.uploads.find(request.package.upload);
  const file = 'path' in request.package ? request.package.path : given?.path;
  if (file === undefined) {
    throw usageError('The uploaded zip is not there any more.', 'Choose the file again.');
  }
  const settings = settingsText('settings', request.settings);
  const protectedSettings = settingsText('protected-settings', request.protectedSettings);
  if (keepSettings && (settings !== undefined || protectedSettings !== undefined)) {
    throw usageError('Settings are either kept or given.', 'Empty the settings, or do not keep them.');
  }
  const run: Run = (context) =>
    vmSet(
      {
        vm,
        package: file,
        settings,
        protectedSettings,
        keepSettings,
        name,
        forceUpdateTag,
        identity: {},
        wait: false,
        timeoutMinutes: '90',
      },
      context,
    );
  return { title: `Apply ${given?.name ?? file}`, run };
}

/** JSON only: the command would take the name of a file, too, and the page is not to have files read. */
function settingsText(option: string, text: string | undefined): string | undefined {
  const trimmed = text?.trim() ?? '';
  if (trimmed === '') return undefined;
  if (trimmed.startsWith('{')) return trimmed;
  throw usageError(`--${option} must be a JSON object.`, 'For instance: {"key": "value"}');
}

function busy(title: string): ToolError {
  return new ToolError('BUSY', `The VM is busy: ${title}.`, { hint: 'Wait until it has ended, or stop it.' });
}

function actionContext(
  context: CommandContext,
  controller: AbortController,
  say: (text: string) => void,
): CommandContext {
  const voice = { write: say };
  return {
    deps: { ...context.deps, stdout: silent, stderr: voice, terminal: undefined },
    // The result, an instance view, is on the page already.
    ui: createUi({ stdout: silent, stderr: voice, env: {}, json: false, quiet: false, verbose: false }),
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
  };
}

const silent = { write: (): void => {} };
