/** The tool as one program, in parts that load when they are needed: what is published starts no slower. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { REPOSITORY } from './handlerkit-command.ts';

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
