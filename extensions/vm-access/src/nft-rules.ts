/**
 * Reads the rules of nftables as `nft -j list ruleset` prints them. What is not understood of a rule makes it one that
 * perhaps applies. Pure. Source: libnftables-json(5), nft(8).
 */
import { isPlatformAddress } from '@handlerkit/sdk';
import * as z from 'zod';
import type {
  Certainty,
  Outcome,
  Packet,
  PacketRule,
  PortRange,
  RuleChain,
  Verdict,
} from './packet-rules.ts';
import { all, flagsAre, not, RULE_COMMENT, remotePortIn, sure } from './packet-rules.ts';

/** A chain with which the kernel starts, that may drop packets to or from this machine. */
export interface NftBaseChain {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly direction: Packet['direction'];
  readonly families: readonly (4 | 6)[];
  /** All chains of its table. */
  readonly chains: ReadonlyMap<string, RuleChain>;
  /** Rules of the chain with our comment: where they stand, and their handles. */
  readonly ours: readonly { readonly index: number; readonly handle: number }[];
}

/** Reads the base chains. Throws an error of zod or of JSON for a text of another form. */
export function parseNftRuleset(text: string): readonly NftBaseChain[] {
  const { nftables } = Ruleset.parse(JSON.parse(text));
  const tables = new Map<string, Map<string, { rules: PacketRule[]; policy: 'accept' | 'drop' }>>();
  const ours = new Map<string, { index: number; handle: number }[]>();
  const bases: z.infer<typeof Chain>[] = [];
  for (const { chain, rule } of nftables) {
    if (chain !== undefined) {
      const table = tables.get(key(chain)) ?? new Map();
      table.set(chain.name, { rules: [], policy: chain.policy === 'drop' ? 'drop' : 'accept' });
      tables.set(key(chain), table);
      bases.push(chain);
    }
    if (rule === undefined) continue;
    const found = tables.get(key(rule))?.get(rule.chain);
    const isOurs = rule.comment === RULE_COMMENT;
    const place = `${key(rule)} ${rule.chain}`;
    const entry = { index: found?.rules.length ?? 0, handle: rule.handle };
    if (isOurs) ours.set(place, [...(ours.get(place) ?? []), entry]);
    found?.rules.push({ isOurs, outcomes: readRule(rule.expr) });
  }
  return bases.flatMap((base): NftBaseChain[] => {
    const direction = DIRECTIONS[base.hook ?? ''];
    const families = FAMILIES[base.family];
    const chains = tables.get(key(base));
    if (direction === undefined || families === undefined || chains === undefined) return [];
    if (base.type !== 'filter' && base.type !== 'route') return [];
    const { family, table, name } = base;
    return [
      {
        family,
        table,
        chain: name,
        direction,
        families,
        chains,
        ours: ours.get(`${key(base)} ${name}`) ?? [],
      },
    ];
  });
}

/** Our rule in the language of nft. */
export function acceptRuleText(ports: readonly number[], direction: Packet['direction']): string {
  const side = direction === 'in' ? 'dport' : 'sport';
  return `tcp ${side} { ${ports.join(', ')} } accept comment "${RULE_COMMENT}"`;
}

const Chain = z.object({
  family: z.string(),
  table: z.string(),
  name: z.string(),
  type: z.string().optional(),
  hook: z.string().optional(),
  policy: z.string().optional(),
});
const Rule = z.object({
  family: z.string(),
  table: z.string(),
  chain: z.string(),
  handle: z.number(),
  comment: z.string().optional(),
  expr: z.array(z.unknown()),
});
const Ruleset = z.object({
  nftables: z.array(z.object({ chain: Chain.optional(), rule: Rule.optional() })),
});

const DIRECTIONS: Readonly<Record<string, Packet['direction']>> = {
  prerouting: 'in',
  input: 'in',
  output: 'out',
  postrouting: 'out',
};
const FAMILIES: Readonly<Record<string, readonly (4 | 6)[]>> = { ip: [4], ip6: [6], inet: [4, 6] };

function key({ family, table }: { readonly family: string; readonly table: string }): string {
  return `${family} ${table}`;
}

type Match = (packet: Packet) => Certainty;

/** The statements of a rule are gone through in order: once one does not match, the rest is nothing. */
function readRule(statements: readonly unknown[]): PacketRule['outcomes'] {
  const matches: Match[] = [];
  const ends: ((packet: Packet) => readonly Outcome[])[] = [];
  for (const statement of statements) {
    const [name = '', value] = onlyEntry(statement);
    const verdict = readVerdict(name, value);
    if (verdict !== undefined) ends.push(() => [{ applies: 'always', verdict }]);
    else if (name === 'match') matches.push(readMatch(value));
    else if (name === 'vmap') ends.push(readVerdictMap(value));
    else if (!PASSING_STATEMENTS.has(name)) matches.push(() => 'maybe');
  }
  return (packet) => {
    const applies = all(matches.map((match) => match(packet)));
    const outcomes = ends.flatMap((end) => end(packet));
    return outcomes.map((outcome) => ({ ...outcome, applies: all([applies, outcome.applies]) }));
  };
}

/** Statements that let every packet go on to the next one. */
const PASSING_STATEMENTS = new Set([
  'counter',
  'log',
  'mangle',
  'notrack',
  'set',
  'map',
  'ct helper',
  'secmark',
]);

function readVerdict(name: string, value: unknown): Verdict | undefined {
  switch (name) {
    case 'accept':
    case 'drop':
    case 'return':
      return { kind: name };
    case 'continue':
      return { kind: 'none' };
    case 'jump':
    case 'goto':
      return { kind: name, chain: String(field(value, 'target')) };
    // To a program that is unknown here, or to a part of iptables that nft does not know.
    case 'reject':
    case 'queue':
    case 'tproxy':
      return { kind: 'drop' };
    case 'xt':
      return field(value, 'type') === 'target' ? { kind: 'drop' } : undefined;
    default:
      return undefined;
  }
}

/** `tcp dport vmap { 22 : jump ssh }`, `ct state vmap { established : accept }`. */
function readVerdictMap(value: unknown): (packet: Packet) => readonly Outcome[] {
  const left = field(value, 'key');
  const entries = field(field(value, 'data'), 'set');
  if (!Array.isArray(entries)) return () => [{ applies: 'maybe', verdict: { kind: 'drop' } }];
  return (packet) =>
    entries.flatMap((entry): Outcome[] => {
      if (!Array.isArray(entry)) return [];
      const [name = '', target] = onlyEntry(entry[1]);
      const verdict = readVerdict(name, target) ?? { kind: 'drop' };
      return [{ applies: compare(left, entry[0], packet), verdict }];
    });
}

function readMatch(value: unknown): Match {
  const op = field(value, 'op');
  const left = field(value, 'left');
  const right = field(value, 'right');
  if (op === '==' || op === 'in') return (packet) => compare(left, right, packet);
  if (op === '!=') return (packet) => not(compare(left, right, packet));
  return () => 'maybe';
}

/** Whether `left` of the packet is the value, or one of the values, of `right`. */
function compare(left: unknown, right: unknown, packet: Packet): Certainty {
  const values = listValues(right);
  const meta = field(field(left, 'meta'), 'key');
  const payload = field(left, 'payload');
  const protocol = field(payload, 'protocol');
  const name = field(payload, 'field');
  const isOneOf = (value: string): Certainty =>
    values === undefined ? 'maybe' : sure(values.includes(value));
  if (field(field(left, 'ct'), 'key') === 'state') return isOneOf(packet.state);
  if (meta === 'l4proto') return isOneOf('tcp');
  if (meta === 'nfproto') return isOneOf(packet.family === 4 ? 'ipv4' : 'ipv6');
  if (meta === 'protocol') return isOneOf(packet.family === 4 ? 'ip' : 'ip6');
  if (meta === 'iif' || meta === 'iifname' || meta === 'oif' || meta === 'oifname') {
    return values?.every((value) => value === 'lo') === true ? 'never' : 'maybe';
  }
  if (protocol === 'ip' || protocol === 'ip6') {
    if ((protocol === 'ip') !== (packet.family === 4)) return 'never';
    if (name === 'protocol' || name === 'nexthdr') return isOneOf('tcp');
    const isRemote = name === (packet.direction === 'in' ? 'saddr' : 'daddr');
    return isRemote && isNear(right) ? 'never' : 'maybe';
  }
  if (protocol === 'tcp' || protocol === 'th') {
    if (name !== 'dport' && name !== 'sport') return 'maybe';
    const ranges = readRanges(right);
    if (ranges === undefined) return 'maybe';
    if ((name === 'dport') !== (packet.direction === 'in')) return remotePortIn(ranges);
    return sure(ranges.some(([from, to]) => from <= packet.port && packet.port <= to));
  }
  // Of another protocol: udp, icmp, sctp…
  if (typeof protocol === 'string' && protocol !== 'ether') return 'never';
  return compareFlags(left, right, packet);
}

/** `tcp flags & (fin | syn) == syn`. */
function compareFlags(left: unknown, right: unknown, packet: Packet): Certainty {
  const sides = field(left, '&');
  if (!Array.isArray(sides) || field(field(sides[0], 'payload'), 'field') !== 'flags') return 'maybe';
  const [mask, set] = [readFlags(sides[1]), readFlags(right)];
  return mask === undefined || set === undefined ? 'maybe' : flagsAre(packet, mask, set);
}

/** A flag, a list of them, or several joined by `|`. */
function readFlags(value: unknown): readonly string[] | undefined {
  const joined = field(value, '|') ?? value;
  const flags = Array.isArray(joined) ? joined : [joined];
  return flags.every((flag): flag is string => typeof flag === 'string') ? flags : undefined;
}

function isNear(right: unknown): boolean {
  const address = field(field(right, 'prefix'), 'addr') ?? right;
  if (typeof address !== 'string') return false;
  return isPlatformAddress(address) || address.startsWith('127.') || address === '::1';
}

/** Plain values; `undefined` when there is something else in it, such as a named set. */
function listValues(right: unknown): readonly unknown[] | undefined {
  const list = field(right, 'set') ?? right;
  const values = Array.isArray(list) ? list : [list];
  const isPlain = values.every((value) => typeof value === 'string' && !value.startsWith('@'));
  return isPlain ? values : undefined;
}

function readRanges(right: unknown): readonly PortRange[] | undefined {
  const list = field(right, 'set') ?? right;
  const ranges = (Array.isArray(list) ? list : [list]).map((value): PortRange => {
    const range = field(value, 'range');
    const [from, to] = Array.isArray(range) ? range : [value, value];
    return typeof from === 'number' && typeof to === 'number' ? [from, to] : [Number.NaN, Number.NaN];
  });
  return ranges.some(([from]) => Number.isNaN(from)) ? undefined : ranges;
}

function onlyEntry(value: unknown): readonly [string?, unknown?] {
  return typeof value === 'object' && value !== null ? (Object.entries(value)[0] ?? []) : [];
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
