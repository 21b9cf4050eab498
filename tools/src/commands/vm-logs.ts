/**
 * `handlerkit vm logs`: the files in the handler's log folder, which hold the handler's own log and the agent's record of the
 * commands it ran. `--follow` goes on until the user stops it.
 */
import type { FileHandle } from 'node:fs/promises';
import { open, readdir } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { isSystemError } from '@handlerkit/sdk';
import { formatHandlerName } from '@handlerkit/sdk/contract';
import { ToolError, usageError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import { requireExtension, vmFolder, withLocalVm } from '../vm/local-vm.ts';
import { readStore } from '../vm/store.ts';

export interface VmLogsOptions {
  readonly folder: string;
  readonly name: string;
  readonly follow: boolean;
}

/** Prints the log files of an extension on stdout, each after a line with its path. Throws `NOT_FOUND`, `NO_LOGS`. */
export async function vmLogs(options: VmLogsOptions, context: CommandContext): Promise<void> {
  const { ui, deps, signal } = context;
  if (options.follow && ui.isJson) {
    throw usageError(
      '--follow never ends, so there is no one JSON document.',
      'Leave out --json or --follow.',
    );
  }
  const extension = requireExtension(readStore(vmFolder(options.folder, context)), options.name);
  await withLocalVm(options, context, async ({ machine }) => {
    const logFolder = `${machine.logFolder}/${formatHandlerName(extension.publisher, extension.type)}`;
    const tails = new Map<string, Tail>();
    const found: { file: string; text: string }[] = [];
    let lastShown: string | undefined;
    const round = async (): Promise<void> => {
      for (const name of await listFiles(machine.hostPath(logFolder))) {
        const file = `${logFolder}/${name}`;
        const tail = tails.get(name) ?? { offset: 0, decoder: new StringDecoder('utf8') };
        tails.set(name, tail);
        const text = await readOn(machine.hostPath(file), tail);
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
      throw new ToolError('NO_LOGS', `There are no logs of "${extension.name}" yet.`, {
        file: logFolder,
        hint: `Run the extension first: handlerkit vm set. Or wait for logs: handlerkit vm logs ${extension.name} --follow`,
      });
    }
    ui.json(found);
  });
}

/** How far a file has been shown. The decoder keeps a character that is only half written. */
interface Tail {
  offset: number;
  decoder: StringDecoder;
}

const FOLLOW_MS = 200;
const CHUNK_BYTES = 1024 * 1024;

/** Names of the regular files, sorted; none when the folder is missing. */
async function listFiles(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name)
      .sort();
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
