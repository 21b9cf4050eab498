/** One look at a VM for the page: what the commands `vm list`, `vm instance-view` and `vm logs` show of it, bounded. */
import { redactUrls } from '@handlerkit/sdk';
import { listLogFiles } from '../commands/vm-logs.ts';
import { toToolError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { agentLogPath } from '../vm/agent-records.ts';
import type { InstanceViewStatus } from '../vm/instance-view.ts';
import { explainReport, formatInstanceView, provisioningState } from '../vm/instance-view.ts';
import type { LocalVm, ViewedExtension } from '../vm/local-vm.ts';
import { viewExtensions, vmFolder, withLocalVm } from '../vm/local-vm.ts';
import { openLogTail } from '../vm/log-tail.ts';
import { findState, readMark } from '../vm/machine-state.ts';
import { isLeaving, readStore } from '../vm/store.ts';
import { readOperations } from './operation-timeline.ts';
import type {
  PageState,
  ShownExtension,
  ShownLog,
  ShownProblem,
  ShownSettings,
  ShownStatus,
} from './page-state.ts';
import type { ProtectedKeyReader } from './protected-keys.ts';

/** What was seen: the state without what the server itself knows, and the logs. */
export interface Snapshot {
  readonly state: Omit<PageState, 'actions'>;
  readonly logs: readonly ShownLog[];
}

/** Looks at the VM. A VM without goal state is not opened. Never rejects: what went wrong is in the state. */
export async function takeSnapshot(
  folder: string,
  readKeys: ProtectedKeyReader,
  context: CommandContext,
): Promise<Snapshot> {
  const path = vmFolder(folder, context);
  const nothing = { extensions: [], operations: [], problem: null };
  try {
    const vm = describeVm(path);
    const store = readStore(path);
    if (store.incarnation === 0 || vm.isolation === null) return { state: { vm, ...nothing }, logs: [] };
    return await withLocalVm({ folder }, context, async (open) => {
      const views = await viewExtensions(open, store);
      const extensions = await Promise.all(views.map((view) => showExtension(open, view, readKeys)));
      const logs = await readLogs(open);
      return { state: { vm, extensions, operations: readTimeline(open), problem: null }, logs };
    });
  } catch (thrown) {
    const vm = { folder: path, agent: '', isolation: null, network: '' };
    return { state: { vm, ...nothing, problem: showProblem(thrown) }, logs: [] };
  }
}

/** What the page shows of an error. */
export function showProblem(thrown: unknown): ShownProblem {
  const { code, message, hint } = toToolError(thrown);
  return { code, message: clip(message), hint: hint ?? null };
}

/** The beginning of a text that may be long. */
export function clip(text: string): string {
  return text.length <= MOST_CHARACTERS ? text : `${text.slice(0, MOST_CHARACTERS)}\n… (cut)`;
}

const MOST_CHARACTERS = 8_000;
const MOST_SUBSTATUSES = 50;
const MOST_OPERATIONS = 100;
const MOST_LOGS = 30;
const LOG_TAIL_BYTES = 32 * 1024;
const TIMELINE_BYTES = 512 * 1024;

function describeVm(folder: string): PageState['vm'] {
  const state = findState(folder);
  const mark = state === undefined ? undefined : readMark(state);
  return {
    folder,
    agent: mark?.agent ?? 'embedded',
    isolation: mark?.kind ?? null,
    network: mark?.kind === 'relocated' ? 'host' : (mark?.network ?? 'loopback'),
  };
}

async function showExtension(
  { machine }: LocalVm,
  view: ViewedExtension,
  readKeys: ProtectedKeyReader,
): Promise<ShownExtension> {
  const { stored, report } = view;
  const { statuses, substatuses, typeHandlerVersion } = formatInstanceView(view);
  const keys = await readKeys(machine, stored.settings);
  return {
    name: stored.name,
    publisher: stored.publisher,
    type: stored.type,
    version: stored.version,
    reportedVersion: typeHandlerVersion,
    sequence: stored.sequence,
    provisioningState: isLeaving(stored) ? 'Deleting' : provisioningState(report, stored),
    statuses: statuses.map(showStatus),
    substatuses: (substatuses ?? []).slice(0, MOST_SUBSTATUSES).map(showStatus),
    handlerStatus: report?.status ?? null,
    handlerCode: report?.code ?? 0,
    explanations: explainReport(view).map((sentence) => clip(sentence.slice(`${view.name}: `.length))),
    settings: showSettings(view, keys),
  };
}

function showStatus({ code, displayStatus, level, message }: InstanceViewStatus): ShownStatus {
  return { code, displayStatus, level, message: clip(message ?? '') };
}

function showSettings({ stored }: ViewedExtension, keys: readonly string[] | undefined): ShownSettings {
  const given = stored.settings?.public ?? null;
  const hasProtected = (stored.settings?.protected ?? null) !== null;
  return {
    publicText: given === null ? null : clip(redactUrls(JSON.stringify(given, null, 2))),
    protectedKeys: hasProtected ? (keys ?? []) : null,
    isUnreadable: hasProtected && keys === undefined,
  };
}

function readTimeline({ machine }: LocalVm): PageState['operations'] {
  const path = machine.hostPath(agentLogPath(machine));
  return readOperations(openLogTail(path, TIMELINE_BYTES).read(), MOST_OPERATIONS);
}

async function readLogs(vm: LocalVm): Promise<readonly ShownLog[]> {
  const files = (await listLogFiles(vm)).slice(0, MOST_LOGS);
  return files.flatMap(({ shown, path }) => {
    const text = openLogTail(path, LOG_TAIL_BYTES).read();
    if (text === '') return [];
    const isCut = Buffer.byteLength(text) >= LOG_TAIL_BYTES;
    // From the beginning of a line.
    return [{ file: shown, text: isCut ? text.slice(text.indexOf('\n') + 1) : text, isCut }];
  });
}
