/**
 * `goal-state.json` in a VM's folder: all that the fabric is told. The tool replaces it whole; the fabric reads it anew for
 * each request, so that a new incarnation is there as soon as the file is.
 */
import { ContractError, parseJson } from '@handlerkit/sdk/contract';
import * as z from 'zod';
import type { GoalState } from '../agent/goal-state.ts';

/** Name of the file. */
export const GOAL_STATE_FILE = 'goal-state.json';

export interface FabricGoalState extends GoalState {
  /** From 1 up; the agent works on a goal state only when this changes. */
  readonly incarnation: number;
  /** When the goal state was made, ISO 8601; see {@link laterTime}. */
  readonly createdOn: string;
  /** The certificate that protected settings are encrypted to; `null` when the goal state has none. */
  readonly certificate: FabricCertificate | null;
  readonly statusBlobType: StatusBlobType;
  /** What the agent must be able to do; one feature that it does not know makes it refuse the goal state. */
  readonly requiredFeatures: readonly string[];
}

export type StatusBlobType = 'BlockBlob' | 'PageBlob';

export interface FabricCertificate {
  readonly certificatePem: string;
  /** Absolute path on this machine; text before the PEM block is skipped. The key itself is not in the goal state. */
  readonly privateKeyFile: string;
}

/** What the fabric serves before there is a file: a VM without extensions. */
export const EMPTY_GOAL_STATE: FabricGoalState = {
  id: 'incarnation_0',
  extensions: [],
  incarnation: 0,
  createdOn: '2020-01-01T00:00:00.000Z',
  certificate: null,
  statusBlobType: 'BlockBlob',
  requiredFeatures: [],
};

/**
 * Time for the next goal state: now, or just after the former one when the clock went back, as an agent keeps the newest
 * that it has seen. Source: fabric.md 3, createdOnTicks.
 */
export function laterTime(now: Date, former: Pick<FabricGoalState, 'createdOn'> | undefined): string {
  const after = former === undefined ? 0 : Date.parse(former.createdOn) + 1;
  return new Date(Math.max(now.getTime(), after)).toISOString();
}

/** Text of the file. */
export function formatGoalStateFile(goalState: FabricGoalState): string {
  return `${JSON.stringify({ format: FORMAT, ...goalState }, null, 2)}\n`;
}

/** Reads the file's text. Throws {@link ContractError} naming the place; never a value, which may be a secret. */
export function parseGoalStateFile(text: string, file: string): FabricGoalState {
  const decoded = Document.safeParse(parseJson(text, file).value);
  if (decoded.success) {
    const { format: _, extensions, onHold, ...rest } = decoded.data;
    return {
      ...rest,
      ...(onHold !== undefined && { onHold }),
      extensions: extensions.map((one) => ({ ...one, settings: one.settings })),
    };
  }
  const [issue] = decoded.error.issues;
  throw new ContractError(file, issue?.path.join('.') ?? '', 'is missing or not of the right form');
}

const FORMAT = 'handlerkit-goal-state/1';

const Extension = z.object({
  handlerName: z.string().min(1),
  version: z.string().min(1),
  // Any text, as the agent is to meet states that it does not know.
  requestedState: z.string(),
  packageFile: z.string().min(1),
  packages: z.array(z.object({ version: z.string().min(1), packageFile: z.string().min(1) })).optional(),
  sequence: z.number().int().min(0),
  settings: z
    .object({
      publicSettings: z.record(z.string(), z.unknown()).nullable(),
      protectedSettings: z.string().nullable(),
      thumbprint: z.string().nullable(),
    })
    .optional(),
  dependencyLevel: z.number().int(),
  extensionName: z.string().min(1).optional(),
  settingsNode: z
    .object({ version: z.string().optional(), sequence: z.string().optional(), text: z.string() })
    .transform((node) => ({ ...node, sequence: node.sequence }))
    .optional(),
  extensionState: z.string().optional(),
});

const Document = z.object({
  format: z.literal(FORMAT),
  id: z.string(),
  extensions: z.array(Extension),
  onHold: z.boolean().optional(),
  incarnation: z.number().int().min(0),
  createdOn: z.iso.datetime(),
  certificate: z.object({ certificatePem: z.string(), privateKeyFile: z.string() }).nullable(),
  statusBlobType: z.enum(['BlockBlob', 'PageBlob']).default('BlockBlob'),
  requiredFeatures: z.array(z.string()).default([]),
});
