/** What `handlerkit check` says: for people by severity, for programs as a document whose keys never change. */
import { formatTable } from '../ui.ts';
import type { RunStep } from './dry-run.ts';
import { formatPlace, groupAlike, listPlaces } from './finding-groups.ts';
import type { Identity } from './identity-rules.ts';
import { type Finding, SEVERITIES, type Severity } from './rule.ts';
import { ALL_RULES, ruleOf, severityOf } from './rules.ts';

export interface CheckReport {
  readonly subject: string;
  readonly kind: 'zip' | 'folder' | 'project';
  readonly identity: Identity | undefined;
  readonly packedBytes: number | undefined;
  readonly files: readonly { readonly name: string; readonly sizeBytes: number }[];
  readonly findings: readonly Finding[];
  /** `undefined`: it was left out, for the reason in `notRun`. */
  readonly steps: readonly RunStep[] | undefined;
  readonly notRun: string | undefined;
  readonly limits: string | undefined;
}

export type SeverityCounts = Readonly<Record<Severity, number>>;

export function countSeverities(findings: readonly Finding[]): SeverityCounts {
  const count = (severity: Severity): number =>
    findings.filter((one) => severityOf(one.rule) === severity).length;
  return { error: count('error'), warning: count('warning'), note: count('note') };
}

/** The document of `--json`. */
export function toDocument(report: CheckReport): unknown {
  const { findings, files, identity, steps } = report;
  return {
    subject: report.subject,
    kind: report.kind,
    publisher: identity?.publisher ?? null,
    type: identity?.type ?? null,
    version: identity?.version ?? null,
    packedBytes: report.packedBytes ?? null,
    unpackedBytes: unpackedBytes(files),
    fileCount: files.length,
    counts: countSeverities(findings),
    findings: sortFindings(findings).map((one) => {
      const { severity, reason, source, fix } = ruleOf(one.rule);
      const place = { file: one.file === '' ? null : one.file, path: one.path ?? null };
      return { rule: one.rule, severity, ...place, message: one.message, reason, source, fix };
    }),
    dryRun:
      steps === undefined
        ? { ran: false, reason: report.notRun ?? null }
        : { ran: true, steps, limits: report.limits ?? null },
  };
}

/** Lines for people: what was looked at, then the findings by severity, each with its fix, then the counts. */
export function formatReport(report: CheckReport): string {
  const { identity, packedBytes, files, findings } = report;
  const name =
    identity === undefined ? report.subject : `${identity.publisher}.${identity.type} ${identity.version}`;
  const packed = packedBytes === undefined ? '' : `${formatBytes(packedBytes)} zip, `;
  const largest = files.toSorted((a, b) => b.sizeBytes - a.sizeBytes).slice(0, 3);
  const sizes = largest.map((file) => `${file.name} ${formatBytes(file.sizeBytes)}`).join(', ');
  const lines = [
    `${name}: ${packed}${describeFiles(report)}${sizes === '' ? '' : ` (${sizes})`}`,
    ...(report.steps === undefined
      ? [`Not run: ${report.notRun ?? 'left out'}`]
      : [`Run: ${formatSteps(report.steps)}`]),
  ];
  for (const severity of SEVERITIES) {
    for (const [one, ...others] of groupAlike(findings.filter(({ rule }) => severityOf(rule) === severity))) {
      if (one === undefined) continue;
      lines.push(`${severity} ${one.rule}: ${formatPlace(one)}${one.message}`);
      if (others.length > 0) lines.push(`  The same: ${listPlaces(one, others)}.`);
      lines.push(`  ${ruleOf(one.rule).fix}`);
    }
  }
  const { error, warning, note } = countSeverities(findings);
  return [
    ...lines,
    `${countOf(error, 'error')}, ${countOf(warning, 'warning')}, ${countOf(note, 'note')}`,
  ].join('\n');
}

/** Every rule with its severity and reason. */
export function formatRules(): string {
  const rows = Object.entries(ALL_RULES).map(([id, { severity, reason }]) => [id, severity, reason]);
  return formatTable([['RULE', 'SEVERITY', 'REASON'], ...rows]);
}

/** Every rule as plain data. */
export function rulesDocument(): unknown {
  return Object.entries(ALL_RULES).map(([id, rule]) => ({ id, ...rule }));
}

function sortFindings(findings: readonly Finding[]): readonly Finding[] {
  const rank = (one: Finding): number => SEVERITIES.indexOf(severityOf(one.rule));
  return findings.toSorted((a, b) => rank(a) - rank(b));
}

/** A project that was not packed has no program yet. */
function describeFiles({ kind, packedBytes, files }: CheckReport): string {
  const isUnpacked = kind === 'project' && packedBytes === undefined;
  if (isUnpacked && files.length === 0) return 'not packed yet; no files beside the program';
  const sizes = `${countOf(files.length, 'file')}, ${formatBytes(unpackedBytes(files))}`;
  return isUnpacked ? `not packed yet; beside the program ${sizes}` : sizes;
}

function unpackedBytes(files: CheckReport['files']): number {
  return files.reduce((sum, file) => sum + file.sizeBytes, 0);
}

function formatSteps(steps: readonly RunStep[]): string {
  return steps
    .map(({ operation, exitCode }) => `${operation}${exitCode === 0 ? '' : ` (exit ${exitCode ?? 'none'})`}`)
    .join(', ');
}

function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** `1 error`, `2 errors`. */
export function countOf(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}
