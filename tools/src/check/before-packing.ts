/**
 * What `handlerkit pack` checks: before it fetches and compiles anything the files that the project ships as they are, and in
 * the end the zip that it made, before that gets its name.
 */
import { resolve } from 'node:path';
import { ToolError } from '../errors.ts';
import { readProject } from '../project.ts';
import { checkPackage, checkProjectFiles } from './check-package.ts';
import { describeFindings } from './finding-groups.ts';
import type { Finding } from './rule.ts';
import { ruleOf, severityOf } from './rules.ts';

/**
 * Checks the project in `folder` and gives the warnings. Throws `PACKAGE_CHECK_FAILED` for errors, naming all of them, and
 * what reading a project throws.
 */
export async function checkBeforePacking(folder: string, signal?: AbortSignal): Promise<readonly Finding[]> {
  const project = await readProject(resolve(folder));
  return warningsOf(await checkProjectFiles(project, signal), project.folder);
}

/**
 * Checks a zip that has been packed and gives the warnings, without those in `known`. Throws `PACKAGE_CHECK_FAILED` for
 * errors; the error names the file `shownFile`, because the zip has no name yet.
 */
export async function checkPackedZip(
  zip: string,
  shownFile: string,
  known: readonly Finding[],
  signal?: AbortSignal,
): Promise<readonly Finding[]> {
  const { findings } = await checkPackage(zip, { signal });
  const key = ({ rule, file, message }: Finding): string => JSON.stringify([rule, file, message]);
  const said = new Set(known.map(key));
  return warningsOf(findings, shownFile).filter((one) => !said.has(key(one)));
}

function warningsOf(findings: readonly Finding[], file: string): readonly Finding[] {
  const errors = findings.filter(({ rule }) => severityOf(rule) === 'error');
  const [first] = errors;
  if (first !== undefined) {
    throw new ToolError('PACKAGE_CHECK_FAILED', describeFindings(errors).join(' '), {
      file,
      hint: `${ruleOf(first.rule).fix} See everything with: handlerkit check`,
    });
  }
  return findings.filter(({ rule }) => severityOf(rule) === 'warning');
}
