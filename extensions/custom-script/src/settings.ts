/**
 * The settings of Custom Script: what each half may hold, and which values go together. Both halves are judged at once
 * and every problem is listed, in the words and with the codes of the original; its first problem gives the code.
 * Source: Custom Script 2.1.19 section 2. No text holds a value.
 */
import { nearestName, shownProtectedKey } from '@handlerkit/sdk';
import * as z from 'zod/mini';
import type { Environment } from './environment.ts';
import { checkEnvironment, isLoaderVariable, readEnvironment } from './environment.ts';
import type { ScriptErrorName } from './errors.ts';
import { scriptError } from './errors.ts';
import type { FileUri } from './file-uri.ts';
import { checkFileUris, readFileUris, typeWord } from './file-uri.ts';
import type { OutputBlobSettings } from './output-blob-settings.ts';
import { checkOutputBlobs, readOutputBlobs } from './output-blob-settings.ts';
import type { StorageCredentials } from './storage-credentials.ts';
import { readStorageCredentials } from './storage-credentials.ts';

/** Longest `timeoutInSeconds`: what the platform gives to a run in all. */
export const TIMEOUT_LIMIT_SECONDS = 90 * 60;

/** What the user asked for, checked. */
export interface ScriptSettings {
  /** `'command'`: text for `/bin/sh`. `'script'`: base64, not decoded yet. */
  readonly kind: 'command' | 'script';
  readonly text: string;
  /** True when the text came in the protected half. */
  readonly isProtected: boolean;
  readonly fileUris: readonly FileUri[];
  /** True: line ends and byte order marks stay as they are. */
  readonly skipDos2Unix: boolean;
  /** Limit of the command; `undefined`: only that of the run as a whole. */
  readonly timeoutSeconds: number | undefined;
  /** Name of the user who runs the command, not looked up yet; `undefined`: root. */
  readonly runAsUser: string | undefined;
  /** Variables of both halves. */
  readonly environment: Environment;
  /** With what private blobs are reached. */
  readonly credentials: StorageCredentials | undefined;
  /** Append blobs that get the output. */
  readonly outputBlobs: OutputBlobSettings;
}

/** Checks both halves together. Throws one error that lists all problems, also for a setting that is not supported yet. */
export function readScriptSettings(publicHalf: unknown, protectedHalf: unknown): ScriptSettings {
  const problems: Problem[] = [];
  const open = checkHalf(PublicSchema, publicHalf, 'public', problems);
  const hidden = checkHalf(ProtectedSchema, protectedHalf, 'protected', problems);
  checkTogether(open, hidden, problems);
  const [first] = problems;
  if (first !== undefined) throw scriptError(first.name, problems.map((problem) => problem.text).join('\n'));
  refuseUnsupported(hidden);
  const command = pick(open, hidden, 'commandToExecute');
  const chosen = command ?? pick(open, hidden, 'script') ?? { text: '', isProtected: false };
  return {
    kind: command === undefined ? 'script' : 'command',
    ...chosen,
    fileUris: readFileUris([...listOf(open.fileUris), ...listOf(hidden.fileUris)]),
    skipDos2Unix: open.skipDos2Unix === true,
    timeoutSeconds: typeof open.timeoutInSeconds === 'number' ? open.timeoutInSeconds : undefined,
    runAsUser: typeof open.runAsUser === 'string' && open.runAsUser !== '' ? open.runAsUser : undefined,
    environment: readEnvironment(open.environment, hidden.environment),
    credentials: readStorageCredentials(hidden),
    outputBlobs: readOutputBlobs(open, hidden),
  };
}

interface Problem {
  readonly name: ScriptErrorName;
  readonly text: string;
}
type Half = Readonly<Record<string, unknown>>;

const ACCOUNT_NAME = /^[a-z0-9]{3,24}$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$/;
const GUID = /^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$/;

const matching = (pattern: RegExp) =>
  z
    .string()
    .check(z.refine((text) => pattern.test(text), { error: `Does not match pattern '${pattern.source}'` }));

const common = {
  commandToExecute: z.optional(z.string()),
  script: z.optional(z.string()),
  // What an entry must be is checked apart: it has two forms, and the texts are those of the original.
  fileUris: z.optional(z.array(z.unknown())),
  environment: z.optional(z.record(z.string(), z.string())),
  outputBlobUri: z.optional(z.string()),
  errorBlobUri: z.optional(z.string()),
};
const NOT_WHOLE = 'is no whole number';
const wholeNumber = z.number().check(z.refine(Number.isInteger, { error: NOT_WHOLE }));
const PublicSchema = z.strictObject({
  ...common,
  skipDos2Unix: z.optional(z.boolean()),
  timestamp: z.optional(wholeNumber),
  timeoutInSeconds: z.optional(
    wholeNumber.check(
      z.refine((seconds) => seconds >= 1, { error: 'Must be greater than or equal to 1' }),
      z.refine((seconds) => seconds <= TIMEOUT_LIMIT_SECONDS, {
        error: `Must be less than or equal to ${TIMEOUT_LIMIT_SECONDS}`,
      }),
    ),
  ),
  runAsUser: z.optional(z.string()),
});
const ProtectedSchema = z.strictObject({
  ...common,
  storageAccountName: z.optional(matching(ACCOUNT_NAME)),
  storageAccountKey: z.optional(matching(BASE64)),
  managedIdentity: z.optional(
    z.looseObject({ objectId: z.optional(matching(GUID)), clientId: z.optional(matching(GUID)) }),
  ),
  runAsPassword: z.optional(z.string()),
});

const KEYS = {
  public: Object.keys(PublicSchema.def.shape),
  protected: Object.keys(ProtectedSchema.def.shape),
} as const;
const OTHER_HALF = { public: 'protected', protected: 'public' } as const;
/** The words that the texts use for the expected type, where zod's word is another one. */
const EXPECTED: Readonly<Record<string, string>> = { timestamp: 'integer', timeoutInSeconds: 'integer' };

/** Adds the problems of one half and gives it as it came: checks across settings look at what the user wrote. */
function checkHalf(
  schema: typeof PublicSchema | typeof ProtectedSchema,
  value: unknown,
  half: 'public' | 'protected',
  problems: Problem[],
): Half {
  // Without generated code: a schema that is used once is faster without it.
  const result = z.safeParse(schema, value, { jitless: true });
  const add = (text: string, name: ScriptErrorName = 'CONFIGURATION_INVALID'): void => {
    problems.push({ name, text: `json validation error: invalid ${half} settings JSON: ${text}` });
  };
  for (const issue of result.error?.issues ?? []) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys)
        add(`(root): Additional property ${shownKey(key, half)} is not allowed${hint(key, half)}`);
      continue;
    }
    const place = issue.path.length === 0 ? '(root)' : shownPlace(issue.path, half);
    const given = valueAt(value, issue.path);
    const isType = issue.code === 'invalid_type' || issue.message === NOT_WHOLE;
    const expected =
      EXPECTED[place] ?? (issue.code === 'invalid_type' ? EXPECTED_BY_ZOD[issue.expected] : undefined);
    if (isType)
      add(`${place}: Invalid type. Expected: ${expected ?? 'another type'}, given: ${typeWord(given)}`);
    else add(`${place}: ${issue.message}`);
  }
  const given = isObject(value) ? value : {};
  for (const { text, isNull } of checkFileUris(listOf(given.fileUris))) {
    add(text, isNull ? 'FILE_NULL' : undefined);
  }
  return given;
}

const EXPECTED_BY_ZOD: Readonly<Record<string, string>> = {
  string: 'string',
  array: 'array',
  boolean: 'boolean',
  object: 'object',
  record: 'object',
};

function checkTogether(open: Half, hidden: Half, problems: Problem[]): void {
  const add = (name: ScriptErrorName, text: string): void => {
    problems.push({ name, text: `invalid configuration: ${text}` });
  };
  const twice = (key: string, verb: string): string =>
    `'${key}' ${verb} specified both in public and protected settings; it must be specified only once`;
  const hasCommand = isGiven(open.commandToExecute) || isGiven(hidden.commandToExecute);
  const hasScript = isGiven(open.script) || isGiven(hidden.script);
  if (!hasCommand && !hasScript) add('NOTHING_TO_RUN', "'commandToExecute' is not specified");
  if (isGiven(open.commandToExecute) && isGiven(hidden.commandToExecute)) {
    add('COMMAND_TWICE', twice('commandToExecute', 'was'));
  }
  if (isGiven(open.script) && isGiven(hidden.script)) add('SCRIPT_TWICE', twice('script', 'was'));
  if (listOf(open.fileUris).length > 0 && listOf(hidden.fileUris).length > 0) {
    add('FILES_TWICE', twice('fileUris', 'were'));
  }
  if (hasCommand && hasScript) {
    add(
      'COMMAND_AND_SCRIPT',
      "'commandToExecute' and 'script' were both specified, but only one is validate at a time",
    );
  }
  const hasName = isGiven(hidden.storageAccountName);
  const hasKey = isGiven(hidden.storageAccountKey);
  if (hasName !== hasKey) {
    add('CREDENTIALS_INCOMPLETE', "both 'storageAccountName' and 'storageAccountKey' must be specified");
  }
  const identity = hidden.managedIdentity;
  if ((hasName || hasKey) && isGiven(identity)) {
    add(
      'CREDENTIALS_AND_IDENTITY',
      "'storageAccountName' or 'storageAccountKey' must not be specified with 'managedServiceIdentity'",
    );
  }
  if (isObject(identity) && isGiven(identity.clientId) && isGiven(identity.objectId)) {
    add(
      'IDENTITY_TWICE',
      "only one of 'clientId' or 'objectId' must be specified with 'managedServiceIdentity'",
    );
  }
  for (const text of checkOutputBlobs(open, hidden)) add('CONFIGURATION_INVALID', text);
  for (const text of checkEnvironment(open.environment, hidden.environment)) {
    add('CONFIGURATION_INVALID', text);
  }
  if (isGiven(open.runAsUser)) {
    const names = Object.keys(readEnvironment(open.environment, hidden.environment));
    // Root's own program, which changes the user, would load what they name.
    for (const name of names.filter(isLoaderVariable)) {
      add(
        'CONFIGURATION_INVALID',
        `'environment.${name}' cannot be given with 'runAsUser'; set it in the command`,
      );
    }
  }
  for (const half of [open, hidden]) {
    // No program can be given a NUL, so the shell would see another command than the user wrote.
    if (typeof half.commandToExecute === 'string' && half.commandToExecute.includes('\0')) {
      add('CONFIGURATION_INVALID', "'commandToExecute' must not contain a NUL character");
    }
  }
}

function refuseUnsupported(hidden: Half): void {
  if (isGiven(hidden.runAsPassword)) {
    throw scriptError(
      'SETTING_NOT_SUPPORTED',
      "'runAsPassword' is not supported: root needs no password to run a command as 'runAsUser'; remove it. Nothing was downloaded or run",
    );
  }
}

function pick(
  open: Half,
  hidden: Half,
  key: 'commandToExecute' | 'script',
): { readonly text: string; readonly isProtected: boolean } | undefined {
  const [first, second] = [open[key], hidden[key]];
  if (typeof first === 'string' && first !== '') return { text: first, isProtected: false };
  if (typeof second === 'string' && second !== '') return { text: second, isProtected: true };
  return undefined;
}

/** The names of variables are the user's own. */
function shownPlace(path: readonly PropertyKey[], half: 'public' | 'protected'): string {
  const steps = path.map((step, depth) =>
    depth === 0 || typeof step === 'number' ? String(step) : shownKey(String(step), half),
  );
  return steps.join('.');
}

/** A secret may have slipped into the place of a key. */
function shownKey(key: string, half: 'public' | 'protected'): string {
  return half === 'public' ? key : shownProtectedKey(key, KEYS.protected);
}

function hint(key: string, half: 'public' | 'protected'): string {
  if (KEYS[OTHER_HALF[half]].includes(key)) return ` (it belongs to the ${OTHER_HALF[half]} settings)`;
  const near = nearestName(key, KEYS[half]);
  return near === undefined ? '' : ` (did you mean '${near}'?)`;
}

/** An empty text counts as not given, as in the original. */
function isGiven(value: unknown): boolean {
  return value !== undefined && value !== '';
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: unknown): value is Half {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const key of path) {
    if (Array.isArray(at)) at = at[Number(key)];
    else at = isObject(at) && Object.hasOwn(at, key) ? at[String(key)] : undefined;
  }
  return at;
}
