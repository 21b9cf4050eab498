/** `handlerkit init <folder>`: makes a new project that packs, runs and is tested at once. */
import { readdir } from 'node:fs/promises';
import { basename, relative, resolve } from 'node:path';
import type { Argv } from 'yargs';
import { interruptedError, ToolError, usageError } from '../errors.ts';
import { requireEmpty, writeProject } from '../scaffold/new-project.ts';
import { typeFromFolder, whyNotNamed } from '../scaffold/project-names.ts';
import { type Ask, onTerminal } from '../scaffold/questions.ts';
import type { CommandContext } from '../tool-deps.ts';
import { readToolVersion } from '../tool-version.ts';

export interface InitArguments {
  readonly folder: string;
  readonly publisher: string | undefined;
  readonly type: string | undefined;
  readonly description: string | undefined;
  /** Folder with the npm packages of the SDK and the tools; `undefined`: they come from the npm registry. */
  readonly packages: string | undefined;
  /** True: nothing is asked. */
  readonly yes: boolean;
}

/** Declares the command's arguments. */
export function builder(yargs: Argv) {
  return yargs
    .positional('folder', {
      type: 'string',
      demandOption: true,
      describe: 'Folder of the new project; not there yet, or empty',
    })
    .option('publisher', {
      type: 'string',
      describe: `Publisher of the extension, such as your company's name (default: ${DEFAULT_PUBLISHER})`,
    })
    .option('type', { type: 'string', describe: "Type of the extension (default: the folder's name)" })
    .option('description', { type: 'string', describe: 'What the extension is for, in one sentence' })
    .option('packages', {
      type: 'string',
      describe: 'Folder with the .tgz files of handlerkit and its SDK (default: the npm registry)',
    })
    .option('yes', { type: 'boolean', default: false, describe: 'Ask nothing; take the defaults' })
    .example('$0 init greeter', 'Make the project in the new folder greeter')
    .example('$0 init greeter --publisher Contoso.Samples --yes', 'The same without questions');
}

/** Runs the command: asks on a terminal, and only for what the command line does not say. */
export async function initCommand(options: InitArguments, context: CommandContext): Promise<void> {
  const { ui, deps, signal } = context;
  const folder = resolve(deps.cwd, options.folder);
  await requireEmpty(folder);
  const packages = await findPackages(
    options.packages === undefined ? undefined : resolve(deps.cwd, options.packages),
  );
  const given = { publisher: options.publisher, type: options.type };
  for (const key of ['publisher', 'type'] as const) {
    const value = given[key];
    const problem = value === undefined ? undefined : whyNotNamed(key, value);
    if (problem !== undefined) throw usageError(`--${key}: ${problem}.`, 'handlerkit init --help');
  }
  const presets = {
    publisher: DEFAULT_PUBLISHER,
    type: typeFromFolder(basename(folder)),
    description: DEFAULT_DESCRIPTION,
  };
  const { terminal } = deps;
  const answers =
    terminal === undefined || options.yes || ui.isJson
      ? {}
      : await onTerminal(terminal, signal, interruptedError, (ask) => askMissing(options, presets, ask));
  const chosen = {
    publisher: given.publisher ?? answers.publisher ?? presets.publisher,
    type: given.type ?? answers.type ?? presets.type,
    description: oneLine(options.description ?? answers.description ?? presets.description),
  };
  const files = await writeProject({ folder, ...chosen, packages });
  const inside = relative(deps.cwd, folder);
  const shown = inside.startsWith('..') ? folder : inside;
  const enter =
    shown === '' ? [] : [`cd ${/^[\w./-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", "'\\''")}'`}`];
  const next = [...enter, 'npm install', `npx handlerkit vm set . --settings '{"name": "Ada"}'`];
  ui.json({ folder, publisher: chosen.publisher, type: chosen.type, files, next });
  ui.result(
    [
      `${chosen.publisher}.${chosen.type} in ${shown === '' ? 'this folder' : shown}`,
      ...files.map((name) => `  ${name}`),
      '',
      'Next:',
      ...next.map((line) => `  ${line}`),
    ].join('\n'),
  );
}

type Answers = Partial<Record<'publisher' | 'type' | 'description', string>>;

const DEFAULT_PUBLISHER = 'Contoso.Samples';
const DEFAULT_DESCRIPTION = 'Greets whoever the settings name.';

async function askMissing(options: InitArguments, presets: Required<Answers>, ask: Ask): Promise<Answers> {
  const name = async (key: 'publisher' | 'type', question: string): Promise<string | undefined> => {
    if (options[key] !== undefined) return undefined;
    for (let reason = ''; ; ) {
      const answer = await ask(`${reason}${question}`, presets[key]);
      const problem = whyNotNamed(key, answer);
      if (problem === undefined) return answer;
      reason = `${problem}\n`;
    }
  };
  const publisher = await name('publisher', 'Publisher');
  const type = await name('type', 'Type of the extension');
  const description =
    options.description === undefined ? await ask('What it is for', presets.description) : undefined;
  return {
    ...(publisher === undefined ? {} : { publisher }),
    ...(type === undefined ? {} : { type }),
    ...(description === undefined ? {} : { description }),
  };
}

/** The two packages as the new `package.json` names them. */
async function findPackages(folder: string | undefined): Promise<{ sdk: string; handlerkit: string }> {
  const version = readToolVersion();
  if (folder === undefined) return { sdk: version, handlerkit: version };
  const files = {
    sdk: `handlerkit-sdk-${version}.tgz`,
    handlerkit: `handlerkit-${version}.tgz`,
  };
  const names: readonly string[] = await readdir(folder).catch(() => []);
  const missing = Object.values(files).filter((name) => !names.includes(name));
  if (missing.length > 0) {
    throw new ToolError(
      'PACKAGES_NOT_FOUND',
      `The folder of --packages has no ${missing.join(' and no ')}.`,
      {
        file: folder,
        hint: 'Make both with `npm pack`, or leave --packages out to take them from the npm registry.',
      },
    );
  }
  return {
    sdk: `file:${resolve(folder, files.sdk)}`,
    handlerkit: `file:${resolve(folder, files.handlerkit)}`,
  };
}

/** It stands in JSON and in a line of Markdown. */
function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim() || DEFAULT_DESCRIPTION;
  return /[.!?]$/.test(line) ? line : `${line}.`;
}
