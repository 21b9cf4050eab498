/** Rules about a project's folder: that its description can be read and names files that are there. */
import { EXTENSION_FILE } from '@handlerkit/sdk';
import { ContractError } from '@handlerkit/sdk/contract';
import { ToolError } from '../errors.ts';
import { type Project, readProject } from '../project.ts';
import { type Finding, findingFor } from './rule.ts';

export const PROJECT_RULES = {
  'project-description': {
    severity: 'error',
    reason: 'Nothing can be packed from a description with a fault.',
    source: 'Handlerkit tools/extension.schema.json',
    fix: 'Correct the file at this place.',
  },
  'project-file-missing': {
    severity: 'error',
    reason: 'The description names a file that is not there.',
    source: 'Handlerkit tools/extension.schema.json',
    fix: 'Correct the name, or add the file.',
  },
  'project-second-manifest': {
    severity: 'error',
    reason:
      'The package gets its handler manifest from the description, and the agent takes the first that it finds anywhere.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py initialize; common/utils/fileutil.py search_file',
    fix: 'Take the file out of "files".',
  },
  'project-name-case': {
    severity: 'error',
    reason:
      'handlerkit pack refuses such names, because they become one file wherever the package is unpacked on Windows or macOS.',
    source: 'Handlerkit docs/packaging.md',
    fix: 'Rename one of them, or take it out of "files".',
  },
} as const;

/** Reads the project; what is wrong with it is a finding. Throws only what has nothing to do with the description. */
export async function checkProject(
  folder: string,
): Promise<{ readonly project: Project | undefined; readonly findings: readonly Finding[] }> {
  try {
    return { project: await readProject(folder), findings: [] };
  } catch (thrown) {
    if (thrown instanceof ContractError) {
      const found = finding('project-description', EXTENSION_FILE, `${thrown.problem}.`, thrown.path);
      return { project: undefined, findings: [found] };
    }
    if (thrown instanceof ToolError && /^(ENTRY|FILES)_NOT_FOUND$/.test(thrown.code)) {
      return {
        project: undefined,
        findings: [finding('project-file-missing', EXTENSION_FILE, thrown.message)],
      };
    }
    throw thrown;
  }
}

/** A file of the project that the package has from elsewhere. */
export function secondManifestFinding(name: string): Finding {
  return finding('project-second-manifest', name, 'would be a second handler manifest.');
}

/** What is a trap in a package of others is refused in one of our own. */
export function asProjectFinding(one: Finding): Finding {
  return one.rule === 'name-case' ? finding('project-name-case', one.file, one.message) : one;
}

const finding = findingFor(PROJECT_RULES);
