/** What `handlerkit pack` checks before it fetches and compiles anything: the files that the project ships as they are. */
import { resolve } from 'node:path';
import { ToolError } from '../errors.ts';
import { readProject } from '../project.ts';
import { checkProjectFiles } from './check-package.ts';
import type { Finding } from './rule.ts';
import { ruleOf, severityOf } from './rules.ts';

/**
 * Checks the project in `folder` and gives the warnings, in sentences. Throws `PACKAGE_CHECK_FAILED` for errors, naming
 * all of them, and what reading a project throws.
 */
export async function checkBeforePacking(folder: string, signal?: AbortSignal): Promise<readonly string[]> {
  const project = await readProject(resolve(folder));
  const findings = await checkProjectFiles(project, signal);
  const errors = findings.filter(({ rule }) => severityOf(rule) === 'error');
  const [first] = errors;
  if (first !== undefined) {
    throw new ToolError('PACKAGE_CHECK_FAILED', errors.map(describe).join(' '), {
      file: project.folder,
      hint: `${ruleOf(first.rule).fix} See everything with: handlerkit check`,
    });
  }
  return findings.filter(({ rule }) => severityOf(rule) === 'warning').map(describe);
}

function describe({ rule, file, message }: Finding): string {
  return `${rule}: ${file} ${message}`;
}
