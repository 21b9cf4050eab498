/** What a rule of `handlerkit check` is, and what breaking one is called. */

/** `error`: the agent or Azure would refuse or break it; `warning`: a trap; `note`: worth knowing. */
export const SEVERITIES = ['error', 'warning', 'note'] as const;
/** One of {@link SEVERITIES}. */
export type Severity = (typeof SEVERITIES)[number];

export interface Rule {
  readonly severity: Severity;
  /** Why the rule is there, in one sentence or two. */
  readonly reason: string;
  /**
   * Where a reader can look the fact up: public sources, with `; ` between them. A file of the agent is below its `azurelinuxagent/`,
   * one that begins with `Handlerkit` in this repository.
   */
  readonly source: string;
  /** What to do about it. */
  readonly fix: string;
}

/** Rules by their ids, which are in kebab-case and never change. */
export type RuleTable = Readonly<Record<string, Rule>>;

/** One place that breaks a rule. */
export interface Finding {
  /** Id of the rule. */
  readonly rule: string;
  /** Entry of the package, or the file on this machine; `''` is the package as a whole. */
  readonly file: string;
  /** JSON path, or the element of an XML document, inside the file. */
  readonly path?: string | undefined;
  /** What was found, without any secret. */
  readonly message: string;
}

/** Makes findings for the rules of one table only, so that an id that no table has is a mistake of types. */
export function findingFor<const T extends RuleTable>(
  _table: T,
): (rule: keyof T & string, file: string, message: string, path?: string) => Finding {
  return (rule, file, message, path) => ({
    rule,
    file,
    message,
    ...(path === undefined || path === '' ? {} : { path }),
  });
}
