/**
 * Gets a handler's version onto the VM: unpacks its package and makes what the agent makes before any command runs.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` download, initialize, create_handler_env; agent-contract 1.2, 1.3, 3.
 */
import { chmod, lstat, readdir, readFile, rm } from 'node:fs/promises';
import type { ResourceLimits } from '@handlerkit/sdk/contract';
import {
  AGENT_ERROR_CODES,
  agentHandlerEnvironment,
  CONFIG_FOLDER,
  EVENTS_FOLDER,
  formatHandlerEnvironment,
  formatPackageFile,
  HANDLER_ENVIRONMENT_FILE,
  HANDLER_MANIFEST_FILE,
  STATUS_FOLDER,
} from '@handlerkit/sdk/contract';
import { AgentError } from './agent-error.ts';
import { makeFolder, writeWhole } from './agent-files.ts';
import type { HandlerLog } from './agent-log.ts';
import type { HandlerContext } from './handler-context.ts';
import type { HandlerInstance } from './handler-instance.ts';
import { loadManifest, pathIn } from './handler-instance.ts';
import { removeHandler } from './handler-store.ts';
import { unpackPackage } from './package-unpack.ts';

/**
 * Unpacks `packageFile` into the handler's folder, over what may be there. When it cannot be unpacked the whole folder
 * goes, and an {@link AgentError} says why.
 */
export async function downloadPackage(
  handler: HandlerInstance,
  packageFile: string,
  log: HandlerLog,
): Promise<void> {
  await log.info(`Downloading ${handler.folderName}`);
  const cached = `${handler.machine.libFolder}/${formatPackageFile(handler.handlerName, handler.version)}`;
  try {
    await log.info(`Unzipping ${handler.folderName}: ${cached}`);
    await unpackPackage(packageFile, pathIn(handler));
  } catch (thrown) {
    await removeHandler(handler);
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const problem = `The package ${packageFile} cannot be unpacked: ${reason}`;
    throw new AgentError('ExtensionDownloadError', problem, AGENT_ERROR_CODES.manifestDownload);
  }
  // The agent keeps a package only while it unpacks it, and so would a real one that was in this VM before.
  await rm(handler.machine.hostPath(cached), { force: true });
}

/**
 * Makes the unpacked folder a handler: modes, manifest, folders and `HandlerEnvironment.json`; `requireSupport` refuses a
 * manifest before the folders are made. Throws {@link AgentError}.
 */
export async function initializeHandler(
  context: HandlerContext,
  requireSupport: (context: HandlerContext) => Promise<void>,
): Promise<void> {
  const { handler, log } = context;
  await log.info(`Initializing extension ${handler.folderName}`);
  const root = pathIn(handler);
  await setModes(root);
  const manifestFile = await findManifest(root);
  if (manifestFile === undefined) {
    const problem = `${HANDLER_MANIFEST_FILE} not found`;
    throw new AgentError('ExtensionDownloadError', problem, AGENT_ERROR_CODES.unknownFailure);
  }
  const manifest = (await readFile(manifestFile, 'utf8')).replace(/^\uFEFF/, '');
  await writeWhole(pathIn(handler, HANDLER_MANIFEST_FILE), manifest);
  const { nonBooleanWarnings, resourceLimits } = await loadManifest(handler);
  for (const warning of nonBooleanWarnings) await log.note(warning);
  await requireSupport(context);
  for (const folder of [STATUS_FOLDER, CONFIG_FOLDER]) {
    await makeFolder(pathIn(handler, folder), PRIVATE_FOLDER);
    // Unlike a folder that is there already for another reason, these get their mode in any case.
    await chmod(pathIn(handler, folder), PRIVATE_FOLDER);
  }
  await writeHandlerEnvironment(handler);
  const limits = resourceLimits === undefined ? undefined : describeLimits(handler, resourceLimits);
  if (limits !== undefined) await log.note(limits);
}

/** Makes the folder for events and writes `HandlerEnvironment.json`, anew when it is there. */
export async function writeHandlerEnvironment(handler: HandlerInstance): Promise<void> {
  await makeFolder(handler.machine.hostPath(`${handler.logFolder}/${EVENTS_FOLDER}`), PRIVATE_FOLDER);
  const environment = agentHandlerEnvironment(handler.folder, handler.logFolder);
  const text = formatHandlerEnvironment(handler.handlerName, environment);
  await writeWhole(pathIn(handler, HANDLER_ENVIRONMENT_FILE), text);
}

/**
 * What an agent with control of groups would tell systemd: for the commands, and for the services that systemd knows.
 * `undefined` when that is nothing. Source: agent-contract 6.2, 6.7.
 */
function describeLimits({ handlerName }: HandlerInstance, limits: ResourceLimits): string | undefined {
  const slice = `azure-vmextensions-${handlerName.replaceAll('-', '_')}.slice`;
  const quotas = [
    ...(limits.cpuQuotaPercentage === undefined ? [] : [{ unit: slice, quota: limits.cpuQuotaPercentage }]),
    ...limits.services.flatMap(({ name, cpuQuotaPercentage: quota }) =>
      quota === undefined ? [] : [{ unit: name, quota }],
    ),
  ];
  const memory =
    limits.memoryQuotaInMB === undefined ? '' : ' A memory quota is only told to Microsoft, never enforced.';
  if (quotas.length === 0 && memory === '') return undefined;
  const words = quotas.map(({ unit, quota }) => `CPUQuota=${quota}% for ${unit}`).join(', ');
  const set = words === '' ? '' : ` On a VM with systemd, where the agent controls groups, it sets ${words}.`;
  return `resourceLimits in the manifest limit nothing here.${set}${memory}`;
}

const PRIVATE_FOLDER = 0o700;
const OWNER_EXECUTE = 0o100;

/** Gives the owner the right to execute every file, which is all that the agent does for a zip without modes. */
async function setModes(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) await setModes(path);
    else if (entry.isFile()) await chmod(path, (await lstat(path)).mode | OWNER_EXECUTE);
  }
}

/** The first manifest in a walk from the top: the folder's own files before those of the folders in it. */
async function findManifest(folder: string): Promise<string | undefined> {
  const entries = await readdir(folder, { withFileTypes: true });
  if (entries.some((entry) => entry.name === HANDLER_MANIFEST_FILE && !entry.isDirectory())) {
    return `${folder}/${HANDLER_MANIFEST_FILE}`;
  }
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    const found = await findManifest(`${folder}/${entry.name}`);
    if (found !== undefined) return found;
  }
  return undefined;
}
