/** All rules of `handlerkit check`, in the order in which a list of them is read: by family. */
import { COMMAND_RULES } from './command-rules.ts';
import { CONTENT_RULES } from './content-rules.ts';
import { DRY_RUN_RULES } from './dry-run-rules.ts';
import { IDENTITY_RULES } from './identity-rules.ts';
import { KIND_RULES } from './kind-rules.ts';
import { MANIFEST_RULES } from './manifest-rules.ts';
import { NAME_RULES } from './name-rules.ts';
import { PROGRAM_RULES } from './program-rules.ts';
import { PROJECT_RULES } from './project-rules.ts';
import type { Rule, RuleTable, Severity } from './rule.ts';
import { SCRIPT_RULES } from './script-rules.ts';
import { ZIP_RULES } from './zip-package.ts';

export const ALL_RULES: RuleTable = {
  ...PROJECT_RULES,
  ...ZIP_RULES,
  ...NAME_RULES,
  ...KIND_RULES,
  ...MANIFEST_RULES,
  ...COMMAND_RULES,
  ...IDENTITY_RULES,
  ...SCRIPT_RULES,
  ...CONTENT_RULES,
  ...PROGRAM_RULES,
  ...DRY_RUN_RULES,
};

/** The rule of an id that a finding names. */
export function ruleOf(id: string): Rule {
  const rule = ALL_RULES[id];
  if (rule === undefined) throw new Error(`There is no rule ${id}.`);
  return rule;
}

/** How bad it is to break the rule of that id. */
export function severityOf(id: string): Severity {
  return ruleOf(id).severity;
}
