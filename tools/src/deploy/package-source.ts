/** What is deployed: the folder of an extension or a package, and what it says of itself. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { ExtensionDescription } from '@handlerkit/sdk';
import { packProject } from '../pack/pack.ts';
import { readProject } from '../project.ts';
import type { ToolDeps } from '../tool-deps.ts';
import type { PackageIdentity, StatedIdentity } from '../vm/package-identity.ts';
import { readPackageIdentity, readPublisherManifest } from '../vm/package-identity.ts';
import { PLATFORM_MINUTES, type PublisherTexts } from './deployment.ts';
import { parsePublisherTexts } from './publisher-texts.ts';

export interface PackageSource {
  readonly identity: PackageIdentity;
  readonly texts: PublisherTexts;
  /** How long enable may take, in minutes: the extension's own word, or what the platform gives at most. */
  readonly timeoutMinutes: number;
  /** Calls `use` with the zip: the one that was given, or the folder packed into `work`. */
  withZip<T>(work: string, use: (zip: string) => Promise<T>): Promise<T>;
}

export interface PackageSourceDeps {
  readonly env: ToolDeps['env'];
  readonly signal: AbortSignal;
  progress(text: string): void;
  warning(text: string): void;
}

/** Reads the folder's description or the zip's manifests. Throws what reading a project or a package throws. */
export async function readPackageSource(
  source: string,
  stated: StatedIdentity,
  deps: PackageSourceDeps,
): Promise<PackageSource> {
  return statSync(source).isDirectory()
    ? await folderSource(source, stated, deps)
    : await zipSource(source, stated);
}

async function folderSource(
  folder: string,
  stated: StatedIdentity,
  deps: PackageSourceDeps,
): Promise<PackageSource> {
  const { description } = await readProject(folder, { version: stated.version });
  const { publisher, type, version } = description;
  return {
    identity: { publisher, type, version },
    texts: describedTexts(description),
    timeoutMinutes: description.enable.timeoutMinutes,
    withZip: async (work, use) => {
      const packed = await packProject(
        { folder, out: join(work, 'package.zip'), architectures: undefined, version: stated.version },
        { progress: deps.progress, env: deps.env, signal: deps.signal },
      );
      for (const warning of packed.warnings) deps.warning(warning);
      return await use(packed.file);
    },
  };
}

async function zipSource(file: string, stated: StatedIdentity): Promise<PackageSource> {
  const identity = await readPackageIdentity(file, stated);
  const manifest = await readPublisherManifest(file);
  return {
    identity,
    texts: parsePublisherTexts(manifest ?? '', identity.type),
    timeoutMinutes: PLATFORM_MINUTES,
    withZip: async (_work, use) => await use(file),
  };
}

function describedTexts(description: ExtensionDescription): PublisherTexts {
  const { label, company, eula, privacy, homepage, architectures } = description;
  return { label, description: description.description, company, eula, privacy, homepage, architectures };
}
