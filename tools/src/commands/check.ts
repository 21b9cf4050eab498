/** `handlerkit check [package]`: rules for a package, and a dry run of it on a local VM. */
import { createReadStream, createWriteStream } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createDeflateRaw } from 'node:zlib';
import type { Argv } from 'yargs';
import { checkPackage, type StaticResult } from '../check/check-package.ts';
import { type DryRunResult, dryRun } from '../check/dry-run.ts';
import { listFolder } from '../check/folder-package.ts';
import {
  type CheckReport,
  countOf,
  countSeverities,
  formatReport,
  formatRules,
  rulesDocument,
  toDocument,
} from '../check/report.ts';
import type { Finding } from '../check/rule.ts';
import { severityOf } from '../check/rules.ts';
import { ToolError, usageError } from '../errors.ts';
import { withWorkFolder } from '../pack/work-folder.ts';
import type { CommandContext } from '../tool-deps.ts';
import { MachineError } from '../vm/machine.ts';
import type { StatedIdentity } from '../vm/package-identity.ts';
import { readSettingsArgument } from '../vm/settings-argument.ts';

export interface CheckArguments {
  /** Path of a zip or a folder. */
  readonly package: string;
  readonly run: boolean;
  readonly strict: boolean;
  readonly listRules: boolean;
  readonly settings: string | undefined;
  readonly protectedSettings: string | undefined;
  readonly previous: string | undefined;
  readonly timeoutMinutes: string;
  readonly identity: StatedIdentity;
}

/** Declares the command's arguments. `--json`, `--quiet` and `--verbose` are the whole tool's. */
export function builder(yargs: Argv) {
  const text = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const;
  return yargs
    .version(false)
    .positional('package', {
      type: 'string',
      default: '.',
      describe: 'Zip, or folder of an extension or a package',
    })
    .option('no-run', { type: 'boolean', describe: 'Run nothing of the package: rules only' })
    .option('settings', text('Public settings for the dry run: JSON or @FILE'))
    .option('protected-settings', text('Protected settings for the dry run: JSON or @FILE'))
    .option('timeout-minutes', {
      ...text('How long a status may stay transitioning in the dry run'),
      default: '5',
    })
    .option('previous', text('An earlier package, whose version has to be lower'))
    .option('publisher', text('For a package that does not say it'))
    .option('type', text('For a package that does not say it'))
    .option('version', text('For a package that does not say it'))
    .option('strict', { type: 'boolean', describe: 'Fail for warnings, too' })
    .option('list-rules', { type: 'boolean', describe: 'List all rules and check nothing' })
    .example('$0 check', 'Check the extension in this folder')
    .example(
      '$0 check greeter-1.1.0.zip --previous greeter-1.0.0.zip --settings @settings.json',
      'Check a package',
    );
}

/** Checks and prints. Throws `CHECK_FAILED` for errors, with `strict` also for warnings. */
export async function checkCommand(options: CheckArguments, context: CommandContext): Promise<void> {
  const { ui, deps, signal } = context;
  if (options.listRules) {
    ui.result(formatRules());
    ui.json(rulesDocument());
    return;
  }
  const read = (option: string, value: string | undefined) =>
    value === undefined ? undefined : readSettingsArgument(option, value, deps.cwd);
  const wanted: RunRequest = {
    timeoutMs: parseTimeout(options.timeoutMinutes),
    publicSettings: read('settings', options.settings),
    protectedSettings: read('protected-settings', options.protectedSettings),
  };
  const path = resolve(deps.cwd, options.package);
  const previous = options.previous === undefined ? undefined : resolve(deps.cwd, options.previous);
  ui.progress(`Checking ${relative(deps.cwd, path) || '.'}`);
  const checked = await checkPackage(path, { stated: options.identity, previous, signal });
  const ran = options.run ? await tryRun(path, checked, wanted, context) : { notRun: '--no-run' };
  const packed = 'packed' in ran ? ran.packed : undefined;
  const run = 'result' in ran ? ran.result : undefined;
  const report: CheckReport = {
    subject: relative(deps.cwd, path) || '.',
    kind: checked.kind,
    identity: checked.identity,
    packedBytes: (packed ?? checked).packedBytes,
    files: (packed ?? checked).files,
    findings: [
      ...mergeFindings(checked.findings, packed?.findings ?? []),
      ...(run?.findings ?? []),
      ...('findings' in ran ? ran.findings : []),
    ],
    steps: run?.steps,
    notRun: 'notRun' in ran ? ran.notRun : undefined,
    limits: run?.limits,
  };
  ui.json(toDocument(report));
  ui.result(formatReport(report));
  refuse(report, options.strict);
}

interface RunRequest {
  readonly timeoutMs: number;
  readonly publicSettings: Readonly<Record<string, unknown>> | undefined;
  readonly protectedSettings: Readonly<Record<string, unknown>> | undefined;
}

type RunOutcome =
  | { readonly notRun: string; readonly packed?: StaticResult; readonly findings: readonly Finding[] }
  | { readonly result: DryRunResult; readonly packed?: StaticResult };

/** A package that says nothing of itself is run under these names. */
const UNNAMED = { publisher: 'Example', type: 'Handler', version: '1.0.0' } as const;

/** With these faults nothing would come of a run, or something else than of the package. */
const BLOCKING = /^(zip|name|kind|manifest|command|identity|version-format|project)/;

async function tryRun(
  path: string,
  checked: StaticResult,
  wanted: RunRequest,
  context: CommandContext,
): Promise<RunOutcome> {
  if (checked.findings.some(isBlocking)) return NOT_RUN_FOR_ERRORS;
  if (checked.kind === 'zip') return await runZip(path, checked, wanted, context);
  const { env } = context.deps;
  return await withWorkFolder(env.TMPDIR ?? '/tmp', async (work) => {
    if (checked.kind === 'folder') {
      const zip = join(work, 'package.zip');
      await zipFolder(path, zip);
      return await runZip(zip, checked, wanted, context);
    }
    const { packProject } = await import('../pack/pack.ts');
    const { hostArchitecture } = await import('../pack/runtime.ts');
    const zip = join(work, 'package.zip');
    await packProject(
      { folder: path, out: zip, architectures: [hostArchitecture()] },
      { progress: context.ui.progress, env, signal: context.signal },
    );
    const packed = await checkPackage(zip, { signal: context.signal });
    if (packed.findings.some(isBlocking)) return { ...NOT_RUN_FOR_ERRORS, packed };
    // Only this machine's program was packed, because only that can be run.
    const findings = packed.findings.filter((one) => one.rule !== 'program-one-architecture');
    return { ...(await runZip(zip, packed, wanted, context)), packed: { ...packed, findings } };
  });
}

const NOT_RUN_FOR_ERRORS = { notRun: 'the errors have to be corrected first', findings: [] } as const;

function isBlocking({ rule }: Finding): boolean {
  return severityOf(rule) === 'error' && BLOCKING.test(rule);
}

async function runZip(
  file: string,
  checked: StaticResult,
  wanted: RunRequest,
  context: CommandContext,
): Promise<RunOutcome> {
  const { machines = [], supportsMultiple = false, identity = UNNAMED } = checked;
  if (machines.length > 0 && !machines.includes(process.arch)) {
    const message = `It has programs for ${machines.join(', ')}; this machine is ${process.arch}.`;
    return { notRun: message, findings: [{ rule: 'run-other-architecture', file: '', message }] };
  }
  try {
    const result = await dryRun({ file, identity, supportsMultiple, ...wanted }, context);
    if (result.limits !== undefined) context.ui.progress(result.limits);
    return { result };
  } catch (thrown) {
    if (!(thrown instanceof MachineError) || !NO_VM.test(thrown.code)) throw thrown;
    return { notRun: thrown.message, findings: [] };
  }
}

const NO_VM = /^vm-(overlay-unavailable|tool-missing)$/;

async function zipFolder(folder: string, file: string): Promise<void> {
  const { writeZip } = await import('../pack/zip.ts');
  const files = (await listFolder(folder)).filter(({ kind }) => kind === 'file');
  const entries = files.map(({ name, mode = 0 }) => ({
    name,
    mode: (mode & 0o100) === 0 ? (0o644 as const) : (0o755 as const),
    content: { file: join(folder, name) },
  }));
  await writeZip(entries, file, {
    deflate: (source, target) =>
      pipeline(createReadStream(source), createDeflateRaw(), createWriteStream(target)),
  });
}

/** What the description and its package both break is said once. */
function mergeFindings(first: readonly Finding[], second: readonly Finding[]): readonly Finding[] {
  const key = ({ rule, file, message }: Finding): string => JSON.stringify([rule, file, message]);
  const seen = new Set(first.map(key));
  return [...first, ...second.filter((one) => !seen.has(key(one)))];
}

function refuse({ findings, subject }: CheckReport, isStrict: boolean): void {
  const { error, warning } = countSeverities(findings);
  if (error === 0 && !(isStrict && warning > 0)) return;
  throw new ToolError(
    'CHECK_FAILED',
    `${subject} has ${countOf(error, 'error')} and ${countOf(warning, 'warning')}.`,
    {
      hint: 'Correct what the lines above name; `handlerkit check --list-rules` says why each rule is there.',
    },
  );
}

function parseTimeout(text: string): number {
  const minutes = Number(text);
  if (text.trim() === '' || !Number.isFinite(minutes) || minutes <= 0) {
    throw usageError('--timeout-minutes must be a number above 0.', 'For instance: --timeout-minutes 10');
  }
  return minutes * 60_000;
}
