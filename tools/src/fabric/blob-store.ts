/**
 * The blobs that a goal state names: version manifests, packages, the artifacts profile, and the one that the agent writes its
 * status to.
 * Source: fabric.md 2, item 7, 3, 6; agent-contract 12.4, 12.6.
 */
import { ContractError } from '@handlerkit/sdk/contract';
import type { GoalStateExtension, GoalStatePackage } from '../agent/goal-state.ts';
import {
  BLOB_FOLDERS,
  type FabricEndpoints,
  formatManifestUrl,
  formatPackageUrl,
  formatProfileUrl,
  formatStatusBlobUrl,
} from './fabric-addresses.ts';
import type { FabricIdentity } from './fabric-identity.ts';
import type { FabricGoalState } from './goal-state-file.ts';
import { type HttpAnswer, type HttpRequest, json, notFound, xml } from './http-server.ts';
import { BLOB_TYPE, type BlobWrite, createBlobWriter } from './status-upload.ts';
import { formatVersionManifest } from './version-manifest.ts';

export interface BlobStore {
  /** The blob at a path of the store. */
  read(path: string): HttpAnswer;
  /** One write to the status blob; 201 when it is done. */
  write(write: BlobWrite): HttpAnswer;
}

export interface BlobStoreOptions {
  readonly identity: FabricIdentity;
  readonly endpoints: () => FabricEndpoints;
  readonly readGoalState: () => FabricGoalState;
  /** Gets the text of a whole status blob. */
  readonly onStatus: (text: string) => void;
}

/** A store whose manifests and packages are those of the goal state at the time of the request. */
export function createBlobStore(options: BlobStoreOptions): BlobStore {
  const { identity, endpoints, readGoalState } = options;
  const writer = createBlobWriter();
  return {
    read: (path) => {
      const { extensions, onHold } = readGoalState();
      if (path.startsWith(BLOB_FOLDERS.manifests)) {
        const listed = extensions.filter(
          (one) => pathOf(formatManifestUrl(endpoints(), one.handlerName)) === path,
        );
        const versions = new Set(listed.flatMap(publishedPackages).map((one) => one.version));
        const [first] = listed;
        if (first === undefined) return notFound('manifest');
        const published = [...versions].map((version) => ({
          version,
          packageUrl: formatPackageUrl(endpoints(), first.handlerName, version),
        }));
        return xml('manifest', formatVersionManifest(published));
      }
      if (path === pathOf(formatProfileUrl(endpoints(), identity))) {
        return json('profile', { onHold: onHold === true });
      }
      if (!path.startsWith(BLOB_FOLDERS.packages)) return notFound();
      const found = extensions
        .flatMap(publishedPackages)
        .find((one) => pathOf(formatPackageUrl(endpoints(), one.handlerName, one.version)) === path);
      if (found === undefined) return notFound('package');
      const headers = { 'content-type': 'application/octet-stream', [BLOB_TYPE]: 'BlockBlob' };
      return { status: 200, subject: 'package', headers, file: found.packageFile };
    },
    write: (write) => {
      const subject = 'status';
      if (write.url.pathname !== pathOf(formatStatusBlobUrl(endpoints(), identity))) return notFound(subject);
      const text = writer.write(write);
      if (text !== undefined) options.onStatus(text);
      return { status: 201, subject };
    },
  };
}

/** What can be had of a handler, each with the name that the URL of its package is made of. */
function publishedPackages(
  extension: GoalStateExtension,
): readonly (GoalStatePackage & { readonly handlerName: string })[] {
  const { handlerName, version, packageFile, packages = [{ version, packageFile }] } = extension;
  return packages.map((one) => ({ handlerName, ...one }));
}

/** Answers one request that comes straight to the store. */
export function answerBlob(store: BlobStore, request: HttpRequest): HttpAnswer {
  if (request.method === 'GET') return store.read(request.path);
  if (request.method !== 'PUT') return notFound();
  const headers = Object.entries(request.headers).flatMap(([name, value]) =>
    typeof value === 'string' ? [[name, value] as const] : [],
  );
  try {
    return store.write({ url: request.url, headers: new Map(headers), content: request.body });
  } catch (thrown) {
    if (!(thrown instanceof ContractError)) throw thrown;
    return { status: 400, subject: 'status', note: thrown.message };
  }
}

function pathOf(url: string): string {
  return new URL(url).pathname;
}
