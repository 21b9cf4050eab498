/** The command line of `handlerkit fabric`. Its part `serve` is for this tool itself, and not shown. */
import type { Argv } from 'yargs';
import type { Run } from './index.ts';

/** Adds the command to the parser. */
export function registerFabric(parser: Argv, run: Run): Argv {
  return parser
    .command(
      '$0',
      false,
      (fabric) =>
        fabric
          .option('vm', {
            type: 'string',
            default: '.handlerkit/vm',
            requiresArg: true,
            describe: 'Folder of the VM; made when there is none',
          })
          .option('vm-settings', VM_SETTINGS)
          .example('$0 fabric', 'Print a line for each request that the VM makes')
          .epilogue('It serves on the addresses that it has on Azure, until Ctrl-C (exit code 0).'),
      (args) =>
        run(async (context) => {
          const { fabricCommand } = await import('./fabric.ts');
          await fabricCommand({ folder: args.vm, vmSettings: args['vm-settings'] === true }, context);
        }),
    )
    .command(
      'serve <folder>',
      false,
      (serve) =>
        serve.positional('folder', { type: 'string', demandOption: true }).option('vm-settings', VM_SETTINGS),
      (args) =>
        run(async (context) => {
          const { fabricServe } = await import('./fabric-serve.ts');
          await fabricServe({ folder: args.folder, vmSettings: args['vm-settings'] === true }, context);
        }),
    );
}

const VM_SETTINGS = {
  type: 'boolean',
  describe: 'Give the goal state as vmSettings of the HostGAPlugin, too ("fast track")',
} as const;
