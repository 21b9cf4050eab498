/**
 * What `handlerkit pack` checks: before it fetches and compiles anything the files that the project ships as they are, and in
 * the end the zip that it made, before that gets its name.
 */
import { resolve } from 'node:path';
import { ToolError } from '../errors.ts';
import { readProject } from '../project.ts';
import { checkPackage, checkProjectFiles } from './check-package.ts';
import type { Finding } from './rule.ts';
import { ruleOf, severityOf } from './rules.ts';

/**
 * Checks the project in `folder` and gives the warnings, in sentences. Throws `PACKAGE_CHECK_FAILED` for errors, naming
 * all of them, and what reading a project throws.
 */
export async function checkBeforePacking(folder: string, signal?: AbortSignal): Promise<readonly string[]> {
  const project = await readProject(resolve(folder));
  return judge(await checkProjectFiles(project, signal), project.folder);
}

/**
 * Checks a zip that has been packed and gives the warnings, in sentences. Throws `PACKAGE_CHECK_FAILED` for errors. The
 * number of architectures is the author's affair.
 */
export async function checkPackedZip(
  file: string,
  shownFile: string,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const { findings } = await checkPackage(file, { signal });
  return judge(
    findings.filter(({ rule }) => rule !== 'program-one-architecture'),
    shownFile,
  );
}

function judge(findings: readonly Finding[], file: string): readonly string[] {
  const errors = findings.filter(({ rule }) => severityOf(rule) === 'error');
  const [first] = errors;
  if (first !== undefined) {
    throw new ToolError('PACKAGE_CHECK_FAILED', errors.map(describe).join(' '), {
      file,
      hint: `${ruleOf(first.rule).fix} See everything with: handlerkit check`,
    });
  }
  return findings.filter(({ rule }) => severityOf(rule) === 'warning').map(describe);
}

function describe({ rule, file, message }: Finding): string {
  return `${rule}: ${file} ${message}`;
}
