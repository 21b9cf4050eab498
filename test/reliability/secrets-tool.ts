/**
 * `handlerkit` as a person uses it who has something to lose: in a folder, a home and a temporary folder of its own, with every output
 * and every file that it leaves shown to the ledger.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { CommandResult } from '../handlerkit-command.ts';
import { runHandlerkit } from '../handlerkit-command.ts';
import type { Ledger } from './secrets-ledger.ts';

export interface SecretSettings {
  readonly public?: unknown;
  readonly protected?: unknown;
}

export interface WatchedTool {
  /** Where it runs; the VM is in it. */
  readonly folder: string;
  /** Runs a command, in which a word `PROTECTED` stands for a file of these settings. */
  run(words: readonly string[], settings?: SecretSettings): Promise<CommandResult>;
  /** `vm set`, with what the VM is in {@link WatchedToolOptions.vm}. */
  set(zip: string, settings: SecretSettings, more?: readonly string[]): Promise<CommandResult>;
  /** Everything that shows the VM or one extension of it, or only the commands `only`; the ledger hears all. */
  lookAt(name: string, forms: readonly (readonly string[])[], only?: readonly string[]): Promise<void>;
  /** Searches everything that is there now. */
  search(): void;
  /** Ends the VM and removes it, then searches what is left. */
  end(): Promise<void>;
}

export interface WatchedToolOptions {
  /** For the names of places. */
  readonly title: string;
  /** Made when it is not there. */
  readonly folder: string;
  /** More words for `vm set`. */
  readonly vm: readonly string[];
}

export function createWatchedTool(options: WatchedToolOptions, ledger: Ledger): WatchedTool {
  const { title, folder, vm } = options;
  const folders = { cwd: join(folder, 'cwd'), home: join(folder, 'home'), tmp: join(folder, 'tmp') };
  for (const one of Object.values(folders)) mkdirSync(one, { recursive: true, mode: 0o700 });
  const { XDG_CACHE_HOME: cache = join(homedir(), '.cache') } = process.env;
  // The cache of runtimes, agents and systems is the machine's: fetching them anew has nothing to do with secrets.
  const env = { HOME: folders.home, TMPDIR: folders.tmp, XDG_CACHE_HOME: cache };
  let runs = 0;
  const search = (): void => {
    ledger.tree(title, folder);
  };
  const run: WatchedTool['run'] = async (words, settings) => {
    runs++;
    const given = [...words];
    const input = join(folders.cwd, `input-${runs}`);
    for (const [half, option] of HALVES) {
      const value = settings?.[half];
      if (value === undefined) continue;
      mkdirSync(input, { recursive: true, mode: 0o700 });
      writeFileSync(join(input, `${half}.json`), JSON.stringify(value), { mode: 0o600 });
      given.push(option, `@${join(input, `${half}.json`)}`);
    }
    const result = await runHandlerkit(given, { cwd: folders.cwd, env });
    const name = `${title}: stdout, stderr of ${words.filter((word) => !word.includes('/')).join(' ')}`;
    ledger.text(name, `${result.stdout}\n${result.stderr}`);
    search();
    rmSync(input, { recursive: true, force: true });
    return result;
  };
  return {
    folder: folders.cwd,
    run,
    set: (zip, settings, more = []) => run(['vm', 'set', zip, ...vm, ...more], settings),
    lookAt: async (name, forms, only) => {
      for (const words of [...OF_ALL, ...OF_ONE.map((word) => [word, name])]) {
        if (only !== undefined && !only.includes(words[0] ?? '')) continue;
        for (const form of forms) await run(['vm', ...words, ...form]);
      }
    },
    search,
    end: async () => {
      const { exitCode, stderr } = await run(['vm', 'reset']);
      if (exitCode !== 0) throw new Error(`vm reset failed: ${stderr}`);
    },
  };
}

const OF_ALL = [['list'], ['instance-view'], ['logs'], ['diff']];
const OF_ONE = ['show', 'logs', 'events'];

const HALVES = [
  ['public', '--settings'],
  ['protected', '--protected-settings'],
] as const;
