/**
 * What Node cannot set on a file: SELinux labels, access lists and extended attributes. Set by the system's programs on
 * the path of a held descriptor, so that no name can be changed under them. A failure is a warning: not every file
 * system has them.
 */
import { existsSync } from 'node:fs';
import { findProgram } from './command.ts';
import type { StepContext } from './step.ts';

/** Something of which the label is set. */
export interface LabelTarget {
  /** Path of the held descriptor: `/proc/<pid>/fd/<n>`. */
  readonly programPath: string;
  /** Where it will lie in the VM; the policy has a label for each path. */
  readonly path: string;
  readonly kind: 'file' | 'dir';
  /** Type of the label where the policy cannot be asked; `undefined`: the one that it was made with. */
  readonly fallbackType: string | undefined;
}

/** Copies access list, attributes and label from one held file to another. Gives a warning, or `undefined`. */
export async function copyAttributes(
  context: StepContext,
  from: string,
  to: string,
): Promise<string | undefined> {
  return warnOfFailure('its access list and attributes could not be kept', async () => {
    await context.run(['cp', '--attributes-only', '--preserve=mode,xattr', '--', from, to], LIMIT);
    if (hasSelinux(context)) await context.run(['chcon', `--reference=${from}`, '--', to], LIMIT);
  });
}

/** Gives something new the label that the policy has for its path, where there is SELinux. Gives a warning, or `undefined`. */
export async function setDefaultLabel(
  context: StepContext,
  { programPath, path, kind, fallbackType }: LabelTarget,
): Promise<string | undefined> {
  if (!hasSelinux(context)) return undefined;
  return warnOfFailure(`the SELinux label of ${path} could not be set`, async () => {
    const label = await readPolicyLabel(context, path, kind);
    if (label !== undefined) await context.run(['chcon', '--', label, programPath], LIMIT);
    else if (fallbackType !== undefined) {
      await context.run(['chcon', '-t', fallbackType, '--', programPath], LIMIT);
    }
  });
}

const LIMIT = { timeoutMs: 20_000 };

function hasSelinux({ host }: StepContext): boolean {
  return existsSync(host.path('/sys/fs/selinux/enforce'));
}

async function readPolicyLabel(
  context: StepContext,
  path: string,
  kind: string,
): Promise<string | undefined> {
  if (findProgram(context.host, 'matchpathcon') === undefined) return undefined;
  const { stdout } = await context.run(['matchpathcon', '-n', '-m', kind, '--', path], {
    ...LIMIT,
    accept: [0, 1],
  });
  return /^[\w.-]+:[\w.-]+:[\w.-]+(?::\S+)?$/.exec(stdout.trim())?.[0];
}

async function warnOfFailure(what: string, action: () => Promise<void>): Promise<string | undefined> {
  try {
    await action();
    return undefined;
  } catch (thrown) {
    return `${what} (${thrown instanceof Error ? thrown.message : 'unknown reason'})`;
  }
}
