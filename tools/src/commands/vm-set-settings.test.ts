/** Where `vm set` takes settings from: pipes through the tool as a process of its own in a real shell, and files. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCli } from '../fixtures/run-cli.ts';
import { writeScriptExtension } from '../fixtures/script-extension.ts';
import { TOOL_COMMAND } from '../fixtures/tool-command.ts';
import { useVmFolder } from '../fixtures/vm-folder.ts';

let folder: string;
let zip: string;
useVmFolder(async (made) => {
  folder = made;
  zip = await writeScriptExtension(folder, { version: '1.0.0' });
});

const RELOCATED = ['--isolation', 'relocated', '--json'];

/** What a line of bash prints in which `set` is `vm set` of the extension. */
function bash(line: string): { readonly status: number | null; readonly message: unknown } {
  const define =
    'zip=$1; shift; tool=("$@"); set() { "${tool[@]}" vm set "$zip" --json --isolation relocated "$@"; }';
  const { status, stdout } = spawnSync('bash', ['-c', `${define}; ${line}`, 'bash', zip, ...TOOL_COMMAND], {
    cwd: folder,
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  });
  return { status, message: JSON.parse(stdout) };
}

describe('the settings of vm set', { timeout: 60_000 }, () => {
  it('come from a pipe on standard input', () => {
    const { status, message } = bash(`printf '{"mode":"fail"}' | set --settings @/dev/stdin`);
    expect(JSON.stringify(message)).toContain('did not work');
    expect(status).toBe(1);
  });

  it('come from standard input as @- and from a process substitution, both at once', () => {
    const { status, message } = bash(
      `printf '{"pw":"1234"}' | set --protected-settings @- --settings @<(printf '{"a":1}')`,
    );
    expect(JSON.stringify(message)).toContain('protected bytes: 13');
    expect(status).toBe(0);
  });

  it('are warned of when others can read the file with the protected ones', async () => {
    const file = join(folder, 'secret.json');
    writeFileSync(file, '{"a":"b"}', { mode: 0o644 });
    const words = ['vm', 'set', zip, '--protected-settings', '@secret.json', ...RELOCATED];
    const { stderr, exitCode } = await runCli(words, { cwd: folder });
    expect(stderr).toContain(`${file} holds protected settings, and its mode 0644`);
    expect(exitCode).toBe(0);
  });

  it('are refused, before there is a VM, when a number in them would lose digits', async () => {
    const words = ['vm', 'set', zip, '--settings', '{"id": 9007199254740993}', ...RELOCATED];
    const { stdout, exitCode } = await runCli(words, { cwd: folder });
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'WRONG_USAGE',
      message: expect.stringContaining('--settings holds a number at .id'),
    });
    expect(exitCode).toBe(2);
  });
});
