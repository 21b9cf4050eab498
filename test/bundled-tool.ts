/**
 * The tool as one program, in parts that load when they are needed: what is published starts no slower. The tests start the
 * tool some hundred times, and one that is compiled anew each time takes six times as long to start.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { REPOSITORY, TOOL_VARIABLE } from './handlerkit-command.ts';

/** Bundles it before the tests. Several projects of one run share it: the first makes it. */
export function setup(): (() => void) | undefined {
  if (process.env[TOOL_VARIABLE] !== undefined) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-tool-'));
  // The workers that run the tests inherit it.
  process.env[TOOL_VARIABLE] = bundleTool(folder);
  return () => {
    delete process.env[TOOL_VARIABLE];
    rmSync(folder, { recursive: true, force: true });
  };
}

/** Makes the program of the tool's sources, in a new folder in `folder`; gives its path. */
export function bundleTool(folder: string): string {
  const tools = join(REPOSITORY, 'tools');
  const program = join(folder, 'tool/dist/cli.js');
  // Under another name: a module of the bundle may import the same.
  const require =
    "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);";
  execFileSync(
    join(REPOSITORY, 'node_modules/.bin/esbuild'),
    [
      join(tools, 'src/cli.ts'),
      '--bundle',
      '--platform=node',
      '--format=esm',
      '--splitting',
      '--conditions=@handlerkit/source',
      '--log-level=error',
      `--banner:js=${require}`,
      `--outdir=${dirname(program)}`,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  // Where the tool finds its version, and that its parts are ES modules.
  copyFileSync(join(tools, 'package.json'), join(folder, 'tool/package.json'));
  // Seen from a module of the bundle as from one in a folder of the sources.
  cpSync(join(tools, 'templates'), join(folder, 'templates'), { recursive: true });
  return program;
}
