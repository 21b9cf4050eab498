/**
 * A VM for the cases about the agent, whichever agent works in it: applies packages, lets the platform forget extensions,
 * and looks at what the agent left on the disk and what its handlers saw.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { InstanceView, LocalVm } from '../local-vm.ts';
import { createLocalVm, NO_OVERLAY, whyNoRealAgent } from '../local-vm.ts';
import type { ObserverPackage } from './observer-package.ts';
import { PUBLISHER, writeObserver } from './observer-package.ts';
import type { ObservedCommand } from './observer-record.ts';
import { brief, readRecords } from './observer-record.ts';

export type AgentName = 'embedded, overlay' | 'embedded, relocated' | 'waagent';

/** What one `vm` command brought about. */
export interface Brought {
  readonly exitCode: number | null;
  readonly stderr: string;
  /** Of all extensions of the VM. */
  readonly views: readonly InstanceView[];
  /** The first status of the first extension. */
  readonly status: InstanceView['statuses'][number] | undefined;
  readonly commands: readonly ObservedCommand[];
  /** The same in short. */
  readonly brief: readonly string[];
}

export interface HandlerStatusFile {
  readonly status: string;
  readonly code: number;
  readonly message: string;
}

export interface AgentVm {
  readonly agent: AgentName;
  readonly vm: LocalVm;
  /** Writes a package, to be applied by {@link AgentVm.apply}. */
  pack(observer: ObserverPackage): string;
  apply(
    zip: string,
    settings?: { readonly public?: unknown; readonly protected?: unknown },
    more?: readonly string[],
  ): Promise<Brought>;
  /** Runs another command of the VM that may bring commands about. */
  run(words: readonly string[]): Promise<Brought>;
  /** Takes all extensions out of the goal state without a word to the agent; the next {@link AgentVm.apply} tells it. */
  forget(): void;
  /** Path of something in the folder of a version, on this machine. */
  path(type: string, version: string, ...names: readonly string[]): string;
  read(type: string, version: string, ...names: readonly string[]): string | undefined;
  handlerStatus(type: string, version: string): HandlerStatusFile;
  handlerState(type: string, version: string): string | undefined;
  /** Path of something in the folder of a handler's logs, on this machine. */
  log(type: string, ...names: readonly string[]): string;
  /** Waits until the agent gives up on its report of the whole VM. */
  awaitSilence(): Promise<void>;
  /** The versions of a handler that have a folder. */
  versions(type: string): readonly string[];
  /** Removes the VM and the packages. */
  remove(): Promise<void>;
}

/** Why an agent cannot be tried on this machine; `undefined` when it can. */
export function whyNot(agent: AgentName): string | undefined {
  if (agent === 'embedded, relocated') return undefined;
  return agent === 'waagent' ? whyNoRealAgent() : NO_OVERLAY;
}

export async function openAgentVm(agent: AgentName): Promise<AgentVm> {
  const packages = mkdtempSync(join(tmpdir(), 'handlerkit-observers-'));
  const vm = await createLocalVm(agent === 'embedded, relocated' ? 'relocated' : 'overlay', {
    agent: agent === 'waagent' ? 'waagent' : 'embedded',
    network: 'loopback',
  });
  const handler = (type: string): string => `${PUBLISHER}.${type}`;
  const path: AgentVm['path'] = (type, version, ...names) =>
    join(vm.agentFolder(), `${handler(type)}-${version}`, ...names);
  const read: AgentVm['read'] = (...names) => {
    const file = path(...names);
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
  };
  let last = '';
  const watch = async (action: () => ReturnType<LocalVm['run']>): Promise<Brought> => {
    const { exitCode, stdout, stderr } = await action();
    const commands = readRecords(vm.logFolder()).filter(({ time }) => time > last);
    last = commands.at(-1)?.time ?? last;
    // A command that fails prints its views, too, but not when it could not even begin.
    if (!stdout.startsWith('[')) throw new Error(`handlerkit vm said no view: ${stdout}${stderr}`);
    const views = JSON.parse(stdout) as InstanceView[];
    return { exitCode, stderr, views, status: views[0]?.statuses[0], commands, brief: commands.map(brief) };
  };
  return {
    agent,
    vm,
    pack: (observer) => {
      const folder = mkdtempSync(join(packages, 'package-'));
      return writeObserver(folder, observer);
    },
    apply: (zip, settings = { public: {} }, more = []) => watch(() => vm.set(zip, settings, more)),
    run: (words) =>
      watch(async () => {
        const result = await vm.run(words);
        const { stdout } = await vm.run(['instance-view']);
        return { ...result, stdout };
      }),
    forget: () => {
      const file = join(vm.folder, PLATFORM_FILE);
      if (!existsSync(file)) return;
      const store = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
      writeFileSync(file, JSON.stringify({ ...store, extensions: [] }));
    },
    path,
    read,
    handlerStatus: (type, version) => {
      const text = read(type, version, 'config', 'HandlerStatus');
      if (text === undefined) throw new Error(`${handler(type)} ${version} has no handler status`);
      const { status, code, message } = JSON.parse(text) as HandlerStatusFile;
      return { status, code, message };
    },
    handlerState: (type, version) => read(type, version, 'config', 'HandlerState'),
    log: (type, ...names) => join(vm.logFolder(), handler(type), ...names),
    awaitSilence: () => (agent === 'waagent' ? awaitNoBlob(vm) : awaitWarning(vm)),
    versions: (type) =>
      readdirSync(vm.agentFolder())
        .filter((name) => name.startsWith(`${handler(type)}-`))
        .map((name) => name.slice(handler(type).length + 1))
        .toSorted(),
    remove: async () => {
      if (existsSync(vm.folder)) await vm.remove();
      rmSync(packages, { recursive: true, force: true });
    },
  };
}

/** Permission bits, in octal, as `stat` prints them. */
export function modeOf(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

/** The embedded agent says it to the author. */
async function awaitWarning(vm: LocalVm): Promise<void> {
  const since = performance.now();
  for (;;) {
    const { stderr } = await vm.run(['instance-view']);
    if (/whole VM/.test(stderr)) return;
    if (performance.now() - since > SILENCE_LIMIT_MS) throw new Error(`the agent still reports: ${stderr}`);
  }
}

/** The real agent uploads its status every second, until it cannot. */
async function awaitNoBlob(vm: LocalVm): Promise<void> {
  const file = join(vm.folder, BLOB_FILE);
  const since = performance.now();
  while (Date.now() - statSync(file).mtimeMs < SILENT_MS) {
    if (performance.now() - since > SILENCE_LIMIT_MS) throw new Error('the agent still reports');
    await delay(200);
  }
}

const SILENCE_LIMIT_MS = 120_000;
/** Several of the agent's periods. */
const SILENT_MS = 4000;
const BLOB_FILE = 'status-blob.json';

/** What the platform remembers of the VM: on Azure that is not on the VM either. */
const PLATFORM_FILE = 'extensions.json';
