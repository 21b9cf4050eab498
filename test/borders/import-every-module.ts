/**
 * Child program of the import test: reads paths from stdin, imports one module after the other, and prints a sentence
 * for each effect that an import had, then `done`. It ends by itself, unless a module holds it.
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/** What an import must leave as it was. */
function snapshot(): Record<string, unknown> {
  return {
    'the environment': { ...process.env },
    'the working folder': process.cwd(),
    'the exit code': process.exitCode ?? null,
    'the listeners of the process': process
      .eventNames()
      .map((name) => `${String(name)} ${process.listenerCount(name)}`),
    'the open handles': process
      .getActiveResourcesInfo()
      // Files that the loader reads and closes, and the process's own stdin, stdout and stderr, which packages look at.
      .filter((name) => !name.startsWith('FS') && name !== 'CloseReq' && name !== 'PipeWrap')
      .sort(),
  };
}

const written: string[] = [];
const { write } = process.stdout;
for (const stream of [process.stdout, process.stderr]) {
  stream.write = (text: string | Uint8Array) => {
    written.push(text.toString());
    return true;
  };
}

const paths = readFileSync(0, 'utf8').split('\n');
const effects: string[] = [];
for (const path of paths) {
  const before = snapshot();
  try {
    await import(pathToFileURL(path).href);
  } catch (error) {
    effects.push(`${path}: importing it throws: ${error instanceof Error ? error.message : String(error)}`);
  }
  const after = snapshot();
  for (const text of written.splice(0)) effects.push(`${path}: importing it prints ${JSON.stringify(text)}`);
  for (const [what, value] of Object.entries(before)) {
    if (JSON.stringify(after[what]) !== JSON.stringify(value))
      effects.push(`${path}: importing it changes ${what}`);
  }
}
process.stdout.write = write;
process.stdout.write([...effects, 'done'].map((line) => `${line}\n`).join(''));
