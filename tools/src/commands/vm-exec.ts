/**
 * `handlerkit vm exec`: a shell, or one command, in the VM, with the streams of the tool. Its exit code is the tool's. It has
 * the environment of a login, and nothing of the tool's own but the type of the terminal.
 */
import { existsSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { isatty } from 'node:tty';
import { EXIT_PASSED_ON, ToolError, usageError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import type { LocalVm, VmChoice } from '../vm/local-vm.ts';
import { sayLimits, withLocalVm } from '../vm/local-vm.ts';

export interface VmExecOptions {
  readonly vm: VmChoice;
  /** Program and arguments; empty: a shell. */
  readonly command: readonly string[];
}

/**
 * Runs the command to its end. With `--json` its output is in the document. Throws an error that carries the command's exit
 * code unless that is 0, and the signal's reason when the tool is asked to end while it has no terminal.
 */
export async function vmExec(options: VmExecOptions, context: CommandContext): Promise<void> {
  const { ui, deps, signal } = context;
  const onTerminal = isatty(0) && !ui.isJson;
  if (ui.isJson && options.command.length === 0 && isatty(0)) {
    throw usageError(
      'A shell for a person prints no JSON document.',
      'Name a command: handlerkit vm exec --json -- ls',
    );
  }
  const exitCode = await withLocalVm(options.vm, context, async (vm) => {
    sayLimits(vm, context);
    const argv = argvOf(options.command, vm, onTerminal);
    requireProgram(argv[0], vm);
    const result = await vm.machine.attach({
      argv,
      cwd: vm.machine.libFolder,
      env: loginEnvironment(vm, deps.env),
      onTerminal,
      captured: ui.isJson,
      signal,
    });
    if (!onTerminal) signal.throwIfAborted();
    ui.json(result);
    return result.exitCode;
  });
  if (exitCode === 0) return;
  throw new ToolError(EXIT_PASSED_ON, `The command ended with exit code ${exitCode}.`, { exitCode });
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function argvOf(
  [program, ...args]: readonly string[],
  vm: LocalVm,
  onTerminal: boolean,
): readonly [string, ...string[]] {
  if (program !== undefined) return [program, ...args];
  return [shellOf(vm), ...(onTerminal ? ['-l'] : [])];
}

/**
 * Says what is amiss with a program before the VM's entrance does, in its own name and words. Throws `COMMAND_NOT_FOUND` or
 * `COMMAND_NOT_EXECUTABLE`, with the exit codes of a shell.
 */
function requireProgram(program: string, { machine }: LocalVm): void {
  const paths = program.includes('/')
    ? [posix.resolve(machine.libFolder, program)]
    : PATH.split(':').map((folder) => `${folder}/${program}`);
  const files = paths.flatMap((path) => {
    const found = statSync(machine.hostPath(path), { throwIfNoEntry: false });
    return found?.isFile() === true ? [{ path, mode: found.mode }] : [];
  });
  if (files.some(({ mode }) => (mode & 0o111) !== 0)) return;
  const [file] = files;
  if (file === undefined) {
    throw new ToolError('COMMAND_NOT_FOUND', `There is no program ${JSON.stringify(program)} in the VM.`, {
      hint: `Programs are looked for in ${PATH}. What only a shell knows: handlerkit vm exec -- sh -c '…'`,
      exitCode: 127,
    });
  }
  throw new ToolError('COMMAND_NOT_EXECUTABLE', `${file.path} in the VM is not executable.`, {
    hint: `Make it so, or name the program that reads it: handlerkit vm exec -- sh ${file.path}`,
    exitCode: 126,
  });
}

function shellOf({ machine }: LocalVm): string {
  return existsSync(machine.hostPath('/bin/bash')) ? '/bin/bash' : '/bin/sh';
}

/** A relocated VM's commands are the user's own, so they have the user's names. */
function loginEnvironment(vm: LocalVm, own: CommandContext['deps']['env']): Readonly<Record<string, string>> {
  const isRoot = vm.machine.kind === 'overlay';
  const user = isRoot ? 'root' : (own.USER ?? own.LOGNAME);
  const home = isRoot ? '/root' : own.HOME;
  return {
    PATH,
    LANG: 'C.UTF-8',
    SHELL: shellOf(vm),
    ...(home === undefined ? {} : { HOME: home }),
    ...(user === undefined ? {} : { USER: user, LOGNAME: user }),
    ...(own.TERM === undefined ? {} : { TERM: own.TERM }),
  };
}
