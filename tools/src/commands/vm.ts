/** The command lines of `handlerkit vm`; names and parameters follow `az vm extension`. */
import type { Operation } from '@handlerkit/sdk/contract';
import type { Argv } from 'yargs';
import type { Run } from './index.ts';
import { addMachineCommands } from './vm-machine.ts';
import { chooseVm, MAKING_OPTIONS } from './vm-options.ts';

/** Folder of the VM when `--vm` names none. */
const DEFAULT_VM_FOLDER = '.handlerkit/vm';

/** Adds the commands of the local VM to the parser. */
export function registerVm(parser: Argv, run: Run): Argv {
  const vm = parser
    .usage('$0 vm <command>')
    .option('vm', {
      type: 'string',
      default: DEFAULT_VM_FOLDER,
      requiresArg: true,
      describe: 'Folder of the VM; another folder is another VM',
    })
    .example('$0 vm set . --settings @settings.json', 'Try the extension in this folder')
    .example('$0 vm reset', 'Delete the VM')
    .demandCommand(1, 'Name a command of the VM.');
  addSet(vm, run);
  addViews(vm, run);
  addMachineCommands(vm, run);
  addEnds(vm, run);
  addUi(vm, run);
  addServices(vm, run);
  return vm;
}

function addSet(vm: Argv<{ vm: string }>, run: Run): void {
  vm.command(
    'set <package>',
    'Install an extension, or give it new settings or another version',
    (command) =>
      command
        .version(false)
        .positional('package', {
          type: 'string',
          demandOption: true,
          describe: 'Zip of the extension, or its folder, which is packed first',
        })
        .option(
          'settings',
          text('Public settings: JSON or @FILE (@- for standard input). Not given: none, as with az'),
        )
        .option(
          'protected-settings',
          text(
            'Protected settings: JSON or @FILE (@- for standard input). Prefer a file: others see a command line',
          ),
        )
        .option('keep-settings', {
          type: 'boolean',
          describe: 'Leave all settings as they are, as an upgrade by the platform does',
          conflicts: ['settings', 'protected-settings'],
        })
        .option('name', text('Name of the instance (default: the type)'))
        .option('force-update-tag', text('Another value than the last time makes a new sequence number'))
        .option('provision-after', text('Names of extensions that have to succeed first: NAME[,NAME]'))
        .option('suppress-failures', {
          type: 'boolean',
          describe: 'A failure of the extension does not fail the command',
        })
        .option('publisher', text('For a package that does not say it'))
        .option('type', text('For a package that does not say it'))
        .option('version', text('For a package that does not say it'))
        .option('no-wait', { type: 'boolean', describe: 'Do not wait until the extension has finished' })
        .option('timeout-minutes', {
          type: 'string',
          default: '90',
          requiresArg: true,
          describe: 'How long to wait until the extension has finished',
        })
        .option('watch', {
          type: 'boolean',
          describe:
            'For a folder: pack and apply again after every change, until Ctrl-C (exit code 130; the VM stays)',
        })
        .option('inspect', {
          type: 'string',
          describe:
            'For a folder: stop for a debugger (VS Code, Chrome) on this port of 127.0.0.1 (default: 9229), without time limits of the agent',
        })
        .option('inspect-operation', {
          choices: OPERATION_NAMES,
          describe: 'The operation that stops for it, at its first line (default: enable)',
        })
        .options(MAKING_OPTIONS)
        .example('$0 vm set . --settings @settings.json', 'Pack the extension in this folder and apply it')
        .example('$0 vm set . --settings @settings.json --watch', 'The same after every change')
        .example(
          '$0 vm set . --inspect=9230 --inspect-operation update',
          'Debug the update from what is there',
        )
        .example('$0 vm set greeter-1.1.0.zip --keep-settings', 'Rehearse an upgrade'),
    (args) =>
      run(async (context) => {
        const { vmSet } = await import('./vm-set.ts');
        await vmSet(
          {
            vm: chooseVm(args),
            package: args.package,
            settings: args.settings,
            protectedSettings: args['protected-settings'],
            keepSettings: args['keep-settings'] === true,
            name: args.name,
            forceUpdateTag: args['force-update-tag'],
            provisionAfter: args['provision-after'],
            suppressFailures: args['suppress-failures'],
            identity: { publisher: args.publisher, type: args.type, version: args.version },
            wait: args['no-wait'] !== true,
            timeoutMinutes: args['timeout-minutes'],
            watch: args.watch,
            inspect: args.inspect,
            inspectOperation: args['inspect-operation'],
          },
          context,
        );
      }),
  );
}

function addViews(vm: Argv<{ vm: string }>, run: Run): void {
  vm.command(
    'list',
    'List the extensions of the VM',
    (command) => command.example('$0 vm list --json', 'As `az vm extension list` prints it'),
    (args) =>
      run(async (context) => {
        const { vmList } = await import('./vm-show.ts');
        await vmList({ folder: args.vm }, context);
      }),
  );
  vm.command(
    'show <name>',
    'Show one extension, with its settings',
    (command) =>
      command
        .positional('name', NAME)
        .example('$0 vm show CustomScript', 'As `az vm extension show` prints it'),
    (args) =>
      run(async (context) => {
        const { vmShow } = await import('./vm-show.ts');
        await vmShow({ folder: args.vm, name: args.name }, context);
      }),
  );
  vm.command(
    'instance-view',
    'Show how the extensions fare, as the platform sees it',
    (command) =>
      command.example(
        '$0 vm instance-view',
        'As `az vm get-instance-view --query instanceView.extensions` prints it',
      ),
    (args) =>
      run(async (context) => {
        const { vmInstanceView } = await import('./vm-show.ts');
        await vmInstanceView({ folder: args.vm }, context);
      }),
  );
  vm.command(
    'events [name]',
    'Print the telemetry events of the extensions, and why the agent lost others',
    (command) =>
      command
        .positional('name', { type: 'string', describe: 'Name of the extension on the VM (default: all)' })
        .option('follow', { type: 'boolean', describe: 'Go on until Ctrl-C' })
        .example('$0 vm events CustomScript --follow', 'Watch the events of an extension'),
    (args) =>
      run(async (context) => {
        const { vmEvents } = await import('./vm-events.ts');
        await vmEvents({ folder: args.vm, name: args.name, follow: args.follow === true }, context);
      }),
  );
  vm.command(
    'logs [name]',
    'Print the logs of an extension and of the commands that the agent ran for it, or of all and the agent',
    (command) =>
      command
        .positional('name', ANY_NAME)
        .option('follow', { type: 'boolean', describe: 'Go on until Ctrl-C' })
        .example('$0 vm logs CustomScript --follow', 'Watch an extension at work'),
    (args) =>
      run(async (context) => {
        const { vmLogs } = await import('./vm-logs.ts');
        await vmLogs({ folder: args.vm, name: args.name, follow: args.follow === true }, context);
      }),
  );
}

function addEnds(vm: Argv<{ vm: string }>, run: Run): void {
  vm.command(
    'delete <name>',
    'Disable and uninstall an extension',
    (command) => command.positional('name', NAME).example('$0 vm delete CustomScript', 'Remove an extension'),
    (args) =>
      run(async (context) => {
        const { vmDelete } = await import('./vm-delete.ts');
        await vmDelete({ folder: args.vm, name: args.name }, context);
      }),
  );
  vm.command(
    'reset',
    'End everything that runs in the VM and delete the VM',
    (command) => command.example('$0 vm reset', 'Start anew'),
    (args) =>
      run(async (context) => {
        const { vmReset } = await import('./vm-delete.ts');
        await vmReset({ folder: args.vm }, context);
      }),
  );
}

function addUi(vm: Argv<{ vm: string }>, run: Run): void {
  vm.command(
    'ui',
    'Serve a page of the VM for a browser on this machine, until Ctrl-C (exit code 0)',
    (command) =>
      command
        .option('port', text('Port of 127.0.0.1 (default: any free one)'))
        .options(MAKING_OPTIONS)
        .example('$0 vm ui', 'See the VM in a browser, and apply, reboot and delete from there'),
    (args) =>
      run(async (context) => {
        const { vmUi } = await import('./vm-ui.ts');
        await vmUi({ vm: chooseVm(args), port: args.port }, context);
      }),
  );
}

/** For this tool itself, and not shown. */
function addServices(vm: Argv<{ vm: string }>, run: Run): void {
  vm.command(
    'relay <folder> <port>',
    false,
    (command) =>
      command
        .positional('folder', { type: 'string', demandOption: true })
        .positional('port', { type: 'string', demandOption: true }),
    (args) =>
      run(async (context) => {
        const { vmRelay } = await import('./vm-relay.ts');
        await vmRelay({ folder: args.folder, port: Number(args.port) }, context);
      }),
  );
}

/** As in the contract, which is not loaded for the command line alone. */
const OPERATION_NAMES: readonly Operation[] = ['install', 'enable', 'disable', 'update', 'uninstall'];
const ANY_NAME = { type: 'string', describe: 'Name of the extension on the VM (default: all)' } as const;
const NAME = { type: 'string', demandOption: true, describe: 'Name of the extension on the VM' } as const;

function text(describe: string): { type: 'string'; requiresArg: true; describe: string } {
  return { type: 'string', requiresArg: true, describe };
}
