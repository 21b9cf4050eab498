/**
 * Opens ports in iptables and ip6tables, with the rules that the kernel keeps in its old way and those that it keeps as
 * nftables: a rule of ours becomes the first one of every chain that may drop packets to sshd or its answers. The files that
 * are loaded at boot get the same rules. Every list is gone through once.
 * Source: iptables(8), iptables-restore(8), xtables-nft(8).
 */
import { findProgram } from './command.ts';
import type { FirewallChange } from './firewall-change.ts';
import { namePorts, stillBlocked } from './firewall-change.ts';
import { readRulesFile, replaceRulesFile } from './firewall-file.ts';
import type { BuiltInChain, IptablesRules } from './iptables-rules.ts';
import { acceptRule, addFirstRule, listBuiltInChains, parseIptablesSave } from './iptables-rules.ts';
import { isLetThrough, type Packet, packetsOf } from './packet-rules.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/** One of the programs, with the rules that it shows. */
export interface IptablesVariant {
  /** `iptables-nft`, `ip6tables`… */
  readonly program: string;
  readonly family: 4 | 6;
  readonly rules: IptablesRules;
  /** Why its rules could not be read, which then are none. */
  readonly problem: string | undefined;
}

/** Reads the rules of every variant that the VM has. */
export async function readIptables(context: StepContext): Promise<readonly IptablesVariant[]> {
  const variants: IptablesVariant[] = [];
  for (const { program, family } of listPrograms(context)) {
    variants.push({ program, family, ...(await readRules(context, program)) });
  }
  return variants;
}

/** The tables of nftables that these programs take care of, such as `ip filter`. */
export function listOwnTables(variants: readonly IptablesVariant[]): ReadonlySet<string> {
  const tables = variants.flatMap(({ family, rules }) =>
    [...rules.keys()].map((table) => `${family === 4 ? 'ip' : 'ip6'} ${table}`),
  );
  return new Set(tables);
}

/** Opens the ports now and after a reboot. Changes nothing where they are open. */
export async function openIptables(
  context: StepContext,
  ports: readonly number[],
  undo: Undo,
): Promise<FirewallChange> {
  const opened: string[] = [];
  const warnings: string[] = [];
  for (const variant of await readIptables(context)) {
    const { program, problem } = variant;
    if (problem !== undefined) warnings.push(`the rules of ${program} could not be read: ${problem}`);
    const blocked = findBlocked(variant.rules, variant.family, ports);
    for (const entry of blocked) await insertRule(context, variant, entry, undo);
    if (blocked.length === 0) continue;
    const { rules } = await readRules(context, program);
    const [left] = findBlocked(rules, variant.family, ports);
    if (left !== undefined) throw stillBlocked(nameChain(program, left), ports);
    opened.push(...new Set(blocked.map((entry) => nameChain(program, entry))));
  }
  const saved = await openFiles(context, ports, undo);
  const isForgotten = opened.length > 0 && saved.kept.length === 0 && saved.warnings.length === 0;
  const forgotten =
    'no file of iptables that is loaded at boot blocks or opens the ports; look whether they stay open';
  return {
    opened,
    kept: saved.kept,
    warnings: [...warnings, ...saved.warnings, ...(isForgotten ? [forgotten] : [])],
  };
}

/** A chain that does not let a port through. */
interface BlockedPort extends BuiltInChain {
  readonly port: number;
}

/** What is loaded at boot: by netfilter-persistent, and by the services of RHEL and its kin. */
const FILES: readonly { readonly file: string; readonly family: 4 | 6 }[] = [
  { file: '/etc/iptables/rules.v4', family: 4 },
  { file: '/etc/iptables/rules.v6', family: 6 },
  { file: '/etc/sysconfig/iptables', family: 4 },
  { file: '/etc/sysconfig/ip6tables', family: 6 },
];

const LIMIT_MS = 30_000;
const MOST_BYTES = 32 * 1024 * 1024;
/** How long the programs wait for one another. */
const WAIT = ['-w', '20'];
/** Several codes mean that there is nothing in this kernel which could drop anything. */
const ANY_CODE = [0, 1, 2, 3, 4];

function listPrograms({ host }: StepContext): { readonly program: string; readonly family: 4 | 6 }[] {
  return ([4, 6] as const).flatMap((family) => {
    const name = family === 4 ? 'iptables' : 'ip6tables';
    const isThere = (program: string): boolean =>
      findProgram(host, program) !== undefined && findProgram(host, `${program}-save`) !== undefined;
    const variants = [`${name}-nft`, `${name}-legacy`].filter(isThere);
    const programs = variants.length > 0 ? variants : [name].filter(isThere);
    return programs.map((program) => ({ program, family }));
  });
}

async function readRules(
  context: StepContext,
  program: string,
): Promise<Pick<IptablesVariant, 'rules' | 'problem'>> {
  const options = { accept: ANY_CODE, tailBytes: MOST_BYTES, timeoutMs: LIMIT_MS };
  const { exitCode, stdout, stderr } = await context.run([`${program}-save`], options);
  const problem = exitCode === 0 ? undefined : (stderr.trim().split('\n')[0] ?? '');
  return { rules: parseIptablesSave(exitCode === 0 ? stdout : ''), problem };
}

function nameChain(program: string, { table, chain }: BuiltInChain): string {
  return `${program} ${table} ${chain}`;
}

function findBlocked(
  rules: IptablesRules,
  family: Packet['family'],
  ports: readonly number[],
): readonly BlockedPort[] {
  return listBuiltInChains(rules).flatMap((builtIn) => {
    const table = rules.get(builtIn.table) ?? new Map();
    return ports
      .filter((port) =>
        packetsOf(port, builtIn.direction, [family]).some(
          (packet) => !isLetThrough(table, builtIn.chain, packet),
        ),
      )
      .map((port) => ({ ...builtIn, port }));
  });
}

/** Our former rule, if there is one, stands behind one that drops. It goes first: a rule is deleted by what it says. */
async function insertRule(
  context: StepContext,
  { program, rules, family }: IptablesVariant,
  { table, chain, direction, port }: BlockedPort,
  undo: Undo,
): Promise<void> {
  const words = acceptRule(port, direction);
  const change = async (command: string, position?: number, accept = [0]): Promise<void> => {
    const place = position === undefined ? [] : [String(position)];
    const argv = [program, ...WAIT, '-t', table, command, chain, ...place, ...words];
    await context.run(argv, { accept, timeoutMs: LIMIT_MS });
  };
  const what = `the rule for ${namePorts([port])} in ${program} ${table} ${chain}`;
  const all = rules.get(table)?.get(chain)?.rules ?? [];
  const [packet] = packetsOf(port, direction, [family]);
  const former = [...all.entries()].filter(
    ([, rule]) => rule.isOurs && packet !== undefined && rule.outcomes(packet)[0]?.applies === 'always',
  );
  for (const [index] of former.toReversed()) {
    await change('-D');
    undo.add(what, () => change('-I', index + 1));
  }
  // 1: there is no such rule.
  undo.add(what, () => change('-D', undefined, [0, 1]));
  await change('-I', 1);
}

async function openFiles(
  context: StepContext,
  ports: readonly number[],
  undo: Undo,
): Promise<Pick<FirewallChange, 'kept' | 'warnings'>> {
  const kept: string[] = [];
  const warnings: string[] = [];
  for (const { file, family } of FILES) {
    const former = readRulesFile(context, file);
    if (former === undefined) continue;
    const blocked = findBlocked(parseIptablesSave(former), family, ports);
    if (blocked.length === 0) continue;
    const next = blocked.reduce(
      (text, entry) => addFirstRule(text, entry, acceptRule(entry.port, entry.direction)),
      former,
    );
    if (await isLoadable(context, family, next)) {
      await replaceRulesFile(context, file, { former, next }, undo);
      kept.push(file);
    } else {
      warnings.push(`${file} could not be made to open the ports after a reboot; it was left as it is`);
    }
  }
  return { kept, warnings };
}

async function isLoadable(context: StepContext, family: 4 | 6, text: string): Promise<boolean> {
  const program = family === 4 ? 'iptables-restore' : 'ip6tables-restore';
  const options = { stdin: text, accept: ANY_CODE, timeoutMs: LIMIT_MS };
  const { exitCode, stderr } = await context.run([program, '--test'], options);
  if (exitCode !== 0) context.log.warn('saved rules cannot be loaded', { program, reason: stderr.trim() });
  return exitCode === 0;
}
