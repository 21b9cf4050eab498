/**
 * Custom Script: downloads files, then runs a command or a script, and shows its output in the status. The order of the
 * steps is the original's; everything that can be refused is refused before anything is downloaded or run.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EnableContext, UserAccount } from '@handlerkit/sdk';
import { defineHandler } from '@handlerkit/sdk';
import { checkBlobUrls, createFileAccess } from './download/blob-access.ts';
import type { PlannedFile } from './download/file-name.ts';
import { planDownloads, STDERR_FILE, STDOUT_FILE } from './download/file-name.ts';
import { downloadFiles } from './download/index.ts';
import { commandEnvironment } from './environment.ts';
import { scriptError, systemCode } from './errors.ts';
import { trackFiles } from './file-progress.ts';
import type { TokenSource } from './identity-token.ts';
import { createTokenSource } from './identity-token.ts';
import { lastLines } from './last-lines.ts';
import { withOutputBlobs } from './output-blobs.ts';
import type { ScriptPolicy } from './policy.ts';
import { readPolicy, requireAllowedFile, requireAllowedText } from './policy.ts';
import { convertScriptFile, PROGRAM_MODE } from './preprocess.ts';
import type { Progress } from './progress.ts';
import { startProgress } from './progress.ts';
import { quotePath, runCommand } from './run.ts';
import { createRunFolder, removeOtherRuns } from './run-folder.ts';
import { createUserRunFolder, findRunUser, giveRunFolder, removeTree, userRunsFolder } from './run-user.ts';
import { decodeScript, SCRIPT_FILE } from './script.ts';
import type { ScriptSettings } from './settings.ts';
import { readScriptSettings } from './settings.ts';

type Context = EnableContext<Record<string, unknown>, Record<string, unknown>>;

/** The handler. It names no schemas: both halves of the settings are judged together, and errors have codes of their own. */
export const handler = defineHandler({
  async enable(context) {
    const { host, status } = context;
    const settings = readScriptSettings(context.settings.public, context.settings.protected);
    const policy = await readPolicy(host, context.environment);
    const files = planDownloads(settings.fileUris);
    checkBlobUrls(files, settings.credentials);
    const { stdout, stderr } = settings.outputBlobs;
    hideUrlSecrets(context, [...files.map(({ url }) => url), stdout, stderr]);
    const script = settings.kind === 'script' ? await decodeScript(settings.text) : undefined;
    if (script !== undefined && settings.isProtected) context.addSecret(script.toString());
    const user = settings.runAsUser === undefined ? undefined : await findRunUser(host, settings.runAsUser);

    const { credentials } = settings;
    const tokens =
      credentials?.kind === 'identity' ? createTokenSource(host, credentials, context.addSecret) : undefined;

    const progress = startProgress(host, status);
    try {
      const run: Run = { context, settings, policy, files, script, user, progress, tokens };
      const folders = await makeFolders(run);
      await prepareFiles(run, folders.work);
      return { message: await execute(run, folders) };
    } finally {
      progress.end();
    }
  },

  async uninstall({ host, dataFolder }) {
    await removeTree(host, userRunsFolder(dataFolder));
  },
});

/** What is known of a run before anything is done. */
interface Run {
  readonly context: Context;
  readonly settings: ScriptSettings;
  readonly policy: ScriptPolicy;
  readonly files: readonly PlannedFile[];
  /** The decoded script; `undefined` for a command. */
  readonly script: Uint8Array | undefined;
  /** Who runs it; `undefined`: root. */
  readonly user: UserAccount | undefined;
  readonly progress: Progress;
  /** Of the managed identity of the settings. */
  readonly tokens: TokenSource | undefined;
}

/** Folders of a run as the VM sees them: that of the files and the command, and that of its output. The same for root. */
interface Folders {
  readonly work: string;
  readonly output: string;
}

async function makeFolders({ context, user }: Run): Promise<Folders> {
  const { host, dataFolder, sequence } = context;
  const output = await createRunFolder(host, dataFolder, sequence);
  if (user === undefined) return { work: output, output };
  return { work: await createUserRunFolder(host, dataFolder, sequence), output };
}

/** Brings every file that the command may need into the folder, as it will run. */
async function prepareFiles(run: Run, folder: string): Promise<void> {
  const { context, settings, policy, files, script, user } = run;
  const { host, log, signal } = context;
  if (files.length > 0) {
    const progress = trackFiles(files.length);
    await run.progress.show(progress.describe);
    const access = createFileAccess(settings.credentials, run.tokens, context.addSecret);
    await downloadFiles({ host, log, signal, folder, access, progress }, files);
  }
  if (script !== undefined) await writeScript(context, folder, script);
  const names = [...files.map((file) => file.name), ...(script === undefined ? [] : [SCRIPT_FILE])];
  for (const name of settings.skipDos2Unix ? [] : names) {
    await convertScriptFile(host.path(join(folder, name)), join(folder, name));
  }
  for (const name of names) await requireAllowedFile(host, policy, folder, name);
  if (script === undefined) requireAllowedText(policy, settings.text, 'commandToExecute');
  if (user !== undefined) await giveRunFolder(host, folder, names, user);
}

/** Runs the command or the script; gives the block of text with its output. */
async function execute(run: Run, { work, output }: Folders): Promise<string> {
  const { context, settings, script, user } = run;
  const { host, log, dataFolder, sequence, signal, redact } = context;
  const what = script === undefined ? 'running the command' : 'running the script';
  const path = (name: string): string => host.path(join(output, name));
  await run.progress.show(async (seconds) => {
    if (seconds === 0) return what;
    const stdout = await lastLines(path(STDOUT_FILE), redact);
    const stderr = await lastLines(path(STDERR_FILE), redact);
    return `${what}, ${seconds} seconds so far\n[stdout]\n${stdout}\n[stderr]\n${stderr}`;
  });
  const started = host.elapsedMs();
  try {
    const blobs = {
      host,
      log,
      signal,
      settings: settings.outputBlobs,
      tokens: run.tokens,
      files: { stdout: path(STDOUT_FILE), stderr: path(STDERR_FILE) },
    };
    const options = {
      host,
      command: script === undefined ? settings.text : quotePath(host.path(join(work, SCRIPT_FILE))),
      // The name of the script's file is no secret.
      isProtected: script === undefined && settings.isProtected,
      folder: work,
      outputFolder: output,
      user,
      env: commandEnvironment(host.env, settings.environment, user),
      timeoutSeconds: settings.timeoutSeconds,
      signal,
      redact,
    };
    return await withOutputBlobs(blobs, () => runCommand(options));
  } finally {
    log.info('the command ended', { durationMs: Math.round(host.elapsedMs() - started) });
    await removeOtherRuns(host, log, dataFolder, sequence);
  }
}

/** A SAS signature and a password in a URL stay hidden when a program prints them without their URL. */
function hideUrlSecrets(context: Context, urls: readonly (URL | undefined)[]): void {
  for (const url of urls) {
    if (url === undefined) continue;
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
