/**
 * The commands of `handlerkit`. Their names stand here; what they take and what they do is loaded when one of them is
 * asked for, so that `--help` and a mistyped command answer at once.
 */
import type { Argv } from 'yargs';
import type { CommandContext } from '../tool-deps.ts';
import { registerFabric } from './fabric-options.ts';
import { registerVm } from './vm.ts';

/** Tells the program what to do once the command line has been read. */
export type Run = (action: (context: CommandContext) => Promise<void>) => void;

/** Adds every command to the parser. Loads none of them. */
export function registerCommands(parser: Argv, run: Run): void {
  parser.command(
    'init <folder>',
    'Make a new project: a handler with its test, ready to run',
    async (init) => (await import('./init.ts')).builder(init),
    (args) =>
      run(async (context) => {
        const { initCommand } = await import('./init.ts');
        const { folder, publisher, type, description, packages, yes } = args;
        await initCommand({ folder, publisher, type, description, packages, yes: yes === true }, context);
      }),
  );
  parser.command(
    'pack [folder]',
    'Make one self-contained zip of an extension',
    async (pack) => (await import('./pack.ts')).builder(pack),
    (args) =>
      run(async ({ ui, deps, signal }) => {
        const { packCommand } = await import('./pack.ts');
        const { folder, out, architectures, runtime, list } = args;
        const packageVersion = args['package-version'];
        await packCommand({ folder, out, architectures, runtime, packageVersion, list }, ui, {
          env: deps.env,
          signal,
        });
      }),
  );
  parser.command(
    'check [package]',
    'Check an extension or a package, and try it on a fresh local VM',
    async (check) => (await import('./check.ts')).builder(check),
    (args) =>
      run(async (context) => {
        const { checkCommand } = await import('./check.ts');
        const { settings, previous, publisher, type, version } = args;
        await checkCommand(
          {
            package: args.package,
            run: args['no-run'] !== true,
            strict: args.strict === true,
            listRules: args['list-rules'] === true,
            settings,
            protectedSettings: args['protected-settings'],
            previous,
            timeoutMinutes: args['timeout-minutes'],
            identity: { publisher, type, version },
          },
          context,
        );
      }),
  );
  parser.command(
    'deploy <package>',
    'Write the files and commands that put an extension on Azure',
    async (deploy) => (await import('./deploy.ts')).builder(deploy),
    (args) =>
      run(async (context) => {
        const { deployCommand } = await import('./deploy.ts');
        const { format, out, settings, name, vm, vmss, location, publisher, type, version } = args;
        await deployCommand(
          {
            package: args.package,
            format,
            out,
            settings,
            protectedSettings: args['protected-settings'],
            protectedSettingsFromKeyVault: args['protected-settings-from-key-vault'],
            name,
            vm,
            vmss,
            resourceGroup: args['resource-group'],
            location,
            autoUpgradeMinorVersion: args['auto-upgrade-minor-version'],
            enableAutomaticUpgrade: args['enable-automatic-upgrade'],
            forceUpdateTag: args['force-update-tag'],
            provisionAfter: args['provision-after'],
            suppressFailures: args['suppress-failures'],
            identity: { publisher, type, version },
          },
          context,
        );
      }),
  );
  parser.command('vm', 'Try an extension on a local VM, as the Azure Linux Agent runs it', (vm) =>
    registerVm(vm, run),
  );
  parser.command(
    'fabric',
    'Serve a VM the host side of Azure: WireServer, HostGAPlugin, instance metadata',
    (fabric) => registerFabric(fabric, run),
  );
  parser.command(
    'completion [shell]',
    'Print a script that completes commands and options in bash or zsh',
    async (completion) => (await import('./completion.ts')).builder(completion),
    (args) =>
      run(async (context) => {
        const { completionCommand } = await import('./completion.ts');
        completionCommand(args.shell, context);
      }),
  );
}
