/**
 * Packs Custom Script once for all black-box tests, for this machine's architecture, into a temporary folder that is
 * removed at the end.
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
  }
}

export async function setup(project: TestProject): Promise<() => void> {
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-packed-'));
  const zip = join(folder, 'custom-script.zip');
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
  const words = [
    'pack',
    'extensions/custom-script',
    '--architectures',
    architecture,
    '--out',
    zip,
    '--quiet',
  ];
  const { exitCode, stderr } = await runHandlerkit(words);
  if (exitCode !== 0) {
    rmSync(folder, { recursive: true, force: true });
    throw new Error(`Custom Script could not be packed:\n${stderr}`);
  }
  project.provide('customScriptZip', zip);
  return () => rmSync(folder, { recursive: true, force: true });
}
