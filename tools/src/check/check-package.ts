/** The rules that need nothing but the files: a zip, a folder that is to become one, or what a project ships. */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { EXTENSION_FILE } from '@handlerkit/sdk';
import {
  HANDLER_MANIFEST_FILE,
  type HandlerManifest,
  PUBLISHER_MANIFEST_FILE,
} from '@handlerkit/sdk/contract';
import { ToolError } from '../errors.ts';
import type { Project } from '../project.ts';
import { parsePackageFile, parsePublisherManifest, type StatedIdentity } from '../vm/package-identity.ts';
import { checkCommandTargets } from './command-rules.ts';
import { checkContents } from './content-rules.ts';
import { type FileFacts, readFacts } from './file-facts.ts';
import { listFolder, listProjectFiles } from './folder-package.ts';
import { checkIdentity, checkPublisherManifest, checkSigningInfo, type Identity } from './identity-rules.ts';
import { checkKinds } from './kind-rules.ts';
import { checkManifest, checkManifestPlaces, wrappedFinding } from './manifest-rules.ts';
import { checkNames } from './name-rules.ts';
import type { PackedFile } from './packed-file.ts';
import { checkPrograms, programMachines } from './program-rules.ts';
import { asProjectFinding, checkProject, secondManifestFinding } from './project-rules.ts';
import type { Finding } from './rule.ts';
import { checkScripts } from './script-rules.ts';
import { openZipPackage } from './zip-package.ts';

export interface StaticOptions {
  /** What the user said about the package; each part wins over what the package says. */
  readonly stated?: StatedIdentity;
  /** Path of an earlier package of the same extension. */
  readonly previous?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface StaticResult {
  readonly kind: 'zip' | 'folder' | 'project';
  readonly findings: readonly Finding[];
  readonly identity: Identity | undefined;
  /** Bytes of the zip; `undefined` for a folder. */
  readonly packedBytes: number | undefined;
  readonly files: readonly { readonly name: string; readonly sizeBytes: number }[];
  /** True: one handler can have several configurations. */
  readonly supportsMultiple?: boolean | undefined;
  /** Processors that the package has programs for; none for a package of scripts. */
  readonly machines?: readonly string[];
  /** Of a project without fault. */
  readonly project?: Project | undefined;
}

/**
 * Checks the zip or folder `path` without running anything of it. Throws `CHECK_NOTHING` for a folder that is neither a
 * project nor a package, and the system's errors; what is wrong with the package is a finding.
 */
export async function checkPackage(path: string, options: StaticOptions = {}): Promise<StaticResult> {
  if (!(await stat(path)).isDirectory()) return await checkZip(path, options);
  if (await isFile(join(path, EXTENSION_FILE))) return await checkProjectFolder(path, options);
  const files = await listFolder(path);
  if (!files.some((file) => basename(file.path).toLowerCase() === HANDLER_MANIFEST_FILE.toLowerCase())) {
    throw new ToolError(
      'CHECK_NOTHING',
      `There is neither ${EXTENSION_FILE} nor ${HANDLER_MANIFEST_FILE} in this folder.`,
      {
        file: path,
        hint: 'Name the folder of an extension, the folder of a package, or a zip.',
      },
    );
  }
  return {
    kind: 'folder',
    ...(await checkFiles(files, [], basename(path), options)),
    packedBytes: undefined,
  };
}

/** Checks the files that a project ships as they are; those that the packer makes are not there yet. */
export async function checkProjectFiles(project: Project, signal?: AbortSignal): Promise<readonly Finding[]> {
  const files = await listProjectFiles(project);
  const facts = await readFacts(files, signal);
  const second = files.filter(
    (file) => basename(file.path).toLowerCase() === HANDLER_MANIFEST_FILE.toLowerCase(),
  );
  return [
    ...second.map((file) => secondManifestFinding(file.name)),
    ...checkNames(files).map(asProjectFinding),
    ...checkKinds(files),
    ...checkScripts(facts),
    ...checkContents(facts),
    ...checkPrograms(facts).filter((one) => one.rule !== 'program-one-architecture'),
  ];
}

async function checkZip(path: string, options: StaticOptions): Promise<StaticResult> {
  const zip = await openZipPackage(path);
  const unreadable = zip.findings.some((one) => one.rule === 'zip-unreadable');
  const checked = unreadable
    ? { findings: zip.findings, identity: undefined, files: [] }
    : await checkFiles(zip.files, zip.findings, basename(path), options);
  return { kind: 'zip', ...checked, packedBytes: zip.sizeBytes };
}

async function checkProjectFolder(folder: string, options: StaticOptions): Promise<StaticResult> {
  const { project, findings } = await checkProject(folder);
  if (project === undefined) {
    return { kind: 'project', findings, identity: undefined, packedBytes: undefined, files: [] };
  }
  const { publisher, type, version } = project.description;
  const identity = { publisher, type, version };
  return {
    kind: 'project',
    findings: [
      ...findings,
      ...(await checkProjectFiles(project, options.signal)),
      ...checkIdentity(identity, EXTENSION_FILE, await readPrevious(options)),
    ],
    identity,
    packedBytes: undefined,
    files: await Promise.all(
      project.files.map(async ({ name, path }) => ({ name, sizeBytes: (await stat(path)).size })),
    ),
    project,
  };
}

type FilesResult = Pick<StaticResult, 'findings' | 'identity' | 'files' | 'supportsMultiple' | 'machines'>;

async function checkFiles(
  files: readonly PackedFile[],
  structure: readonly Finding[],
  packageName: string,
  options: StaticOptions,
): Promise<FilesResult> {
  const facts = await readFacts(files, options.signal);
  const paths = facts.filter(({ file }) => file.kind !== 'folder').map(({ file }) => file.path);
  const publisherText = textOf(facts, PUBLISHER_MANIFEST_FILE);
  const identity = identify(publisherText, packageName, options.stated);
  const { findings, supportsMultiple } = checkHandlerManifest(facts, identity);
  // One fault with one cure, whatever else follows from it.
  const isWrapped = findings.some(({ rule }) => rule === 'manifest-wrapped');
  const publisherFile = publisherText === undefined ? '' : PUBLISHER_MANIFEST_FILE;
  return {
    findings: [
      ...structure,
      ...checkNames(files),
      ...checkKinds(files),
      ...(isWrapped ? [] : checkManifestPlaces(paths)),
      ...findings,
      ...checkIdentity(identity, publisherFile, await readPrevious(options)),
      ...checkPublisherManifest(publisherText, PUBLISHER_MANIFEST_FILE, supportsMultiple),
      ...checkScripts(facts),
      ...checkContents(facts),
      ...checkPrograms(facts),
    ],
    identity,
    supportsMultiple,
    machines: [...programMachines(facts)],
    files: files.filter(({ kind }) => kind !== 'folder').map(({ name, sizeBytes }) => ({ name, sizeBytes })),
  };
}

interface HandlerManifestCheck {
  readonly findings: readonly Finding[];
  readonly supportsMultiple: boolean | undefined;
}

/** The agent takes the manifest at the root once it is there, else the first. */
function checkHandlerManifest(
  facts: readonly FileFacts[],
  identity: Identity | undefined,
): HandlerManifestCheck {
  const places = facts.filter(
    ({ file }) => file.kind === 'file' && basename(file.path) === HANDLER_MANIFEST_FILE,
  );
  const chosen = places.find(({ file }) => file.path === HANDLER_MANIFEST_FILE) ?? places[0];
  if (chosen?.head === undefined) return { findings: [], supportsMultiple: undefined };
  const { name } = chosen.file;
  const mentionsHeartbeat = facts.some((one) => one.mentionsHeartbeat && one !== chosen);
  const checked = checkManifest(chosen.head.toString('utf8'), name, mentionsHeartbeat);
  const { manifest, element } = checked;
  return {
    findings: [
      ...checked.findings,
      ...(manifest === undefined ? [] : checkCommands(manifest, chosen.file, facts)),
      ...(element === undefined ? [] : checkSigningInfo(element, identity, name)),
    ],
    supportsMultiple: manifest?.supportsMultipleExtensions,
  };
}

/** Commands that are all missing at the root and all there beside the manifest: a folder was packed, not its content. */
function checkCommands(
  manifest: HandlerManifest,
  { name, path }: PackedFile,
  facts: readonly FileFacts[],
): readonly Finding[] {
  const found = checkCommandTargets(manifest, name, facts);
  const folder = path.slice(0, path.length - HANDLER_MANIFEST_FILE.length);
  const missing = found.filter(({ rule }) => rule === 'command-file');
  if (folder === '' || missing.length === 0) return found;
  const moved = facts
    .filter(({ file }) => file.path.startsWith(folder))
    .map((one) => ({ ...one, file: { ...one.file, path: one.file.path.slice(folder.length) } }));
  const inside = checkCommandTargets(manifest, name, moved);
  if (inside.some(({ rule }) => rule === 'command-file')) return found;
  return [wrappedFinding(name, folder), ...inside];
}

function textOf(facts: readonly FileFacts[], path: string): string | undefined {
  return facts.find(({ file }) => file.kind === 'file' && file.path === path)?.head?.toString('utf8');
}

function identify(
  publisherText: string | undefined,
  packageName: string,
  stated: StatedIdentity = {},
): Identity | undefined {
  const written = publisherText === undefined ? undefined : parsePublisherManifest(publisherText);
  const found = written ?? parsePackageFile(packageName);
  const publisher = stated.publisher ?? found?.publisher;
  const type = stated.type ?? found?.type;
  const version = stated.version ?? found?.version;
  if (publisher === undefined || type === undefined || version === undefined) return undefined;
  return { publisher, type, version };
}

async function readPrevious({ previous, stated }: StaticOptions): Promise<Identity | undefined> {
  if (previous === undefined) return undefined;
  const zip = await openZipPackage(previous);
  const manifest = zip.files.filter(({ path }) => path === PUBLISHER_MANIFEST_FILE);
  const text = textOf(await readFacts(manifest), PUBLISHER_MANIFEST_FILE);
  const { publisher, type } = stated ?? {};
  const identity = identify(text, basename(previous), text === undefined ? { publisher, type } : {});
  if (identity !== undefined) return identity;
  throw new ToolError('PACKAGE_UNNAMED', 'The earlier package does not say which extension it is.', {
    file: previous,
    hint: 'Name the file Publisher.Type-1.2.3.zip.',
  });
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}
