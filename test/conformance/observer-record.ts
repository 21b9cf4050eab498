/** What the commands of an observing handler saw, read from the folder of its logs. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RECORDS_FOLDER } from './observer-package.ts';

export interface ObservedCommand {
  /** Orders the commands of all handlers of a machine. */
  readonly time: string;
  readonly handlerName: string;
  readonly operation: string;
  readonly version: string;
  /** All words after the program. */
  readonly arguments: readonly string[];
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly umask: string;
  /** What the three streams are. */
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly user: number;
  readonly process: { readonly id: number; readonly group: number; readonly session: number };
  /** Mask of the signals that are ignored, in hexadecimal digits. */
  readonly ignoredSignals: string;
  /** Kind (`f`, `d`, `l`, …) and permission bits of everything in the handler's folder, by relative path. */
  readonly files: ReadonlyMap<string, { readonly kind: string; readonly mode: string }>;
  readonly handlerEnvironment: string;
  /** The settings file that the command's number names; `undefined` when there is none. */
  readonly settings: string | undefined;
}

/** The commands so far of the handlers whose logs are in `logFolder`, the oldest first. */
export function readRecords(logFolder: string): ObservedCommand[] {
  return listFolders(logFolder)
    .flatMap((handlerName) => {
      const folder = join(logFolder, handlerName, RECORDS_FOLDER);
      return listFolders(folder).map((name) => readRecord(handlerName, folder, name));
    })
    .toSorted((a, b) => (a.time < b.time ? -1 : 1));
}

/** One command in short: `enable 1.0.0`; of one of several configurations: `enable 1.0.0 first`. */
export function brief({ operation, version, environment }: ObservedCommand): string {
  return [operation, version, environment.ConfigExtensionName].filter((part) => part !== undefined).join(' ');
}

/** Those of a command's variables that the contract names. */
export function contractVariables({ environment }: ObservedCommand): Record<string, string | undefined> {
  const isContract = (name: string): boolean => /^(AZURE_GUEST_AGENT_.*|Config.*|VERSION)$/.test(name);
  return Object.fromEntries(Object.entries(environment).filter(([name]) => isContract(name)));
}

function readRecord(handlerName: string, parent: string, name: string): ObservedCommand {
  const text = (file: string): string => readFileSync(join(parent, name, file), 'utf8');
  const line = (file: string): string => text(file).trimEnd();
  const [time = '', operation = '', version = ''] = name.split('-');
  // After the program's name, which is in brackets: state, parent, group, session.
  const numbers = line('process')
    .replace(/^.*\) /, '')
    .split(' ');
  const files = line('files')
    .split('\n')
    .map((row) => {
      const [mode = '', kind = '', ...path] = row.split(' ');
      return [path.join(' '), { kind, mode }] as const;
    });
  return {
    time,
    handlerName,
    operation,
    version,
    arguments: line('arguments').split('\n'),
    folder: line('folder'),
    environment: Object.fromEntries(
      text('environment')
        .split('\0')
        .filter((entry) => entry !== '')
        .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
    ),
    umask: line('umask'),
    stdin: line('stdin'),
    stdout: line('stdout'),
    stderr: line('stderr'),
    user: Number(line('user')),
    process: {
      id: Number.parseInt(line('process'), 10),
      group: Number(numbers[2]),
      session: Number(numbers[3]),
    },
    ignoredSignals: line('signals').replace(/^SigIgn:\s*/, ''),
    files: new Map(files),
    handlerEnvironment: text('handler-environment'),
    settings: existsSync(join(parent, name, 'settings')) ? text('settings') : undefined,
  };
}

function listFolders(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .toSorted();
}
