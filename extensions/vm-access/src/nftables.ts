/**
 * Opens ports in nftables: a rule of ours becomes the first one of every chain that may drop packets to sshd or its answers,
 * since a packet has to get through all of them. The file that is loaded at boot is tried in a network namespace of its own,
 * before and after it is changed, so that a firewall which cannot be loaded is never left behind.
 * Source: nft(8) "CHAINS", "VERDICT STATEMENTS".
 */

import { findProgram } from './command.ts';
import { accessError } from './errors.ts';
import type { FirewallChange } from './firewall-change.ts';
import { NO_CHANGE, namePorts, stillBlocked } from './firewall-change.ts';
import { readRulesFile, replaceRulesFile } from './firewall-file.ts';
import type { NftBaseChain } from './nft-rules.ts';
import { acceptRuleText, parseNftRuleset } from './nft-rules.ts';
import { isLetThrough, packetsOf, RULE_COMMENT } from './packet-rules.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/**
 * Reads the chains that may drop something of sshd's; none when the VM has no nft or its kernel no nftables.
 * @param elsewhere tables, such as `ip filter`, that another program takes care of.
 * Throws `FIREWALL_NOT_OPENED` for an nft whose rules cannot be read.
 */
export async function readNftables(
  context: StepContext,
  elsewhere: ReadonlySet<string>,
): Promise<readonly NftBaseChain[]> {
  if (findProgram(context.host, 'nft') === undefined) return [];
  const listed = await context.run([...LIST], { tailBytes: MOST_BYTES, accept: [0, 1], timeoutMs: LIMIT_MS });
  if (listed.exitCode === 0) {
    return parseRules(listed.stdout).filter(({ family, table }) => !elsewhere.has(`${family} ${table}`));
  }
  const plain = await context.run(['nft', 'list', 'ruleset'], { accept: [0, 1], timeoutMs: LIMIT_MS });
  if (plain.exitCode === 0 && /\bhook (input|output|prerouting|postrouting)\b/.test(plain.stdout)) {
    throw accessError('FIREWALL_NOT_OPENED', `the rules of nft cannot be read: ${listed.stderr.trim()}`);
  }
  context.log.info('nft has no rules that can be read', { reason: plain.stderr.trim() });
  return [];
}

/** Opens the ports now and after a reboot. Changes nothing where they are open. */
export async function openNftables(
  context: StepContext,
  ports: readonly number[],
  undo: Undo,
  elsewhere: ReadonlySet<string>,
): Promise<FirewallChange> {
  if (findProgram(context.host, 'nft') === undefined) return NO_CHANGE;
  const blocked = findBlocked(await readNftables(context, elsewhere), ports);
  for (const chain of blocked) await insertRule(context, chain, ports, undo);
  const [left] = findBlocked(await readNftables(context, elsewhere), ports);
  if (left !== undefined) throw stillBlocked(nameChain(left), ports);
  const saved = await openFiles(context, ports, undo);
  const isForgotten = blocked.length > 0 && saved.kept.length === 0 && saved.warnings.length === 0;
  const forgotten =
    'no file of nftables that is loaded at boot blocks or opens the ports; look whether they stay open';
  return {
    opened: blocked.map(nameChain),
    kept: saved.kept,
    warnings: isForgotten ? [...saved.warnings, forgotten] : saved.warnings,
  };
}

const LIST = ['nft', '-j', '-t', 'list', 'ruleset'] as const;
const LIMIT_MS = 30_000;
const MOST_BYTES = 32 * 1024 * 1024;
/** What the services of the distributions load: Debian's and SUSE's, and that of RHEL and its kin. */
const FILES = ['/etc/nftables.conf', '/etc/sysconfig/nftables.conf'];
/** Loads the rules that come on stdin where nothing else is loaded, and lists what has become of them. */
const TRY_RULES = ['unshare', '--net', '/bin/sh', '-c', `nft -f - && exec ${LIST.join(' ')}`];

const BEGIN = `# ${RULE_COMMENT}: begin`;
const END = `# ${RULE_COMMENT}: end`;

function parseRules(text: string): readonly NftBaseChain[] {
  try {
    return parseNftRuleset(text);
  } catch (cause) {
    throw accessError('FIREWALL_NOT_OPENED', 'the rules of nft cannot be read: their JSON has another form', {
      cause,
    });
  }
}

function nameChain({ family, table, chain }: NftBaseChain): string {
  return `nftables ${family} ${table} ${chain}`;
}

function findBlocked(chains: readonly NftBaseChain[], ports: readonly number[]): readonly NftBaseChain[] {
  return chains.filter(({ chains: table, chain, direction, families }) =>
    ports.some((port) =>
      packetsOf(port, direction, families).some((packet) => !isLetThrough(table, chain, packet)),
    ),
  );
}

/** Our former rule, if there is one, stands behind one that drops: it goes when all has succeeded. */
async function insertRule(
  context: StepContext,
  base: NftBaseChain,
  ports: readonly number[],
  undo: Undo,
): Promise<void> {
  const { family, table, chain, direction, ours } = base;
  const place = [family, table, chain];
  const former = new Set(ours.map(({ handle }) => handle));
  const remove = async (handle: number): Promise<void> => {
    await context.run(['nft', 'delete', 'rule', ...place, 'handle', String(handle)], { timeoutMs: LIMIT_MS });
  };
  undo.add(`the rule for ${namePorts(ports)} in ${nameChain(base)}`, async () => {
    const now = (await readNftables(context, new Set())).find(
      (found) => nameChain(found) === nameChain(base),
    );
    for (const { handle } of now?.ours ?? []) if (!former.has(handle)) await remove(handle);
  });
  await context.run(['nft', 'insert', 'rule', ...place, acceptRuleText(ports, direction)], {
    timeoutMs: LIMIT_MS,
  });
  for (const handle of former) {
    undo.afterSuccess(`the former rule in ${nameChain(base)}`, () => remove(handle));
  }
}

async function openFiles(
  context: StepContext,
  ports: readonly number[],
  undo: Undo,
): Promise<Pick<FirewallChange, 'kept' | 'warnings'>> {
  const kept: string[] = [];
  const warnings: string[] = [];
  for (const file of FILES) {
    const text = readRulesFile(context, file);
    if (text === undefined) continue;
    try {
      if (await openFile(context, file, text, ports, undo)) kept.push(file);
    } catch (thrown) {
      context.signal.throwIfAborted();
      context.log.warn('a file of nftables could not be changed', { file, reason: String(thrown) });
      warnings.push(`${file} could not be made to open the ports after a reboot; it was left as it is`);
    }
  }
  return { kept, warnings };
}

/** True when the file was changed. */
async function openFile(
  context: StepContext,
  file: string,
  text: string,
  ports: readonly number[],
  undo: Undo,
): Promise<boolean> {
  const blocked = findBlocked(await tryRules(context, text), ports);
  if (blocked.length === 0) return false;
  const lines = blocked.map(
    ({ family, table, chain, direction }) =>
      `insert rule ${family} ${table} ${chain} ${acceptRuleText(ports, direction)}`,
  );
  const changed = `${withoutBlock(text)}${BEGIN}\n${lines.join('\n')}\n${END}\n`;
  if (findBlocked(await tryRules(context, changed), ports).length > 0) throw stillBlocked(file, ports);
  await replaceRulesFile(context, file, { former: text, next: changed }, undo);
  return true;
}

async function tryRules(context: StepContext, text: string): Promise<readonly NftBaseChain[]> {
  const { stdout } = await context.run(TRY_RULES, {
    stdin: text,
    tailBytes: MOST_BYTES,
    timeoutMs: LIMIT_MS,
  });
  return parseRules(stdout);
}

function withoutBlock(text: string): string {
  const lines = text.split('\n');
  const [begin, end] = [lines.indexOf(BEGIN), lines.indexOf(END)];
  const kept = begin !== -1 && end > begin ? lines.toSpliced(begin, end - begin + 1) : lines;
  const joined = kept.join('\n');
  return joined === '' || joined.endsWith('\n') ? joined : `${joined}\n`;
}
