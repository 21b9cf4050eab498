/**
 * Custom Script: downloads files, then runs a command or a script, and shows its output in the status. The order of the
 * steps is the original's; everything that can be refused is refused before anything is downloaded or run.
 */
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EnableContext } from '@handlerkit/sdk';
import { defineHandler } from '@handlerkit/sdk';
import { RUNTIME_POLICY_FILE } from '@handlerkit/sdk/contract';
import type { PlannedFile } from './download/file-name.ts';
import { planDownloads } from './download/file-name.ts';
import { downloadFiles } from './download/index.ts';
import { scriptError, systemCode } from './errors.ts';
import { convertScriptFile, PROGRAM_MODE } from './preprocess.ts';
import { quotePath, runCommand } from './run.ts';
import { createRunFolder, removeOtherRuns } from './run-folder.ts';
import { decodeScript, SCRIPT_FILE } from './script.ts';
import { readScriptSettings } from './settings.ts';

type Context = EnableContext<Record<string, unknown>, Record<string, unknown>>;

/** The handler. It names no schemas: both halves of the settings are judged together, and errors have codes of their own. */
export const handler = defineHandler({
  async enable(context) {
    const { host, status, log, dataFolder, sequence, signal } = context;
    const settings = readScriptSettings(context.settings.public, context.settings.protected);
    await refusePolicy(context);
    const files = planDownloads(settings.fileUris);
    hideUrlSecrets(context, files);
    const script = settings.kind === 'script' ? await decodeScript(settings.text) : undefined;
    if (script !== undefined && settings.isProtected) context.addSecret(script.toString());

    const folder = await createRunFolder(host, dataFolder, sequence);
    const onStart = (file: PlannedFile): Promise<void> =>
      status.transitioning(`downloading file ${file.index + 1} of ${files.length}`);
    await downloadFiles({ host, log, signal, folder, onStart }, files);
    if (script !== undefined) await writeScript(context, folder, script);
    if (!settings.skipDos2Unix) {
      const names = [...files.map((file) => file.name), ...(script === undefined ? [] : [SCRIPT_FILE])];
      for (const name of names) await convertScriptFile(host.path(join(folder, name)), join(folder, name));
    }

    await status.transitioning(script === undefined ? 'running the command' : 'running the script');
    const started = host.elapsedMs();
    try {
      const message = await runCommand({
        host,
        command: script === undefined ? settings.text : quotePath(host.path(join(folder, SCRIPT_FILE))),
        // The name of the script's file is no secret.
        isProtected: script === undefined && settings.isProtected,
        folder,
        signal,
        redact: context.redact,
      });
      return { message };
    } finally {
      log.info('the command ended', { durationMs: Math.round(host.elapsedMs() - started) });
      await removeOtherRuns(host, log, dataFolder, sequence);
    }
  },
});

/** A policy for what may run that is not applied would be a hole, so its presence is an error. */
async function refusePolicy({ host, environment }: Context): Promise<void> {
  const file = join(environment.configFolder, RUNTIME_POLICY_FILE);
  try {
    await access(host.path(file));
  } catch (thrown) {
    if (systemCode(thrown) === 'ENOENT') return;
  }
  throw scriptError(
    'POLICY_NOT_SUPPORTED',
    `the extension policy ${file} is not supported by this version of Custom Script; remove the policy for this extension, or use a version that supports it. Nothing was downloaded or run`,
  );
}

/** A SAS signature and a password in a URL stay hidden when a program prints them without their URL. */
function hideUrlSecrets(context: Context, files: readonly PlannedFile[]): void {
  for (const { url } of files) {
    if (url.search.length > 1) context.addSecret(url.search.slice(1));
    if (url.password !== '') context.addSecret(decodeURIComponent(url.password));
    const signature = url.searchParams.get('sig');
    if (signature !== null) context.addSecret(signature);
  }
}

async function writeScript({ host }: Context, folder: string, script: Uint8Array): Promise<void> {
  const path = join(folder, SCRIPT_FILE);
  try {
    await writeFile(host.path(path), script, { flag: 'wx', mode: PROGRAM_MODE });
  } catch (cause) {
    const text = `cannot write ${path} (${systemCode(cause)}); check the free space on the VM's disk`;
    throw scriptError('FILE_NOT_PREPARED', text, cause);
  }
}
