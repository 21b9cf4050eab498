/**
 * What a schema library found wrong, in one form for all: where, and in which words. The libraries' own texts quote what
 * they refuse at places that are known; those are cut here. Whatever else quotes a value is hidden by the caller.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { SettingsPath } from './settings-path.ts';
import { isRecord } from './settings-path.ts';

/** One thing that a schema refuses. `unknownKey`: the last step of the path is a key that the schema does not take. */
export interface SchemaIssue {
  readonly path: SettingsPath;
  readonly message: string;
  readonly isUnknownKey: boolean;
}

/** Reads the issues that a schema of `vendor` reported; one of zod's about several keys becomes several. */
export function readIssues(
  vendor: string,
  issues: readonly StandardSchemaV1.Issue[],
): readonly SchemaIssue[] {
  return issues.flatMap((issue) => readIssue(vendor, issue, [], 0));
}

/** Unions inside unions are opened no deeper than this. */
const DEEPEST_UNION = 10;

function readIssue(vendor: string, issue: unknown, parent: SettingsPath, depth: number): SchemaIssue[] {
  if (typeof issue !== 'object' || issue === null) return [];
  const path = [...parent, ...readPath(Reflect.get(issue, 'path'))];
  const given: unknown = Reflect.get(issue, 'message');
  const message = typeof given === 'string' ? given : '';
  const field = (name: string): unknown => Reflect.get(issue, name);
  if (vendor === 'zod' && field('code') === 'unrecognized_keys') {
    const keys = field('keys');
    return (Array.isArray(keys) ? keys : []).map((key) => unknownKey([...path, String(key)]));
  }
  if (vendor === 'zod' && field('code') === 'invalid_union' && depth < DEEPEST_UNION) {
    const branch = meantBranch(field('errors'));
    if (branch !== undefined) return branch.flatMap((one) => readIssue(vendor, one, path, depth + 1));
  }
  if (vendor === 'valibot') {
    const isUnknown = field('expected') === 'never' && /^strict_/.test(String(field('type')));
    return [isUnknown ? unknownKey(path) : known(path, cutReceived(message, field('received')))];
  }
  if (vendor === 'arktype') {
    if (field('code') === 'predicate' && field('expected') === 'removed') return [unknownKey(path)];
    const problem = field('problem');
    return [known(path, cutActual(typeof problem === 'string' ? problem : message, issue))];
  }
  // What is missing is said by the place already.
  return [known(path, message.replace(/, received undefined$/, ''))];
}

function known(path: SettingsPath, message: string): SchemaIssue {
  return { path, message, isUnknownKey: false };
}

function unknownKey(path: SettingsPath): SchemaIssue {
  return { path, message: 'unknown key', isUnknownKey: true };
}

/** The alternative of a union that the user meant: the only one whose type fits the value as a whole. */
function meantBranch(errors: unknown): readonly unknown[] | undefined {
  if (!Array.isArray(errors)) return undefined;
  const fitting = errors.filter(
    (branch): branch is readonly unknown[] =>
      Array.isArray(branch) && branch.length > 0 && !branch.some(isAboutWhole),
  );
  return fitting.length === 1 ? fitting[0] : undefined;
}

function isAboutWhole(issue: unknown): boolean {
  if (!isRecord(issue) || readPath(issue.path).length > 0) return false;
  return issue.code === 'invalid_type' || issue.code === 'invalid_value';
}

function readPath(path: unknown): PropertyKey[] {
  const steps: PropertyKey[] = [];
  if (!Array.isArray(path)) return steps;
  for (const part of path) {
    const key: unknown = typeof part === 'object' && part !== null ? Reflect.get(part, 'key') : part;
    steps.push(typeof key === 'number' || typeof key === 'symbol' ? key : String(key));
  }
  return steps;
}

/** valibot says `Expected string but received "value"`, and `Invalid email: Received "value"`. */
function cutReceived(message: string, received: unknown): string {
  if (typeof received !== 'string' || !message.endsWith(received)) return message;
  const head = message.slice(0, message.length - received.length);
  const cut = head.replace(/(?:[:,]? but|:)? received $/i, '');
  return cut === head ? message : cut;
}

/** arktype says `must be a number (was "value")`, and of several rules `("value") must be...` with a line for each. */
function cutActual(problem: string, issue: object): string {
  let text = problem;
  for (const actual of actualsOf(issue)) {
    text = text.replaceAll(` (was ${actual})`, '').replaceAll(`(${actual}) `, '');
  }
  const end = text.indexOf(' (was ');
  return (end < 0 ? text : text.slice(0, end))
    .replace(/\s*\.\.\.\s*◦\s*/u, ' ')
    .replace(/\s*◦\s*/gu, ' and ');
}

/** The texts for what was found, of the issue and of those that it is made of; the longest first. */
function actualsOf(issue: object): string[] {
  const found = new Set<string>();
  const open: unknown[] = [issue];
  for (let count = 0; open.length > 0 && count < 1000; count++) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    const actual: unknown = Reflect.get(next, 'actual');
    const errors: unknown = Reflect.get(next, 'errors');
    if (typeof actual === 'string' && actual !== '') found.add(actual);
    if (Array.isArray(errors)) open.push(...errors);
  }
  return [...found].sort((a, b) => b.length - a.length);
}
