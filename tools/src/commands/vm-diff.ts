/**
 * `handlerkit vm diff`: the files that the handlers have changed in the VM, and with paths what has changed in them. The folders
 * that are the agent's own, and those for temporary files, are counted only, unless they are asked for.
 */
import { execFile } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { posix } from 'node:path';
import { promisify } from 'node:util';
import { AGENT_LOG_FILE, LIB_FOLDER, LOG_FOLDER } from '@handlerkit/sdk/contract';
import { ToolError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { formatTable } from '../ui.ts';
import type { ChangedFile } from '../vm/changed-files.ts';
import { findChangedFiles, listAdded } from '../vm/changed-files.ts';
import type { LocalVm } from '../vm/local-vm.ts';
import { requireVm, vmFolder, withLocalVm } from '../vm/local-vm.ts';
import { isBelow } from '../vm/mount-table.ts';
import { findTool } from '../vm/system-tools.ts';
import { WAAGENT_PATHS } from '../waagent/waagent-files.ts';

export interface VmDiffOptions {
  readonly folder: string;
  /** Only these and what is below them, with their differences. */
  readonly paths: readonly string[];
  /** List the agent's own files, too. */
  readonly all: boolean;
}

/** Prints one line for each change: A added, M modified, D deleted, T of another type. Throws `NOT_FOUND` without a VM, and for a path that it never had. */
export async function vmDiff(options: VmDiffOptions, context: CommandContext): Promise<void> {
  requireVm(vmFolder(options.folder, context));
  const paths = options.paths.map((path) => posix.resolve('/', path));
  await withLocalVm({ folder: options.folder }, context, async (vm) => {
    const found = findChanges(vm, context);
    const isAll = options.all || vm.machine.kind === 'relocated';
    for (const path of paths) requirePath(vm, path, found);
    const own = ownFolders(vm);
    const isOwn = (path: string): boolean => own.some((folder) => isBelow(path, folder));
    const isAsked = ({ path }: ChangedFile): boolean =>
      paths.length === 0 ? isAll || !isOwn(path) : paths.some((one) => isBelow(path, one));
    const listed = found.filter(isAsked);
    const counted = paths.length === 0 ? found.length - listed.length : 0;
    const differences = paths.length === 0 ? [] : await readDifferences(vm, listed, context);
    context.ui.json({
      changes: listed.map((change, index) => ({ ...change, difference: differences[index] ?? null })),
      ownFiles: counted,
    });
    context.ui.result(format(listed, differences, counted, own));
  });
}

const TEMPORARY = ['/run', '/tmp'];
const OWN = [LIB_FOLDER, LOG_FOLDER, posix.join(posix.dirname(LOG_FOLDER), AGENT_LOG_FILE), ...TEMPORARY];
/** What `--agent waagent` puts into the VM. */
const REAL_AGENT = [WAAGENT_PATHS.folder, WAAGENT_PATHS.program, WAAGENT_PATHS.configuration];
const NO_CHANGE = 'No file has been changed.';
const DIFF_LIMIT_BYTES = 64 * 1024 * 1024;

function ownFolders({ machine }: LocalVm): readonly string[] {
  return machine.agent === 'waagent' ? [...OWN, ...REAL_AGENT] : OWN;
}

/** A path that the VM neither has nor had is a slip of the finger. */
function requirePath({ machine }: LocalVm, path: string, found: readonly ChangedFile[]): void {
  if (found.some((change) => isBelow(change.path, path))) return;
  if (lstatSync(machine.hostPath(path), { throwIfNoEntry: false }) !== undefined) return;
  throw new ToolError('NOT_FOUND', `There is no ${path} in the VM, and none has been deleted.`, {
    hint: 'See what has been changed: handlerkit vm diff --all',
  });
}

function findChanges({ machine, folder }: LocalVm, { ui }: CommandContext): readonly ChangedFile[] {
  if (machine.kind === 'overlay') {
    const root = machine.hostPath('/');
    const kernel = ['/proc', '/sys', '/dev', '/run'];
    return [...findChangedFiles(root, machine.layers, [...kernel, folder]), ...listAdded(root, '/run')];
  }
  ui.warning(
    "A relocated VM knows only the agent's own folders: what handlers changed on this machine does not show.",
  );
  return [machine.libFolder, machine.logFolder].flatMap((path) => listAdded('/', path));
}

function format(
  changes: readonly ChangedFile[],
  differences: readonly (string | undefined)[],
  counted: number,
  own: readonly string[],
): string {
  const rows = changes.map(({ change, type, mode, bytes, path }) => [
    change,
    type,
    mode,
    String(bytes),
    path,
  ]);
  const lines = rows.length === 0 ? [NO_CHANGE] : [formatTable(rows)];
  if (counted > 0) lines.push(`And ${counted} in ${own.join(', ')}: --all lists them.`);
  return [...lines, ...differences.filter((text) => text !== undefined)].join('\n');
}

/** What `diff -u` says of each regular file, `undefined` for the others, and for all where there is no such program. */
async function readDifferences(
  vm: LocalVm,
  changes: readonly ChangedFile[],
  context: CommandContext,
): Promise<readonly (string | undefined)[]> {
  const program = findDiff(context);
  if (program === undefined) return [];
  const differences: (string | undefined)[] = [];
  for (const change of changes) {
    differences.push(
      change.type === 'file' ? await differenceOf(vm, change, program, context.signal) : undefined,
    );
  }
  return differences;
}

function findDiff({ deps, ui }: CommandContext): string | undefined {
  try {
    return findTool('diff', deps.env.PATH ?? '', 'diffutils');
  } catch {
    ui.warning(
      'The program "diff" is missing, so the lines that differ are not shown. Install the package diffutils.',
    );
    return undefined;
  }
}

async function differenceOf(
  { machine }: LocalVm,
  { change, path }: ChangedFile,
  program: string,
  signal: AbortSignal,
): Promise<string> {
  const layer = machine.layers.findLast((one) => isBelow(path, one.mountPoint) && !isBelow(path, '/run'));
  const inLayer =
    layer === undefined || layer.mountPoint === '/' ? path : path.slice(layer.mountPoint.length);
  const hasFormer = layer !== undefined && (change === 'M' || change === 'D');
  const before = hasFormer ? posix.join(layer.lower, inLayer) : NOTHING;
  const now =
    change === 'D' ? NOTHING : posix.join(machine.hostPath(posix.dirname(path)), posix.basename(path));
  const labels = [
    '--label',
    hasFormer ? `before${path}` : NOTHING,
    '--label',
    change === 'D' ? NOTHING : `now${path}`,
  ];
  try {
    const limits = { signal, maxBuffer: DIFF_LIMIT_BYTES };
    await promisify(execFile)(program, ['-u', ...labels, '--', before, now], limits);
    return '';
  } catch (thrown) {
    // Code 1: they differ.
    signal.throwIfAborted();
    return thrown instanceof Error ? String(Reflect.get(thrown, 'stdout') ?? '') : '';
  }
}

const NOTHING = '/dev/null';
