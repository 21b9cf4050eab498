/**
 * The package file of a VM Application: a `tar.gz` with the handler and the script that runs it, so that a machine needs
 * `tar` and `sh` to open it, and no unzip. Same handler, same bytes: sorted names, no times, no owners, one mode.
 */
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  agentHandlerEnvironment,
  formatHandlerEnvironment,
  formatHandlerFolder,
  formatHandlerName,
  HANDLER_ENVIRONMENT_FILE,
  HANDLER_MANIFEST_FILE,
  type HandlerManifest,
  LOG_FOLDER,
  OPERATIONS,
  parseHandlerManifest,
} from '@handlerkit/sdk/contract';
import { create } from 'tar';
import { unpackPackage } from '../agent/package-unpack.ts';
import { ToolError } from '../errors.ts';
import {
  APPLICATIONS_FOLDER,
  COMMANDS_FOLDER,
  formatApplicationScript,
  PACKAGE_FOLDER,
} from './application-script.ts';
import type { Deployment } from './deployment.ts';
import { quoteShell } from './shell-quote.ts';

/** Name of the script at the archive's root. */
export const APPLICATION_SCRIPT = 'application.sh';

/**
 * Writes the archive of the handler in `zip` to `archive`, working in the empty folder `work`. Throws `NOT_A_PACKAGE` for a
 * zip without a handler manifest, `ContractError` for one that cannot be read, and the system's errors.
 */
export async function writeApplicationArchive(
  zip: string,
  deployment: Deployment,
  paths: { readonly work: string; readonly archive: string },
): Promise<void> {
  const { identity, timeoutMinutes } = deployment;
  const handlerName = formatHandlerName(identity.publisher, identity.type);
  const folder = join(paths.work, PACKAGE_FOLDER);
  await unpackPackage(zip, folder);
  const manifest = await takeManifest(folder, zip);
  const home = `${APPLICATIONS_FOLDER}/${formatHandlerFolder(handlerName, identity.version)}`;
  const logFolder = `${LOG_FOLDER}/${handlerName}`;
  // Nobody collects events here.
  const environment = { ...agentHandlerEnvironment(home, logFolder), eventsFolder: undefined };
  await writeFile(join(folder, HANDLER_ENVIRONMENT_FILE), formatHandlerEnvironment(handlerName, environment));
  await writeCommands(join(folder, COMMANDS_FOLDER), home, manifest);
  const options = { handlerName, version: identity.version, manifest, logFolder, timeoutMinutes };
  await writeFile(join(paths.work, APPLICATION_SCRIPT), formatApplicationScript(options));
  const names = [APPLICATION_SCRIPT, ...(await listFiles(paths.work, `${PACKAGE_FOLDER}/`))];
  for (const name of names) await chmod(join(paths.work, name), 0o755);
  await create(
    { file: paths.archive, cwd: paths.work, gzip: { level: 9 }, portable: true, mtime: EPOCH, noPax: false },
    names,
  );
}

const EPOCH = new Date(0);

/** The agent copies the manifest from wherever it finds it to the handler's folder. */
async function takeManifest(folder: string, zip: string): Promise<HandlerManifest> {
  const names = await listFiles(folder, '');
  const found = names
    .filter((name) => name === HANDLER_MANIFEST_FILE || name.endsWith(`/${HANDLER_MANIFEST_FILE}`))
    .sort((a, b) => a.split('/').length - b.split('/').length)[0];
  if (found === undefined) {
    throw new ToolError('NOT_A_PACKAGE', `The package has no ${HANDLER_MANIFEST_FILE}.`, {
      file: zip,
      hint: 'Give the zip that `handlerkit pack` made, or the folder of the extension.',
    });
  }
  const path = join(folder, HANDLER_MANIFEST_FILE);
  if (found !== HANDLER_MANIFEST_FILE) await copyFile(join(folder, found), path);
  return parseHandlerManifest(await readFile(path, 'utf8'), `${zip}: ${found}`);
}

/** Each command as the agent hands it to the shell: the handler's folder, then the manifest's text. Source: agent-contract 6.1. */
async function writeCommands(folder: string, home: string, manifest: HandlerManifest): Promise<void> {
  await mkdir(folder);
  for (const operation of OPERATIONS) {
    const command = manifest.commands[operation];
    if (command === undefined) continue;
    const text = `#!/bin/sh\n${quoteShell(home)}/${command.replace(/^\/+/, '')}\n`;
    await writeFile(join(folder, operation), text);
  }
}

/** Every file below `root`, sorted, with `/`. */
async function listFiles(root: string, prefix: string): Promise<string[]> {
  const names: string[] = [];
  const items = await readdir(join(root, dirname(`${prefix}x`)), { withFileTypes: true });
  for (const item of items.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = `${prefix}${item.name}`;
    if (item.isDirectory()) names.push(...(await listFiles(root, `${name}/`)));
    else names.push(name);
  }
  return names;
}
