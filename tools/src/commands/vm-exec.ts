/**
 * `handlerkit vm exec`: a shell, or one command, in the VM, with the streams of the tool. Its exit code is the tool's. It has
 * the environment of a login, and nothing of the tool's own but the type of the terminal.
 */
import { existsSync } from 'node:fs';
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
    const result = await vm.machine.attach({
      argv: argvOf(options.command, vm, onTerminal),
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
