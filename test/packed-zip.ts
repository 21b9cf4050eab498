/**
 * Packs the extensions that the black-box tests run, once for all of them, for this machine's architecture, into a temporary
 * folder that is removed at the end.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { runHandlerkit } from './handlerkit-command.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Path of the packed Custom Script. */
    customScriptZip: string;
    /** Path of the packed VM Access. */
    vmAccessZip: string;
    /** Path of the packed probe: an extension that does what its settings say. Not detached. */
    probeZip: string;
    /** The probe as a detached enable: six seconds at most, run again when it was interrupted, several configurations. */
    detachedProbeZip: string;
    /** The probe as a daemon with a heartbeat. */
    daemonProbeZip: string;
  }
}

const EXTENSIONS = {
  customScriptZip: 'extensions/custom-script',
  vmAccessZip: 'extensions/vm-access',
  probeZip: 'test/fixtures/probe',
  detachedProbeZip: 'test/fixtures/probe-detached',
  daemonProbeZip: 'test/fixtures/probe-daemon',
} as const;

export async function setup(project: TestProject): Promise<() => void> {
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-packed-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const zips = await packZips(folder);
    for (const name of NAMES) project.provide(name, zips[name]);
    return remove;
  } catch (error) {
    remove();
    throw error;
  }
}

/** Packs all of them into a folder; gives the paths. Rejects when one cannot be packed, after the others have ended. */
export async function packZips(folder: string): Promise<Record<keyof typeof EXTENSIONS, string>> {
  const packOne = async (name: keyof typeof EXTENSIONS): Promise<string> => {
    const zip = join(folder, `${name}.zip`);
    const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
    const options = ['--architectures', architecture, '--out', zip, '--quiet'];
    const { exitCode, stderr } = await runHandlerkit(['pack', EXTENSIONS[name], ...options]);
    if (exitCode !== 0) throw new Error(`${EXTENSIONS[name]} could not be packed:\n${stderr}`);
    return zip;
  };
  const packing = NAMES.map((name) => [name, packOne(name)] as const);
  await Promise.allSettled(packing.map(([, zip]) => zip));
  const entries = await Promise.all(packing.map(async ([name, zip]) => [name, await zip] as const));
  return Object.fromEntries(entries) as Record<keyof typeof EXTENSIONS, string>;
}

const NAMES = ['customScriptZip', 'vmAccessZip', 'probeZip', 'detachedProbeZip', 'daemonProbeZip'] as const;
