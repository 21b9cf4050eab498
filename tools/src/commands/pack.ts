/** `handlerkit pack [folder]`: makes the zip that the agent installs. */
import { basename, relative } from 'node:path';
import { ARCHITECTURES, RUNTIMES } from '@handlerkit/sdk';
import type { Argv } from 'yargs';
import type { PackDeps, PackResult } from '../pack/pack.ts';

export const command = 'pack [folder]';

export interface PackArguments {
  readonly folder: string;
  readonly out: string | undefined;
  /** Names of {@link ARCHITECTURES}, which the parser has checked. */
  readonly architectures: readonly string[] | undefined;
  /** A name of {@link RUNTIMES}, which the parser has checked. */
  readonly runtime: string | undefined;
  readonly packageVersion: string | undefined;
  readonly list: boolean;
}

/** What the command needs of the terminal. */
export interface PackUi {
  progress(text: string): void;
  warning(text: string): void;
  result(text: string): void;
  json(value: unknown): void;
}

/** Declares the command's arguments. `--json`, `--quiet` and `--verbose` are the whole tool's. */
export function builder(yargs: Argv) {
  return yargs
    .positional('folder', { type: 'string', default: '.', describe: 'Folder with extension.json' })
    .option('out', {
      type: 'string',
      describe: 'Path of the zip (default: dist/<name>-<version>.zip in the folder)',
    })
    .option('architectures', {
      type: 'array',
      string: true,
      choices: ARCHITECTURES,
      coerce: (words: readonly string[]) => words.flatMap((word) => word.split(',')),
      describe: 'Architectures to pack (default: those of extension.json)',
    })
    .option('runtime', {
      type: 'string',
      choices: RUNTIMES,
      describe: 'What runs the program, in place of extension.json',
    })
    .option('package-version', {
      type: 'string',
      describe: 'Version of the package, in place of extension.json',
    })
    .option('list', {
      type: 'boolean',
      default: false,
      describe: 'Write no zip; list what would be in it, with sizes',
    })
    .example('$0 pack', 'Pack the extension in this folder')
    .example('$0 pack . --architectures x64 --out greeter.zip', 'Pack for one architecture')
    .example('$0 pack . --runtime node --list', 'See what a package with Node would hold');
}

/** Runs the command. The packer is loaded here, so that the other commands start without it. */
export async function packCommand(
  options: PackArguments,
  ui: PackUi,
  deps: Omit<PackDeps, 'progress'>,
): Promise<void> {
  const { checkBeforePacking, checkPackedZip } = await import('../check/before-packing.ts');
  const { describeFindings } = await import('../check/finding-groups.ts');
  const { packProject } = await import('../pack/pack.ts');
  const known = await checkBeforePacking(options.folder, deps.signal);
  for (const warning of describeFindings(known)) ui.warning(warning);
  const result = await packProject(
    {
      folder: options.folder,
      out: options.out,
      architectures:
        options.architectures && ARCHITECTURES.filter((one) => options.architectures?.includes(one)),
      runtime: RUNTIMES.find((one) => one === options.runtime),
      version: options.packageVersion,
      dryRun: options.list,
    },
    {
      ...deps,
      progress: (text) => ui.progress(text),
      inspect: async (zip, file) => {
        ui.progress(`Checking ${basename(file)}`);
        return describeFindings(await checkPackedZip(zip, file, known, deps.signal));
      },
    },
  );
  for (const warning of result.warnings) ui.warning(warning);
  ui.json(result);
  ui.result(formatResult(result));
}

/** `Contoso.Greeter 1.0.0`, the zip's path, size and SHA-256; where none was written a line for each file in place of the path. */
export function formatResult(result: PackResult): string {
  const { handlerName, version, runtime, architectures, sizeBytes, sha256, entries } = result;
  if (result.written) {
    const path = relative('.', result.file) || result.file;
    return `${handlerName} ${version}\n${path}  ${formatSize(sizeBytes)}\nsha256 ${sha256}`;
  }
  const total = entries.reduce((sum, entry) => sum + entry.sizeBytes, 0);
  const rows = [
    ['size', 'packed', 'file'],
    ...entries.map((entry) => [formatSize(entry.sizeBytes), formatSize(entry.packedBytes), entry.name]),
    [formatSize(total), formatSize(sizeBytes), 'in all'],
  ];
  return [
    `${handlerName} ${version} for ${architectures.join(' and ')}, with ${runtime}; no zip was written`,
    ...rows.map(([size = '', packed = '', name]) => `  ${size.padStart(8)}  ${packed.padStart(8)}  ${name}`),
    `sha256 ${sha256}`,
  ].join('\n');
}

function formatSize(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
