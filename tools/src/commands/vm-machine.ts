/** The command lines of `handlerkit vm` that act on the VM as a machine: reboot, exec, kill-at, diff. */
import type { Argv } from 'yargs';
import type { Run } from './index.ts';
import { chooseVm, MAKING_OPTIONS } from './vm-options.ts';

export function addMachineCommands(vm: Argv<{ vm: string }>, run: Run): void {
  addReboot(vm, run);
  addExec(vm, run);
  addKillAt(vm, run);
  addDiff(vm, run);
}

function addReboot(vm: Argv<{ vm: string }>, run: Run): void {
  vm.command(
    'reboot',
    'Kill all that runs in the VM, start it anew, and enable every extension again',
    (command) =>
      command
        .option('no-wait', { type: 'boolean', describe: 'Do not wait until the extensions have finished' })
        .example('$0 vm reboot', 'See what an extension does after a restart'),
    (args) =>
      run(async (context) => {
        const { vmReboot } = await import('./vm-reboot.ts');
        await vmReboot({ folder: args.vm, wait: args['no-wait'] !== true }, context);
      }),
  );
}

function addExec(vm: Argv<{ vm: string }>, run: Run): void {
  vm.command(
    'exec [command..]',
    'Open a shell in the VM as root, or run a command there; its exit code is that of the tool',
    (command) =>
      command
        .positional('command', {
          type: 'string',
          array: true,
          default: [],
          describe: 'Program and arguments, after -- (default: a shell)',
        })
        .options(MAKING_OPTIONS)
        .example('$0 vm exec', 'Look around in the VM')
        .example('$0 vm exec -- cat /etc/os-release', 'Run one command'),
    (args) =>
      run(async (context) => {
        const { vmExec } = await import('./vm-exec.ts');
        // What stands after `--` comes behind the names of the commands.
        const command = [...args.command, ...args._.slice(WORDS_OF_COMMAND).map(String)];
        await vmExec({ vm: chooseVm(args), command }, context);
      }),
  );
}

function addKillAt(vm: Argv<{ vm: string }>, run: Run): void {
  vm.command(
    'kill-at [step]',
    'Kill the VM, as a power cut does, when the next command reaches a step',
    (command) =>
      command
        .positional('step', {
          type: 'string',
          describe:
            'OPERATION, OPERATION+300ms, OPERATION:exit, enable:transitioning or enable:final (default: show it)',
        })
        .option('clear', { type: 'boolean', describe: 'Take it back' })
        .conflicts('clear', 'step')
        .options(MAKING_OPTIONS)
        .example('$0 vm kill-at enable+300ms', 'Then: handlerkit vm set, and handlerkit vm reboot'),
    (args) =>
      run(async (context) => {
        const { vmKillAt } = await import('./vm-kill-at.ts');
        await vmKillAt({ vm: chooseVm(args), step: args.step, clear: args.clear === true }, context);
      }),
  );
}

function addDiff(vm: Argv<{ vm: string }>, run: Run): void {
  vm.command(
    'diff [path..]',
    'List the files that the handlers have changed in the VM; with a path, the lines that differ',
    (command) =>
      command
        .positional('path', {
          type: 'string',
          array: true,
          default: [],
          describe: 'Files or folders of the VM (default: all)',
        })
        .option('all', { type: 'boolean', describe: "List the agent's own files and temporary ones, too" })
        .example('$0 vm diff', 'See what an extension has done to the machine')
        .example('$0 vm diff /etc/ssh', 'See the changed lines'),
    (args) =>
      run(async (context) => {
        const { vmDiff } = await import('./vm-diff.ts');
        await vmDiff({ folder: args.vm, paths: args.path, all: args.all === true }, context);
      }),
  );
}

/** `vm exec` */
const WORDS_OF_COMMAND = 2;
