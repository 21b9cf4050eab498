import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from './fixtures/run-cli.ts';

const CLI = fileURLToPath(new URL('./cli.ts', import.meta.url));
const NODE_OPTIONS = ['--conditions=@handlerkit/source', '--import', import.meta.resolve('tsx')];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'handlerkit-cli-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('the command line', () => {
  it('prints help with all commands on stdout and exits 0', async () => {
    const { exitCode, stdout, stderr } = await runCli(['--help']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    for (const command of ['handlerkit pack [folder]', 'handlerkit vm']) expect(stdout).toContain(command);
  });

  it('shows an example of itself in the help of every command', async () => {
    const commands = [
      [],
      ...(await commandsOf([])),
      ...(await commandsOf(['vm'])),
      ...(await commandsOf(['fabric'])),
    ];
    expect(commands.length).toBeGreaterThan(18);
    for (const words of commands) {
      const { exitCode, stdout, stderr } = await runCli([...words, '--help']);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(stdout).toMatch(new RegExp(`Examples?:\\n  ${['handlerkit', ...words].join(' ')} `));
    }
  });

  it.each([40, 60, 80])('keeps its help within a terminal of %i columns', async (columns) => {
    for (const words of [[], ['vm'], ['vm', 'set'], ['deploy']]) {
      const { stdout } = await runCli([...words, '--help'], { columns });
      const tooLong = stdout
        .split('\n')
        .filter((line) => line.length > columns && line.trim().includes('  '));
      expect(tooLong, words.join(' ')).toEqual([]);
    }
  });

  it('shows the options of a command before those of every command', async () => {
    for (const words of [['pack'], ['vm'], ['vm', 'set'], ['fabric']]) {
      const { stdout } = await runCli([...words, '--help']);
      const headings = stdout.match(/^[A-Z].*:$/gm);
      expect(headings?.slice(-3), words.join(' ')).toEqual([
        'Options:',
        'Options of every command:',
        'Examples:',
      ]);
    }
  });

  it.each([
    ['44', undefined, 44],
    ['44', 60, 60],
    ['none', undefined, 110],
  ])(
    'with COLUMNS=%s and a terminal of %s columns prints lines of at most %i',
    async (COLUMNS, columns, width) => {
      const { stdout } = await runCli(['pack', '--help'], { columns, env: { COLUMNS } });
      expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(width);
    },
  );

  it.each([
    [['bash'], {}, 'bash'],
    [['zsh'], {}, 'zsh'],
    [[], { SHELL: '/usr/bin/zsh' }, 'zsh'],
    [[], { SHELL: '/bin/bash' }, 'bash'],
    [[], { SHELL: '/bin/fish' }, 'bash'],
    [[], {}, 'bash'],
  ])('completion %j with the environment %j prints the script for %s', async (words, env, shell) => {
    const { stdout } = await runCli(['completion', ...words], { env });
    expect(stdout).toContain(`for ${shell}: handlerkit completion ${shell} >> `);
    const document = JSON.parse((await runCli(['completion', ...words, '--json'], { env })).stdout);
    expect(document).toEqual({ shell, script: stdout });
  });

  it('completes commands, options and their values in bash', async () => {
    const script = join(folder, 'completion.bash');
    const program = join(folder, 'handlerkit');
    await writeFile(
      program,
      `#!/bin/sh\nexec '${process.execPath}' ${NODE_OPTIONS.join(' ')} '${CLI}' "$@"\n`,
      { mode: 0o755 },
    );
    // Whatever shell the user logs in with.
    const env = { ...process.env, PATH: `${folder}:${process.env.PATH}`, SHELL: '/bin/zsh' };
    await writeFile(script, spawnSync(program, ['completion', 'bash'], { env }).stdout);
    const complete = (...words: string[]): string[] => {
      const text = `. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _handlerkit; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout } = spawnSync('bash', ['-c', text, 'bash', script, 'handlerkit', ...words], {
        env,
        encoding: 'utf8',
      });
      return stdout.trim().split('\n');
    };
    expect(complete('p')).toEqual(['pack']);
    expect(complete('vm', 'in')).toEqual(['instance-view']);
    expect(complete('vm', 'set', '--prot')).toEqual(['--protected-settings']);
    expect(complete('vm', 'set', '--agent', 'w')).toEqual(['waagent']);
    expect(complete('completion', 'z')).toEqual(['zsh']);
    expect(complete('vm', 'set', 'no-such-word')).toEqual(['']);
  });

  it('prints the version of the package', async () => {
    expect((await runCli(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([
    [[], 'Name a command.', 'handlerkit --help'],
    [['vm'], 'Name a command of the VM.', 'handlerkit vm --help'],
    [['pakc'], 'There is no command "pakc". Did you mean "pack"?', 'handlerkit --help'],
    [['vm', 'sett'], 'There is no command "sett". Did you mean "set"?', 'handlerkit vm --help'],
    [['vm', '--vm', 'x', 'lst'], 'There is no command "lst". Did you mean "list"?', 'handlerkit vm --help'],
    [['wonderful'], '"wonderful" is one word too many, or no command.', 'handlerkit --help'],
    [
      ['vm', 'list', '--jsn'],
      'There is no option --jsn here. Did you mean --json?',
      'handlerkit vm list --help',
    ],
    [
      ['vm', 'set', 'x.zip', '--protected-setings', '{}'],
      'There is no option --protected-setings here. Did you mean --protected-settings?',
      'handlerkit vm set --help',
    ],
    [['vm', 'set'], '<package> is missing after the command.', 'handlerkit vm set --help'],
    [['vm', 'show'], '<name> is missing after the command.', 'handlerkit vm show --help'],
    [
      ['vm', 'set', 'x.zip', '--settings', '{}', '--settings={"a":1}'],
      'The option --settings stands there twice.',
      undefined,
    ],
    [
      ['vm', 'set', 'x.zip', '--protected-settings', '{}', '--protectedSettings', '{}'],
      'The option --protectedSettings stands there twice.',
      undefined,
    ],
    [['vm', 'set', 'x.zip', '--name'], 'The option --name needs a value.', 'handlerkit vm set --help'],
    [
      ['vm', 'set', 'x.zip', '--keep-settings', '--settings', '{}'],
      '--keep-settings and --settings exclude each other.',
      'handlerkit vm set --help',
    ],
    [['deploy', '.'], 'The option --format must be given.', 'handlerkit deploy --help'],
    [
      ['deploy', '.', '--format', 'bicpe'],
      '"bicpe" is no value for --format. Did you mean "bicep"?',
      'One of: az, powershell, arm, bicep, terraform, vmss-arm, vm-application, shared-extension',
    ],
    [
      ['pack', '--architectures', 'x86_64'],
      '"x86_64" is no value for --architectures.',
      'One of: x64, arm64',
    ],
    [['completion', 'fish'], '"fish" is no value for shell.', 'One of: bash, zsh'],
    [['vm', 'set', 'x.zip', '--settings', '{'], '--settings is not valid JSON.', undefined],
    [['vm', 'set', 'x.zip', '--settings', '[1]'], '--settings must be a JSON object.', undefined],
    [
      ['vm', 'set', 'x.zip', '--timeout-minutes', '0'],
      '--timeout-minutes must be a number above 0.',
      undefined,
    ],
  ])('refuses %j with exit code 2', async (argv, message, help) => {
    const { exitCode, stdout, stderr } = await runCli(argv, { cwd: folder });
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toContain(`error WRONG_USAGE: ${message}\n`);
    expect(stderr).toContain(help === undefined ? 'Try: ' : `Try: ${help}\n`);
  });

  it('prints an error as one JSON document with --json', async () => {
    const { exitCode, stdout, stderr } = await runCli(['vm', 'sett', '--json']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: 'WRONG_USAGE',
        message: 'There is no command "sett". Did you mean "set"?',
        file: null,
        hint: 'handlerkit vm --help',
      },
    });
  });

  it('says which file is missing, without a stack', async () => {
    const { exitCode, stderr } = await runCli(['vm', 'set', 'missing.zip'], { cwd: folder });
    expect(exitCode).toBe(1);
    expect(stderr).toBe(
      `error ENOENT: There is no such file or folder.\n  ${join(folder, 'missing.zip')}\nTry: Check the path.\n`,
    );
  });

  it('never quotes the value of a setting that is no JSON', async () => {
    const { stderr, stdout } = await runCli(
      ['vm', 'set', '.', '--protected-settings', '{"password": "S3CRET'],
      {
        cwd: folder,
      },
    );
    expect(stderr + stdout).not.toContain('S3CRET');
  });

  it.each([
    [true, {}, true],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [false, {}, false],
  ])('with a terminal %s and the environment %j uses colour: %s', async (isTerminal, env, isColoured) => {
    const { stderr } = await runCli(['vm'], { isTerminal, env });
    expect(stderr.includes('\u001b[')).toBe(isColoured);
  });

  it('runs as a program, and does nothing when it is imported', async () => {
    const run = promisify(execFile);
    const program = await run(process.execPath, [...NODE_OPTIONS, CLI, '--version']);
    expect(program.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const imported = await run(process.execPath, [...NODE_OPTIONS, '-e', `import(${JSON.stringify(CLI)})`]);
    expect(imported).toEqual({ stdout: '', stderr: '' });
  });

  it.each([[['--help']], [['--help', '--json']], [['vm', 'list', '--json']]])(
    'says that the output of %j could not be written, and exits 1',
    (argv) => {
      const result = runProgram('exec "$@" >/dev/full', argv);
      expect(result).toEqual({
        status: 1,
        stdout: '',
        stderr:
          'error OUTPUT_FAILED: The output could not be written: The disk is full.\nTry: Free some space and run the command again.\n',
      });
    },
  );

  it('ends quietly when nobody reads on', () => {
    // The writer starts once its reader has gone, so every write fails.
    const script = '{ read -r _ <gone; "$@"; echo "exit $?" >&2; } | { exec <&-; echo >gone; }';
    const result = runProgram(`mkfifo gone && ${script}`, ['--help']);
    expect(result).toEqual({ status: 0, stdout: '', stderr: 'exit 0\n' });
  });

  it('goes on when nobody reads what it says besides', () => {
    const result = runProgram('exec "$@" 2>/dev/full', ['vm', 'show', 'nobody']);
    expect(result).toEqual({ status: 1, stdout: '', stderr: '' });
  });
});

/** Runs the program as the arguments of a shell script, in the folder of the test. */
function runProgram(
  script: string,
  argv: readonly string[],
): { status: number | null; stdout: string; stderr: string } {
  const words = ['-c', script, 'sh', process.execPath, ...NODE_OPTIONS, CLI, ...argv];
  const { status, stdout, stderr } = spawnSync('/bin/sh', words, { cwd: folder, encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** The commands that a help lists, each as its words. */
async function commandsOf(group: readonly string[]): Promise<string[][]> {
  const { stdout } = await runCli([...group, '--help']);
  const list = /^Commands:\n((?: {2}.*\n)+)/m.exec(stdout)?.[1] ?? '';
  return [...list.matchAll(/^ {2}handlerkit ((?:[a-z-]+ ?)+)/gm)].map((match) =>
    (match[1] ?? '').trim().split(' '),
  );
}
