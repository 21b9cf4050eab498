/** What a package holds: the generated files, the programs, and the author's own files. */
import type { ExtensionDescription } from '@handlerkit/sdk';
import {
  formatHandlerManifest,
  formatHandlerName,
  HANDLER_MANIFEST_FILE,
  PUBLISHER_MANIFEST_FILE,
} from '@handlerkit/sdk/contract';
import type { Project } from '../project.ts';
import { formatLauncher, LAUNCHER_FILE, programFile, SCRIPT_FILE } from './launcher.ts';
import { findPackages, formatLicenses } from './licenses.ts';
import { findIntegrities } from './lock-file.ts';
import { formatPublisherManifest } from './manifest-xml.ts';
import { PINNED_RUNTIMES } from './pinned-runtimes.ts';
import type { Programs } from './programs.ts';
import { type RuntimeDeps, readRuntimeLicense } from './runtime.ts';
import { formatSbom, SBOM_FILE } from './sbom.ts';
import type { ZipEntry } from './zip.ts';

/** The files of the package. Reads the bundled packages' folders and lock files; throws what fetching a runtime throws. */
export async function collectEntries(
  project: Project,
  programs: Programs,
  deps: RuntimeDeps,
): Promise<readonly ZipEntry[]> {
  const { description } = project;
  const { runtime, inspectable, executables, script, inputs } = programs;
  const packages = await findPackages(inputs, project.folder);
  const integrities = await findIntegrities(packages);
  const [pinned] = [...executables.keys()].map((architecture) => PINNED_RUNTIMES[runtime][architecture]);
  const license = pinned && (await readRuntimeLicense(pinned, deps));
  const sbom = formatSbom({
    description,
    runtime,
    architectures: [...executables.keys()],
    packages: packages.map((one) => ({ ...one, integrity: integrities.get(one.folder) })),
  });
  const launcher = formatLauncher({
    handlerName: formatHandlerName(description.publisher, description.type),
    version: description.version,
    architectures: [...executables.keys()],
    runtime,
    inspectable,
    detached: description.enable.detached,
    reportHeartbeat: description.manifest.reportHeartbeat,
  });
  const text = (name: string, content: string, mode: 0o644 | 0o755 = 0o644): ZipEntry => ({
    name,
    mode,
    content: { text: content },
  });
  return [
    text(HANDLER_MANIFEST_FILE, formatManifest(description)),
    text(PUBLISHER_MANIFEST_FILE, formatPublisherManifest(description)),
    text('LICENSES.txt', formatLicenses({ runtime, text: license }, packages)),
    text(SBOM_FILE, sbom),
    text(LAUNCHER_FILE, launcher, 0o755),
    ...[...executables].map(
      ([architecture, file]): ZipEntry => ({
        name: programFile(architecture),
        mode: 0o755,
        content: { file },
      }),
    ),
    ...(script === undefined
      ? []
      : [{ name: SCRIPT_FILE, mode: 0o644, content: { file: script } } satisfies ZipEntry]),
    ...project.files.map(
      ({ name, path, executable }): ZipEntry => ({
        name,
        mode: executable ? 0o755 : 0o644,
        content: { file: path },
      }),
    ),
  ];
}

function formatManifest({ publisher, type, version, manifest }: ExtensionDescription): string {
  return formatHandlerManifest({
    ...manifest,
    name: formatHandlerName(publisher, type),
    version,
    commands: {
      install: `${LAUNCHER_FILE} install`,
      enable: `${LAUNCHER_FILE} enable`,
      disable: `${LAUNCHER_FILE} disable`,
      update: `${LAUNCHER_FILE} update`,
      uninstall: `${LAUNCHER_FILE} uninstall`,
    },
    rebootAfterInstall: false,
  });
}
