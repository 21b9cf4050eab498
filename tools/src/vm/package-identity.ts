/**
 * Which extension a package is: publisher, type and version. Read from the package's own `manifest.xml`; a package
 * without one is named on the command line or by its file name.
 * Source: sdk-anchors 5 (`ProviderNameSpace`, `Type`, `Version`); agent-contract 1.1 (names of folders and zips).
 */
import { basename } from 'node:path';
import {
  formatHandlerFolder,
  formatHandlerName,
  HANDLER_MANIFEST_FILE,
  isVersion,
  PUBLISHER_MANIFEST_FILE,
  parseHandlerFolder,
  parseHandlerManifest,
} from '@handlerkit/sdk/contract';
import { entryPath, listMembers, refuseUnreadable, type ZipMember } from '../agent/package-unpack.ts';
import { readZipContent } from '../agent/zip-content.ts';
import { ToolError, usageError } from '../errors.ts';

export interface PackageIdentity {
  readonly publisher: string;
  readonly type: string;
  readonly version: string;
  /** True for a package whose handler manifest says that one handler can have several configurations. */
  readonly supportsMultiple?: boolean;
}

/** What the user said about the package; each part wins over what the package says. */
export type StatedIdentity = {
  readonly [Key in 'publisher' | 'type' | 'version']?: string | undefined;
};

/**
 * Finds out which extension the zip `file` is. Throws `NOT_A_PACKAGE` for a file that is no zip, `PACKAGE_UNNAMED` when
 * neither the package, nor its file name, nor `stated` says it, and `WRONG_USAGE` for a stated part that cannot be one.
 */
export async function readPackageIdentity(file: string, stated: StatedIdentity): Promise<PackageIdentity> {
  const { publisherManifest, handlerManifest } = await readManifests(file);
  const found =
    publisherManifest === undefined
      ? parsePackageFile(basename(file))
      : parsePublisherManifest(publisherManifest);
  const publisher = stated.publisher ?? found?.publisher;
  const type = stated.type ?? found?.type;
  const version = stated.version ?? found?.version;
  if (publisher === undefined || type === undefined || version === undefined) {
    throw new ToolError(
      'PACKAGE_UNNAMED',
      `The package does not say which extension it is: it has no usable ${PUBLISHER_MANIFEST_FILE}.`,
      {
        file,
        hint: 'Add --publisher NAME --type NAME --version 1.2.3, or name the file Publisher.Type-1.2.3.zip.',
      },
    );
  }
  const identity = { publisher, type, version };
  checkIdentity(identity, file);
  const supportsMultiple = handlerManifest !== undefined && isMultiple(handlerManifest);
  return supportsMultiple ? { ...identity, supportsMultiple } : identity;
}

/** Reads the three names out of a `manifest.xml`; `undefined` when one is missing. */
export function parsePublisherManifest(text: string): PackageIdentity | undefined {
  const publisher = readPublisherElement(text, 'ProviderNameSpace');
  const type = readPublisherElement(text, 'Type');
  const version = readPublisherElement(text, 'Version');
  if (publisher === undefined || type === undefined || version === undefined) return undefined;
  return { publisher, type, version };
}

/** Text of the first element of that name in a `manifest.xml`; `undefined` when there is none or it is empty. */
export function readPublisherElement(manifest: string, element: string): string | undefined {
  const body = manifest.replace(/<!--[\s\S]*?-->/g, '');
  const match = new RegExp(`<(?:\\w+:)?${element}(?:\\s[^>]*)?>([^<]*)<`).exec(body);
  const content = match?.[1]?.trim();
  return content === undefined || content === '' ? undefined : unescapeXml(content);
}

/** Text of the `manifest.xml` in a zip; `undefined` when there is none. Throws `NOT_A_PACKAGE` for a file that is no zip. */
export async function readPublisherManifest(file: string): Promise<string | undefined> {
  return (await readManifests(file)).publisherManifest;
}

/** Reads the names out of a file name of the form `Publisher.Type-1.2.3.zip`; the type is the last dotted part. */
export function parsePackageFile(fileName: string): PackageIdentity | undefined {
  if (!fileName.toLowerCase().endsWith('.zip')) return undefined;
  const parsed = parseHandlerFolder(fileName.slice(0, -'.zip'.length));
  const at = parsed?.handlerName.lastIndexOf('.') ?? -1;
  if (parsed === undefined || at <= 0) return undefined;
  const type = parsed.handlerName.slice(at + 1);
  if (type === '') return undefined;
  return { publisher: parsed.handlerName.slice(0, at), type, version: parsed.version };
}

/** More than any real manifest has; a larger one is not read. */
const MANIFEST_LIMIT_BYTES = 1024 * 1024;

/** The names become folder names, and the agent splits those at the last `-`. */
function checkIdentity(identity: PackageIdentity, file: string): void {
  const handlerName = formatHandlerName(identity.publisher, identity.type);
  const folder = parseHandlerFolder(formatHandlerFolder(handlerName, identity.version));
  if (!/^[A-Za-z0-9.]+$/.test(handlerName) || handlerName.startsWith('.') || /\.\.|\.$/.test(handlerName)) {
    throw usageError(
      `"${handlerName}" cannot be the name of an extension (${file}).`,
      'Publisher and type consist of letters, digits and dots: handlerkit vm set --help.',
    );
  }
  if (!isVersion(identity.version) || folder?.version !== identity.version) {
    throw usageError(
      `"${identity.version}" is no version that the agent accepts (${file}).`,
      'A version consists of numbers and dots, such as 1.2.3.',
    );
  }
}

interface Manifests {
  readonly publisherManifest: string | undefined;
  readonly handlerManifest: string | undefined;
}

/** A manifest that the agent cannot read is its business: it says so when the package is set. */
function isMultiple(handlerManifest: string): boolean {
  try {
    return parseHandlerManifest(handlerManifest, HANDLER_MANIFEST_FILE).supportsMultipleExtensions;
  } catch {
    return false;
  }
}

async function readManifests(file: string): Promise<Manifests> {
  let publisherManifest: string | undefined;
  let handlerManifest: string | undefined;
  try {
    for (const member of await listMembers(file)) {
      const path = entryPath(member.name);
      if (path === PUBLISHER_MANIFEST_FILE) publisherManifest ??= await readMember(file, member);
      // The agent takes the first file of this name, wherever it is.
      if (basename(path) === HANDLER_MANIFEST_FILE) handlerManifest ??= await readMember(file, member);
    }
    return { publisherManifest, handlerManifest };
  } catch (thrown) {
    // A missing or unreadable file is the system's error; anything else means that it is no zip.
    if (thrown instanceof ToolError || (thrown instanceof Error && 'syscall' in thrown)) throw thrown;
    throw notAPackage(file, thrown);
  }
}

async function readMember(file: string, member: ZipMember): Promise<string> {
  const { record, name, index } = member;
  if (record.sizeBytes > MANIFEST_LIMIT_BYTES) {
    throw new ToolError('NOT_A_PACKAGE', `${name} in the package is larger than 1 MiB.`, {
      file,
      hint: 'Pack the extension again: handlerkit pack.',
    });
  }
  refuseUnreadable(member);
  const pieces: Buffer[] = [];
  for await (const piece of readZipContent(file, record, index)) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

function notAPackage(file: string, cause: unknown): ToolError {
  return new ToolError('NOT_A_PACKAGE', 'The file is not a zip that can be read.', {
    file,
    hint: 'Give the zip that `handlerkit pack` made, or the folder of the extension.',
    cause,
  });
}

const XML_ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function unescapeXml(text: string): string {
  return text.replace(/&(lt|gt|amp|quot|apos);/g, (whole, name: string) => XML_ENTITIES[name] ?? whole);
}
