/** `handlerkit deploy <package>`: the files and command lines that put an extension on Azure. Changes nothing there itself. */
import { rename } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { Argv } from 'yargs';
import { type DeployOptions, describeProtectedFile, readDeployment } from '../deploy/deploy-request.ts';
import { DEPLOY_FORMATS, type DeployFile, type DeployFormat, type Deployment } from '../deploy/deployment.ts';
import { formatFiles } from '../deploy/formats.ts';
import { nextStep } from '../deploy/next-step.ts';
import { type PackageSource, readPackageSource } from '../deploy/package-source.ts';
import { findSecretLooking } from '../deploy/settings-check.ts';
import { archiveName } from '../deploy/vm-application.ts';
import { choosePlace, type DeployPlace, writeDeployFiles } from '../deploy/write-files.ts';
import { usageError } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import type { CommandContext } from '../tool-deps.ts';
import type { StatedIdentity } from '../vm/package-identity.ts';

export interface DeployArguments extends DeployOptions {
  /** Path of a zip or of an extension's folder. */
  readonly package: string;
  readonly out: string | undefined;
  readonly identity: StatedIdentity;
}

/** Declares the command's arguments. */
export function builder(yargs: Argv) {
  return yargs
    .version(false)
    .positional('package', {
      type: 'string',
      demandOption: true,
      describe: 'Zip of the extension, or its folder',
    })
    .option('format', { choices: DEPLOY_FORMATS, demandOption: true, describe: 'What to generate' })
    .option('out', text(OUT_HELP))
    .option('settings', text('Public settings: JSON or @FILE (@- for standard input)'))
    .option(
      'protected-settings',
      text(
        'Protected settings: JSON or @FILE (@- for standard input). Prefer a file: others see a command line',
      ),
    )
    .option(
      'protected-settings-from-key-vault',
      text('Protected settings in a key vault: SECRET-URL,VAULT-ID'),
    )
    .option('name', text('Name of the extension on Azure (default: the type)'))
    .option('vm', text('Name of the virtual machine'))
    .option('vmss', text('Name of the scale set, in place of a virtual machine'))
    .option(
      'resource-group',
      text('Resource group of the machine; of the gallery, too, unless the script is told another'),
    )
    .option('location', text('Region (default: that of the machine or the resource group)'))
    .option('auto-upgrade-minor-version', flag('Take the newest minor version when deployed (default: true)'))
    .option('enable-automatic-upgrade', flag('Let Azure upgrade the extension by itself (default: false)'))
    .option('force-update-tag', text('Another value than the last time runs the extension again'))
    .option('provision-after', text('Names of extensions that have to succeed first: NAME[,NAME]'))
    .option('suppress-failures', flag('A failure of the extension does not fail the deployment'))
    .option('publisher', text('For a package that does not say it'))
    .option('type', text('For a package that does not say it'))
    .option('version', text('For a package that does not say it'))
    .example(
      '$0 deploy . --format az --vm web1 --resource-group web --settings @settings.json --out deploy.sh',
      'Write a script for the Azure CLI',
    )
    .example(
      '$0 deploy greeter-1.0.0.zip --format bicep --out infra/',
      'Write a Bicep file with its parameters',
    );
}

/** Runs the command. Nothing secret is printed; a file that holds a secret has mode 0600. */
export async function deployCommand(options: DeployArguments, context: CommandContext): Promise<void> {
  const { ui, deps, signal } = context;
  const { format } = options;
  const source = await readPackageSource(resolve(deps.cwd, options.package), options.identity, {
    env: deps.env,
    signal,
    progress: ui.progress,
    warning: ui.warning,
  });
  const deployment = readDeployment(options, source, deps.cwd);
  const exposed = describeProtectedFile(options, deps.cwd);
  const warnings = findSecretLooking(deployment.settings).map(
    (path) =>
      `--settings${path} looks like a secret, and whoever may read the machine's extensions can read it.`,
  );
  if (exposed !== undefined) warnings.push(exposed);
  for (const warning of warnings) ui.warning(warning);
  const files = formatFiles(format, deployment, source.texts);
  const place = placeOf(options, files, deps.cwd);
  if (place === undefined) {
    printMain(format, files, warnings, context);
    return;
  }
  const archive =
    format === 'vm-application' ? await writeArchive(deployment, source, place.path) : undefined;
  const written = writeDeployFiles(files, place);
  sayLeftOut(files, place, context);
  const paths = archive === undefined ? written : [archive, ...written];
  const next = nextStep(format, place, written, deps.cwd);
  ui.json({ format, files: paths.map((path) => ({ path })), warnings, ...(next !== undefined && { next }) });
  ui.result(paths.map((path) => relative(deps.cwd, path) || path).join('\n'));
  if (next !== undefined) ui.progress(`Next: ${next}`);
}

const OUT_HELP =
  'File, when it ends as the main file does (.sh, .ps1, .json, .bicep, .tf), or folder for all files, best with a slash at its end (default: the main file on stdout)';

function placeOf(
  { format, out }: DeployArguments,
  files: readonly DeployFile[],
  cwd: string,
): DeployPlace | undefined {
  if (format === 'vm-application') {
    const hint = 'Name a folder: --out application/';
    if (out === undefined) throw usageError('--format vm-application has an archive to write.', hint);
    return choosePlace(out, '', cwd);
  }
  return out === undefined ? undefined : choosePlace(out, files[0]?.name ?? '', cwd);
}

function printMain(
  format: DeployFormat,
  files: readonly DeployFile[],
  warnings: readonly string[],
  { ui }: CommandContext,
): void {
  const [main] = files;
  if (main === undefined) return;
  const others = files.slice(1).map(({ name }) => name);
  if (others.length > 0) ui.progress(`With --out FOLDER there are also: ${others.join(', ')}`);
  const shown = files.filter((file) => !file.isSecret).map(({ name, text: content }) => ({ name, content }));
  ui.json({ format, files: shown, warnings });
  ui.result(main.text);
}

/** A script that misses its protected settings should surprise nobody. */
function sayLeftOut(files: readonly DeployFile[], place: DeployPlace, { ui }: CommandContext): void {
  const secret = place.kind === 'file' ? files.find((file) => file.isSecret) : undefined;
  if (secret === undefined) return;
  ui.warning(
    `The protected settings are not in the file: with --out FOLDER they go to ${secret.name}, mode 0600.`,
  );
}

async function writeArchive(deployment: Deployment, source: PackageSource, folder: string): Promise<string> {
  const { writeApplicationArchive } = await import('../deploy/application-archive.ts');
  const { withWorkFolder } = await import('../pack/work-folder.ts');
  makeFolders(folder);
  const path = join(folder, archiveName(deployment));
  await withWorkFolder(folder, async (outer) => {
    await source.withZip(outer, async (zip) => {
      const archive = join(outer, 'archive.tar.gz');
      const work = join(outer, 'application');
      makeFolders(work);
      await writeApplicationArchive(zip, deployment, { work, archive });
      await rename(archive, path);
    });
  });
  return path;
}

function text(describe: string): { type: 'string'; requiresArg: true; describe: string } {
  return { type: 'string', requiresArg: true, describe };
}

function flag(describe: string): { type: 'boolean'; describe: string } {
  return { type: 'boolean', describe };
}
