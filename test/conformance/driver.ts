/**
 * One way to run an extension, so that each rule is stated once and holds for all: in this process on a test machine,
 * or packed, on the local VM (overlay as root, relocated folders for everybody).
 */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as customScript from '@handlerkit/custom-script';
import type { HandlerDefinition } from '@handlerkit/sdk';
import type { Status } from '@handlerkit/sdk/contract';
import {
  agentHandlerEnvironment,
  formatHandlerFolder,
  formatHandlerName,
  formatStatusFile,
  parseStatus,
  RUNTIME_POLICY_FILE,
  STATUS_FOLDER,
} from '@handlerkit/sdk/contract';
import { createTestMachine } from '@handlerkit/sdk/testing';
import * as vmAccess from '@handlerkit/vm-access';
import { createLocalVm } from '../local-vm.ts';

export interface AppliedSettings {
  readonly public?: Readonly<Record<string, unknown>>;
  readonly protected?: Readonly<Record<string, unknown>>;
}

export interface Outcome {
  /** The status file of the sequence, parsed. */
  readonly status: Status;
  readonly sequence: number;
}

export interface Driver {
  /** Applies settings as a user does: other ones than before get a new sequence number. Waits for the final status. */
  apply(settings: AppliedSettings): Promise<Outcome>;
  /** A new goal state with the same settings: the agent runs enable again. */
  reapply(): Promise<Outcome>;
  delete(): Promise<void>;
  /** Text of a file below the extension's data folder; `undefined` when it is not there. */
  readData(path: string): string | undefined;
  /** Puts the extension policy of the VM's owner in place, as the agent does; `undefined` takes it away. */
  setPolicy(policy: unknown): void;
  /** Permission bits of such a file or folder. */
  modeOf(path: string): number | undefined;
  close(): Promise<void>;
}

export type DriverName = 'in process' | 'packed, overlay VM' | 'packed, relocated VM';

/** The extensions that can be driven. */
const SUBJECTS = { 'custom-script': customScript, 'vm-access': vmAccess } as const;
/** Name of an extension's folder. */
export type SubjectName = keyof typeof SUBJECTS;

/** @param zip path of the packed extension. */
export async function openDriver(name: DriverName, zip: string, subject: SubjectName): Promise<Driver> {
  if (name === 'in process') return openInProcess(SUBJECTS[subject]);
  return openLocalVm(zip, name === 'packed, overlay VM' ? 'overlay' : 'relocated', SUBJECTS[subject]);
}

interface Subject {
  readonly handler: HandlerDefinition;
  readonly extension: { readonly publisher: string; readonly type: string; readonly dataFolder: string };
}

async function openInProcess({ handler, extension }: Subject): Promise<Driver> {
  const machine = createTestMachine({ extension });
  const data = `/var/lib/waagent/${extension.dataFolder}`;
  let sequence = -1;
  const outcome = (status: Status | undefined): Outcome => {
    if (status === undefined) throw new Error('enable left no status');
    return { status, sequence };
  };
  await machine.run(handler, 'install');
  return {
    apply: async (settings) => {
      sequence++;
      machine.writeSettings(sequence, settings);
      return outcome((await machine.run(handler, 'enable', { sequence })).status);
    },
    reapply: async () => outcome((await machine.run(handler, 'enable', { sequence })).status),
    delete: async () => {
      await machine.run(handler, 'disable', { sequence });
      await machine.run(handler, 'uninstall', { sequence });
    },
    readData: (path) => machine.readText(join(data, path)),
    setPolicy: (policy) => writePolicy(machine.path(machine.handlerFolder()), policy),
    modeOf: (path) => modeOf(machine.path(join(data, path))),
    close: async () => machine.remove(),
  };
}

async function openLocalVm(
  zip: string,
  isolation: 'overlay' | 'relocated',
  { extension }: Subject,
): Promise<Driver> {
  const handlerName = formatHandlerName(extension.publisher, extension.type);
  const vm = await createLocalVm(isolation);
  let last: AppliedSettings = {};
  const set = async (settings: AppliedSettings): Promise<Outcome> => {
    last = settings;
    await vm.set(zip, settings);
    const { sequenceNumber: sequence } = await vm.show(extension.type);
    const file = join(
      vm.agentFolder(),
      formatHandlerFolder(handlerName, '1.0.0'),
      STATUS_FOLDER,
      formatStatusFile(sequence),
    );
    return { status: parseStatus(readFileSync(file, 'utf8'), file), sequence };
  };
  const dataPath = (path: string): string => join(vm.agentFolder(), extension.dataFolder, path);
  return {
    apply: set,
    reapply: () => set(last),
    delete: () => vm.delete(extension.type),
    setPolicy: (policy) =>
      writePolicy(join(vm.agentFolder(), formatHandlerFolder(handlerName, '1.0.0')), policy),
    readData: (path) => (existsSync(dataPath(path)) ? readFileSync(dataPath(path), 'utf8') : undefined),
    modeOf: (path) => modeOf(dataPath(path)),
    close: () => vm.remove(),
  };
}

function writePolicy(handlerFolder: string, policy: unknown): void {
  const file = join(agentHandlerEnvironment(handlerFolder, '/var/log').configFolder, RUNTIME_POLICY_FILE);
  if (policy === undefined) rmSync(file, { force: true });
  else writeFileSync(file, JSON.stringify(policy), { mode: 0o600 });
}

function modeOf(path: string): number | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : found.mode & 0o7777;
}
