import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execCommand } from './exec.ts';
import { openScratchFile, scratchFolders } from './scratch-file.ts';

let root: string;
const temporary = process.env.TMPDIR;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'handlerkit-scratch-'));
});
afterEach(() => {
  if (temporary === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = temporary;
  rmSync(root, { recursive: true, force: true });
});

describe('a command on a machine whose folder for temporary files cannot be used', () => {
  beforeEach(() => {
    process.env.TMPDIR = join(root, 'none');
  });

  it('gets its input, and its output is read', async () => {
    const result = await execCommand(['sh', '-c', 'cat; echo trouble >&2'], { stdin: 'protected text' });
    expect(result).toMatchObject({ exitCode: 0, stdout: 'protected text', stderr: 'trouble\n' });
  });

  it('can open its streams again by name', async () => {
    const { stdout } = await execCommand(['sh', '-c', 'cat /dev/stdin >>/dev/stdout'], { stdin: 'a' });
    expect(stdout).toBe('a');
  });

  it('leaves no file in the folder of its own output', async () => {
    const stdoutFile = join(root, 'out');
    await execCommand(['cat'], { stdin: 'secret', stdoutFile });
    expect(readdirSync(root)).toEqual(['out']);
    expect(readFileSync(stdoutFile, 'utf8')).toBe('secret');
  });
});

describe('the folders', () => {
  it('are the temporary one, those of the output, the usual ones and the working folder, each once', () => {
    expect(scratchFolders('/tmp', { stdoutFile: '/a/out', stderrFile: '/a/err', cwd: '/b' })).toEqual([
      ...['/tmp', '/a', '/dev/shm', '/run', '/var/tmp', '/b'],
    ]);
    expect(scratchFolders('/run', {})).toEqual(['/run', '/dev/shm', '/var/tmp', '.']);
  });

  it('are tried in their order until one takes the bytes', async () => {
    mkdirSync(join(root, 'good'));
    writeFileSync(join(root, 'file'), '');
    const file = await openScratchFile(
      [join(root, 'none'), join(root, 'file'), join(root, 'good')],
      Buffer.from('abc'),
    );
    expect(readdirSync(join(root, 'good'))).toEqual([]);
    const { buffer } = await file.read(Buffer.alloc(3), 0, 3, 0);
    expect([buffer.toString(), (await file.stat()).mode & 0o777]).toEqual(['abc', 0o600]);
    await file.close();
  });

  it('are all named, with the reasons, when none can be used', async () => {
    writeFileSync(join(root, 'file'), '');
    await expect(openScratchFile([join(root, 'none'), join(root, 'file')])).rejects.toMatchObject({
      code: 'COMMAND_NOT_STARTED',
      message: `no folder takes a temporary file for a command: ${root}/none (ENOENT), ${root}/file (ENOTDIR); free some space and inodes in one of them, or make it writable`,
    });
  });
});
