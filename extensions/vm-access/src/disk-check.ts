/**
 * Checks the disks of fstab that are checked at boot: those that are not mounted are mended where that is safe, those that
 * are mounted read-only are looked at, those that are written to are left alone.
 */
import type { HandlerError } from '@handlerkit/sdk';
import { toHandlerError } from '@handlerkit/sdk';
import { accessError } from './errors.ts';
import type { CheckKind } from './file-systems.ts';
import { canCheck, checkFileSystem } from './file-systems.ts';
import { findDevice, mountsOf, readFstab, readMounts } from './mounts.ts';
import type { PlannedStep, StepContext, StepReport } from './step.ts';

/** Plans the check. Everything is looked up when it acts, since mounting is other programs' business too. */
export async function planDiskCheck(context: StepContext): Promise<PlannedStep> {
  readMounts(context);
  return { name: 'disk', act: () => checkDisks(context) };
}

interface Finding {
  readonly text: string;
  readonly isMended: boolean;
  readonly isChecked: boolean;
  readonly warning?: string;
  readonly error?: HandlerError;
}

async function checkDisks(context: StepContext): Promise<StepReport> {
  const findings: Finding[] = [];
  const seen = new Set<string>();
  for (const { spec, mountPoint, type, pass } of readFstab(context)) {
    if (pass === 0) continue;
    const device = await findDevice(context, spec);
    if (device === undefined) {
      findings.push({ text: `${spec} (${mountPoint}) is not there`, isMended: false, isChecked: false });
    } else if (!seen.has(device)) {
      seen.add(device);
      findings.push(await checkDisk(context, device, mountPoint, type));
    }
  }
  const failed = findings.filter(({ error }) => error !== undefined);
  if (failed.length > 0) {
    throw accessError('DISK_DAMAGED', findings.map(({ text, error }) => error?.message ?? text).join('; '));
  }
  const warnings = findings.flatMap(({ warning }) => warning ?? []);
  return {
    changed: findings.some(({ isMended }) => isMended),
    message: findings.some(({ isChecked }) => isChecked)
      ? findings.map(({ text }) => text).join('; ')
      : ['no disk could be checked', ...findings.map(({ text }) => text)].join('; '),
    ...(warnings.length > 0 ? { warning: warnings.join('; ') } : {}),
  };
}

async function checkDisk(
  context: StepContext,
  device: string,
  mountPoint: string,
  type: string,
): Promise<Finding> {
  const mounts = mountsOf(context, device, readMounts(context));
  const name = `${device} (${mountPoint})`;
  const left = (why: string): Finding => ({
    text: `${name} was not checked: ${why}`,
    isMended: false,
    isChecked: false,
  });
  if (mounts.some(({ isReadOnly }) => !isReadOnly)) return left('it is mounted and may be written to');
  const kind: CheckKind = mounts.length > 0 ? 'look' : 'mend';
  const realType = type === 'auto' ? await askType(context, device) : type;
  if (!canCheck(context, realType, kind)) return left(`there is no program for ${realType || 'its type'}`);
  try {
    const { outcome, needsReboot } = await checkFileSystem(context, device, realType, kind);
    return {
      text: `${name} is ${outcome === 'clean' ? 'clean' : 'mended'}`,
      isMended: outcome === 'mended',
      isChecked: true,
      ...(needsReboot ? { warning: `the VM has to be restarted because of ${device}` } : {}),
    };
  } catch (thrown) {
    context.signal.throwIfAborted();
    return { text: name, isMended: false, isChecked: true, error: toHandlerError(thrown) };
  }
}

async function askType(context: StepContext, device: string): Promise<string> {
  const { stdout } = await context.run(['blkid', '-o', 'value', '-s', 'TYPE', device], { accept: [0, 2] });
  return stdout.trim();
}
