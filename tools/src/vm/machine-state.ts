/**
 * The folder that holds a VM on disk: its mark, its locks, the record of its keeper and what its handlers changed.
 * Nothing is deleted unless the mark says that this tool made the folder.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, rmdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isSystemError, writeWholeFile } from '@handlerkit/sdk';
import * as z from 'zod';
import { makeFolders } from '../folders.ts';
import type { ProcessName } from './linux-process.ts';
import { MachineError } from './machine-error.ts';
import { isBelow, parseMountInfo } from './mount-table.ts';

export type MachineKind = 'overlay' | 'relocated';
/** `host`: the machine's network. `loopback`: a network of the VM's own, with nothing in it but loopback. */
export type Network = 'host' | 'loopback';
/** Who works on the goal state: the tool itself, or Debian's package of the Azure Linux Agent. */
export type AgentKind = 'embedded' | 'waagent';

const Mark = z.object({
  format: z.literal('handlerkit-vm/1'),
  id: z.uuid(),
  /** Absent until it is known what the machine allows. */
  kind: z.enum(['overlay', 'relocated']).optional(),
  /** Why the VM is no overlay although one was wanted. */
  reason: z.string().optional(),
  /** Overlay only; the network that the VM gets when it starts. */
  network: z.enum(['host', 'loopback']).optional(),
  /** Overlay only: absolute path of the root file system below the VM's changes; absent: this machine's. */
  rootfs: z.string().optional(),
  /** Absent: embedded. */
  agent: z.enum(['embedded', 'waagent']).optional(),
});
const KeeperRecord = z.object({
  pid: z.number().int().positive(),
  started: z.string(),
  network: z.enum(['host', 'loopback']),
  /** Mounts that the VM shows read-only because they could not be overlaid. */
  readOnly: z.array(z.string()),
});

export type Mark = z.infer<typeof Mark>;
export interface KeeperRecord extends ProcessName {
  readonly network: Network;
  readonly readOnly: readonly string[];
}

export interface MachineState {
  /** Absolute, without symlinks. */
  readonly folder: string;
  /** Held while a VM is made, opened or destroyed. */
  readonly creationLock: string;
  /** Shared by the tools that use the VM; the keeper waits for it to be free. */
  readonly useLock: string;
  /** Where the overlay is put together; in a relocated VM the agent's folders. */
  readonly root: string;
  /** The VM's `/run`, empty after a reboot. */
  readonly runFolder: string;
}

const MARK_FILE = 'vm.json';
const LOCK_FILE = 'creation.lock';
const KEEPER_FILE = 'keeper.json';
const BOOT_ID_FILE = 'boot-id';

/**
 * Makes the folder if need be. Throws `vm-folder-not-ours` for a folder that holds other things, `vm-folder-damaged` for
 * a VM whose mark cannot be read, and the system's error when no folder can be made there.
 */
export function prepareState(stateFolder: string): MachineState {
  makeFolders(resolve(stateFolder), 0o700);
  const state = describe(realpathSync(stateFolder));
  if (readMark(state) === undefined) refuseForeign(state);
  return state;
}

/**
 * The folder of an existing VM; `undefined` when there is no folder or an empty one. Throws `vm-folder-not-ours`,
 * `vm-folder-damaged`.
 */
export function findState(stateFolder: string): MachineState | undefined {
  let folder: string;
  try {
    folder = realpathSync(stateFolder);
  } catch {
    return undefined;
  }
  const state = describe(folder);
  if (readMark(state) !== undefined) return state;
  refuseForeign(state);
  return undefined;
}

export function readMark(state: MachineState): Mark | undefined {
  return readRecord(join(state.folder, MARK_FILE), Mark);
}

/** The mark of a VM that is only being made. */
export function newMark(): Mark {
  return { format: 'handlerkit-vm/1', id: randomUUID() };
}

export function writeMark(state: MachineState, mark: Mark): Mark {
  writeWholeFile(join(state.folder, MARK_FILE), JSON.stringify(mark));
  return mark;
}

/** `undefined` when there is none. Whether the process still lives is for the caller to see. */
export function readKeeper(state: MachineState): KeeperRecord | undefined {
  return readRecord(join(state.folder, KEEPER_FILE), KeeperRecord);
}

export function writeKeeper(state: MachineState, record: KeeperRecord): void {
  writeWholeFile(join(state.folder, KEEPER_FILE), JSON.stringify(record));
}

/** Boot id that the last reboot of the VM gave it; `undefined` until then, and the kernel's own counts. */
export function readBootId(state: MachineState): { id: string; file: string } | undefined {
  const file = join(state.folder, BOOT_ID_FILE);
  try {
    return { id: readFileSync(file, 'utf8').trim(), file };
  } catch {
    return undefined;
  }
}

export function writeBootId(state: MachineState, id: string): void {
  writeWholeFile(join(state.folder, BOOT_ID_FILE), `${id}\n`);
}

/** Upper and work folder for what is mounted at `mountPoint`; relative to the state folder, free of `,` and `:`. */
export function layerOf(mountPoint: string): { upper: string; work: string; file: string } {
  const layer = `layers/${encodeURIComponent(mountPoint)}`;
  return { upper: `${layer}/upper`, work: `${layer}/work`, file: `${layer}/file` };
}

/** The folders with the VM's changes to each mount that has been overlaid so far, outer ones first. */
export function listLayers(state: MachineState): { mountPoint: string; upper: string }[] {
  return readdirSync(join(state.folder, 'layers'))
    .map(decodeURIComponent)
    .map((mountPoint) => ({ mountPoint, upper: join(state.folder, layerOf(mountPoint).upper) }))
    .filter(({ upper }) => existsSync(upper))
    .sort((a, b) => a.mountPoint.length - b.mountPoint.length);
}

/** Deletes all that a VM has on disk, the mark last. The VM's processes must have ended. */
export function deleteState(state: MachineState): void {
  const mounts = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'));
  const mounted = mounts.find((mount) => isBelow(mount.mountPoint, state.folder));
  if (mounted !== undefined) {
    throw new MachineError(
      'vm-folder-in-use',
      `${mounted.mountPoint} is a mount inside the VM's folder, so the folder is not deleted.`,
      `Unmount it and run the command again: umount ${mounted.mountPoint}`,
    );
  }
  const entries = readdirSync(state.folder).filter((entry) => entry !== MARK_FILE && entry !== LOCK_FILE);
  for (const entry of [...entries, MARK_FILE, LOCK_FILE]) {
    rmSync(join(state.folder, entry), { recursive: true, force: true });
  }
  try {
    rmdirSync(state.folder);
  } catch (error) {
    // Another tool waits for the lock already and will make its VM here.
    if (!isSystemError(error, 'ENOTEMPTY')) throw error;
  }
}

function describe(folder: string): MachineState {
  return {
    folder,
    creationLock: join(folder, LOCK_FILE),
    useLock: join(folder, 'use.lock'),
    root: join(folder, 'root'),
    runFolder: join(folder, 'run'),
  };
}

function refuseForeign(state: MachineState): void {
  const entries = readdirSync(state.folder);
  // A tool that died while it made the VM leaves only these.
  const other = entries.find((entry) => entry !== LOCK_FILE && !entry.startsWith(MARK_FILE));
  if (other === undefined) return;
  if (entries.includes(MARK_FILE)) {
    throw new MachineError(
      'vm-folder-damaged',
      `${join(state.folder, MARK_FILE)} is damaged, or of another version of handlerkit, so nothing here is touched.`,
      `If this is a VM that you can do without, delete its folder by hand: rm -r ${state.folder}`,
    );
  }
  throw new MachineError(
    'vm-folder-not-ours',
    `${state.folder} is not the folder of a VM: it holds ${JSON.stringify(other)} and no ${MARK_FILE} of handlerkit.`,
    'Name an empty folder, or one that does not exist: --vm DIR',
  );
}

function readRecord<T>(file: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    if (isSystemError(error, 'EACCES')) {
      throw new MachineError(
        'vm-folder-not-ours',
        `${file} belongs to another user.`,
        'Run the command as that user, or name another folder: --vm DIR',
      );
    }
    return undefined;
  }
}
