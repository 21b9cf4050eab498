/**
 * What the rules of a packet filter do to the packets of a connection to sshd, whatever program made the rules: each rule
 * applies to such a packet always, never, or perhaps (it depends on who connects, on a rate, on something unknown here).
 * From that follows whether a packet may be dropped. Pure.
 */

/** A packet of a connection from anywhere outside to a port of this machine, or of its answers. */
export interface Packet {
  /** Port of this machine. */
  readonly port: number;
  readonly direction: 'in' | 'out';
  /** As connection tracking sees it; `new` is the first one only. */
  readonly state: 'new' | 'established';
  readonly family: 4 | 6;
}

/** Whether something is so for a packet. */
export type Certainty = 'always' | 'never' | 'maybe';

/** What happens to a packet. `none`: the next rule is looked at. */
export type Verdict =
  | { readonly kind: 'accept' | 'drop' | 'return' | 'none' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string };

/** One thing that a rule may do. */
export interface Outcome {
  readonly applies: Certainty;
  readonly verdict: Verdict;
}

/** A rule; most have one outcome, a map of verdicts has several. */
export interface PacketRule {
  outcomes(packet: Packet): readonly Outcome[];
  /** True for a rule with the comment of VM Access. */
  readonly isOurs: boolean;
}

/** A chain of rules. */
export interface RuleChain {
  readonly rules: readonly PacketRule[];
  /** What happens at its end, of a chain that the kernel starts with. */
  readonly policy: 'accept' | 'drop';
}

/** Chains by name, those of one table. */
export type RuleTable = ReadonlyMap<string, RuleChain>;

/** The comment by which a rule of VM Access is found again. */
export const RULE_COMMENT = 'handlerkit-vm-access';

/** The packets that have to get through a chain for connections to `port`. */
export function packetsOf(
  port: number,
  direction: Packet['direction'],
  families: readonly (4 | 6)[],
): Packet[] {
  const states = direction === 'in' ? (['new', 'established'] as const) : (['established'] as const);
  return families.flatMap((family) => states.map((state) => ({ port, direction, state, family })));
}

/** True when the chain `name`, with which the kernel starts, surely lets the packet through. */
export function isLetThrough(table: RuleTable, name: string, packet: Packet): boolean {
  const ends = walk(table, name, packet, new Map());
  return !ends.has('drop') && !(ends.has('return') && table.get(name)?.policy === 'drop');
}

/** All outcomes hold only if each of them does. */
export function all(certainties: readonly Certainty[]): Certainty {
  if (certainties.includes('never')) return 'never';
  return certainties.includes('maybe') ? 'maybe' : 'always';
}

/** The opposite. */
export function not(certainty: Certainty): Certainty {
  if (certainty === 'maybe') return 'maybe';
  return certainty === 'always' ? 'never' : 'always';
}

/** `true` or `false` for what is known. */
export function sure(isSo: boolean): Certainty {
  return isSo ? 'always' : 'never';
}

/** Whether a port of the other side, which no server of ours chooses, is in one of the ranges. */
export function remotePortIn(ranges: readonly PortRange[]): Certainty {
  if (ranges.some(([from, to]) => from <= FIRST_FREE_PORT && to >= LAST_PORT)) return 'always';
  return ranges.every(([, to]) => to < FIRST_FREE_PORT) ? 'never' : 'maybe';
}

/** From and to, both included. */
export type PortRange = readonly [number, number];

/** Whether a TCP packet has exactly `set` of the flags in `mask`, in lower case; `new` ones are known to be a SYN. */
export function flagsAre(packet: Packet, mask: readonly string[], set: readonly string[]): Certainty {
  const flagIs = (flag: string): Certainty => {
    if (packet.state === 'new') return sure(flag === 'syn');
    if (flag === 'ack') return 'always';
    // An answer may be the SYN of the server.
    if (flag === 'syn') return packet.direction === 'in' ? 'never' : 'maybe';
    return flag === 'urg' ? 'never' : 'maybe';
  };
  return all(mask.map((flag) => (set.includes(flag) ? flagIs(flag) : not(flagIs(flag)))));
}

/** Lowest number that clients are given for their side of a connection. */
const FIRST_FREE_PORT = 1024;
const LAST_PORT = 65_535;

/** How a chain may be left; `return` is also its end. */
type End = 'accept' | 'drop' | 'return';

/** Memory of what has been walked; a chain that is being walked may be dropped in, as the kernel has no circles. */
function walk(table: RuleTable, name: string, packet: Packet, seen: Map<string, Set<End>>): Set<End> {
  const known = seen.get(name);
  if (known !== undefined) return known;
  seen.set(name, new Set(['drop']));
  const ends = new Set<End>();
  const rules = table.get(name)?.rules ?? [];
  if (!rules.some((rule) => leaves(rule, table, packet, seen, ends))) ends.add('return');
  seen.set(name, ends);
  return ends;
}

/** Adds the ends that a rule may lead to. True when the next rule is not reached. */
function leaves(
  rule: PacketRule,
  table: RuleTable,
  packet: Packet,
  seen: Map<string, Set<End>>,
  ends: Set<End>,
): boolean {
  for (const { applies, verdict } of rule.outcomes(packet)) {
    if (applies === 'never' || verdict.kind === 'none') continue;
    const isJump = verdict.kind === 'jump';
    const reached =
      verdict.kind === 'jump' || verdict.kind === 'goto'
        ? walk(table, verdict.chain, packet, seen)
        : new Set<End>([verdict.kind]);
    for (const end of reached) if (!(isJump && end === 'return')) ends.add(end);
    if (applies === 'always') return !(isJump && reached.has('return'));
  }
  return false;
}
