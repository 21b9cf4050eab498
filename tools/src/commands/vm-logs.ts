/**
 * `handlerkit vm logs`: the files in the handlers' log folders, which hold the handlers' own logs and the agent's record of the
 * commands it ran; without a name also the agent's own log. `--follow` goes on until the user stops it.
 */
import type { Dirent } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { isSystemError } from '@handlerkit/sdk';
import { formatHandlerName } from '@handlerkit/sdk/contract';
import { ToolError, usageError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import type { AgentRecord } from '../vm/agent-records.ts';
import type { LocalVm } from '../vm/local-vm.ts';
import { requireExtension, requireVm, vmFolder, withLocalVm } from '../vm/local-vm.ts';
import type { OpenMachine } from '../vm/machine.ts';
import { readStore } from '../vm/store.ts';

export interface VmLogsOptions {
  readonly folder: string;
  /** `undefined`: those of all extensions, also of deleted ones, and the agent's. */
  readonly name: string | undefined;
  readonly follow: boolean;
}

/** Prints the log files on stdout, each after a line with its path. Throws `NOT_FOUND`, `NO_LOGS`. */
export async function vmLogs(options: VmLogsOptions, context: CommandContext): Promise<void> {
  const { ui, deps, signal } = context;
  if (options.follow && ui.isJson) {
    throw usageError(
      '--follow never ends, so there is no one JSON document.',
      'Leave out --json or --follow.',
    );
  }
  const folder = vmFolder(options.folder, context);
  if (options.name === undefined) requireVm(folder);
  const extension =
    options.name === undefined ? undefined : requireExtension(readStore(folder), options.name);
  await withLocalVm({ folder: options.folder }, context, async (vm) => {
    const { machine } = vm;
    const { logFolder } = machine;
    const list = (): Promise<readonly AgentRecord[]> =>
      extension === undefined
        ? listLogFiles(vm)
        : listFiles(machine, `${logFolder}/${formatHandlerName(extension.publisher, extension.type)}`);
    const tails = new Map<string, Tail>();
    const found: { file: string; text: string }[] = [];
    let lastShown: string | undefined;
    const round = async (): Promise<void> => {
      for (const { shown: file, path } of await list()) {
        const tail = tails.get(file) ?? { offset: 0, decoder: new StringDecoder('utf8') };
        tails.set(file, tail);
        const text = await readOn(path, tail);
        if (text === '') continue;
        found.push(...(options.follow ? [] : [{ file, text }]));
        ui.result(lastShown === file ? text.replace(/\n$/, '') : `==> ${file} <==\n${text}`);
        lastShown = file;
      }
    };
    await round();
    while (options.follow) {
      await deps.sleep(FOLLOW_MS, signal);
      await round();
    }
    if (found.length === 0) {
      const whose = extension === undefined ? '' : ` of "${extension.name}"`;
      const words = extension === undefined ? '' : ` ${extension.name}`;
      throw new ToolError('NO_LOGS', `There are no logs${whose} yet.`, {
        file: logFolder,
        hint: `Run the extension first: handlerkit vm set. Or wait for logs: handlerkit vm logs${words} --follow`,
      });
    }
    ui.json(found);
  });
}

/** The agent's own files, and those of every handler that has ever logged. Any may be gone by the time it is read. */
export async function listLogFiles({ machine, agentRecords }: LocalVm): Promise<readonly AgentRecord[]> {
  const { logFolder } = machine;
  const handlers = (await entriesOf(machine, logFolder)).filter((entry) => entry.isDirectory());
  const files = await Promise.all(handlers.map(({ name }) => listFiles(machine, `${logFolder}/${name}`)));
  return [...agentRecords, ...files.flat()];
}

/** How far a file has been shown. The decoder keeps a character that is only half written. */
interface Tail {
  offset: number;
  decoder: StringDecoder;
}

const FOLLOW_MS = 200;
const CHUNK_BYTES = 1024 * 1024;

/** The regular files in a folder of the VM, sorted; none when the folder is missing. */
async function listFiles(machine: OpenMachine, folder: string): Promise<readonly AgentRecord[]> {
  const files = (await entriesOf(machine, folder)).filter((entry) => entry.isFile());
  const names = files.map((entry) => entry.name).sort();
  return names.map((name) => ({ shown: `${folder}/${name}`, path: machine.hostPath(`${folder}/${name}`) }));
}

async function entriesOf(machine: OpenMachine, folder: string): Promise<Dirent[]> {
  try {
    return await readdir(machine.hostPath(folder), { withFileTypes: true });
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return [];
    throw thrown;
  }
}

/** What was added to a file since the last look; from its beginning when it has become shorter. */
async function readOn(path: string, tail: Tail): Promise<string> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return '';
    throw thrown;
  }
  try {
    const { size } = await file.stat();
    if (size < tail.offset) tail.offset = 0;
    let text = '';
    const buffer = Buffer.alloc(Math.min(CHUNK_BYTES, Math.max(1, size - tail.offset)));
    while (tail.offset < size) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, tail.offset);
      if (bytesRead === 0) break;
      tail.offset += bytesRead;
      text += tail.decoder.write(buffer.subarray(0, bytesRead));
    }
    return text;
  } finally {
    await file.close();
  }
}
