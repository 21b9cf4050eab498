/** Runs `bun build` apart from the user's own bun: no configuration, no variables, temporary files in the work folder. */
import { mkdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ToolError } from '../errors.ts';
import { runChild } from './child-program.ts';

export interface BunBuild {
  /** The bun that builds: of this machine's architecture. */
  readonly bun: string;
  /** The entry module, absolute. */
  readonly entry: string;
  /** Besides the entry, the conditions and the list of inputs. */
  readonly args: readonly string[];
  /** Folder for bun's temporary files. */
  readonly workFolder: string;
  /** For the error text. */
  readonly purpose: string;
}

export interface BuildDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal | undefined;
}

/** Builds; gives the absolute paths of the source files that went in, sorted. Throws `BUNDLE_FAILED` with bun's own words. */
export async function runBunBuild(build: BunBuild, deps: BuildDeps): Promise<readonly string[]> {
  const { workFolder } = build;
  const home = join(workFolder, 'home');
  await mkdir(home, { recursive: true });
  const metafile = join(workFolder, 'meta.json');
  await runChild(
    [
      build.bun,
      'build',
      build.entry,
      ...build.args,
      '--env=disable',
      '--conditions=@handlerkit/source',
      `--metafile=${metafile}`,
    ],
    {
      cwd: workFolder,
      // A home of its own: no bunfig of the user, and none of bun's variables.
      env: { PATH: deps.env.PATH, HOME: home, TMPDIR: workFolder, NO_COLOR: '1', LC_ALL: 'C' },
      timeoutMs: 3 * 60 * 1000,
      errorCode: 'BUNDLE_FAILED',
      purpose: build.purpose,
      hint: 'Correct the error that bun names.',
      signal: deps.signal,
    },
  );
  return await readInputs(metafile, workFolder);
}

async function readInputs(metafile: string, base: string): Promise<readonly string[]> {
  const meta: unknown = JSON.parse(await readFile(metafile, 'utf8'));
  if (typeof meta !== 'object' || meta === null || !('inputs' in meta)) throw unreadable();
  const { inputs } = meta;
  if (typeof inputs !== 'object' || inputs === null) throw unreadable();
  return Object.keys(inputs)
    .map((path) => resolve(base, path))
    .sort();
}

function unreadable(): ToolError {
  return new ToolError('BUNDLE_FAILED', 'bun gave no list of the files that it compiled.');
}
