/**
 * Reads the rules of iptables and ip6tables in the form of iptables-save, of the running system or of a file that is loaded
 * at its start, and adds a line to such a file. What is not understood of a rule makes it one that perhaps applies. Pure.
 * Source: iptables-save(8), iptables(8), iptables-extensions(8).
 */
import { isPlatformAddress } from '@handlerkit/sdk';
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

/** A chain with which the kernel starts, and the way that its packets take. */
export interface BuiltInChain {
  readonly table: string;
  readonly chain: string;
  readonly direction: Packet['direction'];
}

/** Tables by name, each with its chains. */
export type IptablesRules = ReadonlyMap<string, ReadonlyMap<string, RuleChain>>;

/** Reads all tables. Lines that are no rules are passed over. */
export function parseIptablesSave(text: string): IptablesRules {
  const tables = new Map<string, Map<string, { rules: PacketRule[]; policy: 'accept' | 'drop' }>>();
  let table = new Map<string, { rules: PacketRule[]; policy: 'accept' | 'drop' }>();
  for (const line of text.split('\n')) {
    const [, tableName] = /^\*(\S+)/.exec(line) ?? [];
    const [, chainName, policy] = /^:(\S+)\s+(\S+)/.exec(line) ?? [];
    if (tableName !== undefined) {
      table = new Map();
      tables.set(tableName, table);
    } else if (chainName !== undefined) {
      table.set(chainName, { rules: [], policy: policy === 'DROP' ? 'drop' : 'accept' });
    } else if (RULE_LINE.test(line)) {
      const [, name = '', ...words] = splitWords(line.replace(COUNTERS, ''));
      table.get(name)?.rules.push(readRule(words, table));
    }
  }
  return tables;
}

/** The chains of these tables that a packet to or from this machine passes. Those of `nat` drop nothing. */
export function listBuiltInChains(rules: IptablesRules): readonly BuiltInChain[] {
  return [...rules].flatMap(([table, chains]) =>
    table === 'nat'
      ? []
      : [...chains.keys()].flatMap((chain) => {
          const direction = DIRECTIONS[chain];
          return direction === undefined ? [] : [{ table, chain, direction }];
        }),
  );
}

/** The words of our rule, behind `-A CHAIN` or `-I CHAIN`. */
export function acceptRule(port: number, direction: Packet['direction']): readonly string[] {
  const side = direction === 'in' ? '--dport' : '--sport';
  const comment = ['-m', 'comment', '--comment', RULE_COMMENT];
  return ['-p', 'tcp', '-m', 'tcp', side, String(port), ...comment, '-j', 'ACCEPT'];
}

/** The text of a file of rules with one more rule, the first one of its chain. Our former ones stay. */
export function addFirstRule(text: string, { table, chain }: BuiltInChain, words: readonly string[]): string {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.trimEnd() === `*${table}`);
  const end = lines.findIndex((line, index) => index > start && line.startsWith('COMMIT'));
  const first = lines.findIndex((line, index) => index > start && index < end && RULE_LINE.test(line));
  const at = first === -1 ? end : first;
  if (start === -1 || at === -1) return text;
  return lines.toSpliced(at, 0, `-A ${chain} ${words.join(' ')}`).join('\n');
}

const DIRECTIONS: Readonly<Record<string, Packet['direction']>> = {
  PREROUTING: 'in',
  INPUT: 'in',
  OUTPUT: 'out',
  POSTROUTING: 'out',
};

const COUNTERS = /^\[\d+:\d+\]\s+/;
const RULE_LINE = /^(?:\[\d+:\d+\]\s+)?-A\s/;

/** Targets after which the next rule is looked at. What is neither here nor a chain may drop. */
const PASSING_TARGETS = new Set(
  (
    'AUDIT CHECKSUM CLASSIFY CONNMARK CONNSECMARK CT DSCP ECN HL HMARK IDLETIMER LED LOG MARK NFLOG NOTRACK RATEEST ' +
    'SECMARK SET TCPMSS TCPOPTSTRIP TEE TOS TRACE TTL ULOG'
  ).split(' '),
);

/** In double quotes a backslash stands before a quote. */
function splitWords(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) =>
    quoted === undefined ? (plain ?? '') : quoted.replace(/\\(.)/g, '$1'),
  );
}

type Match = (packet: Packet) => Certainty;

function readRule(words: readonly string[], table: ReadonlyMap<string, unknown>): PacketRule {
  const matches: Match[] = [];
  let target: string | undefined;
  let isGoto = false;
  let isNegated = false;
  let comment: string | undefined;
  for (let index = 0; index < words.length && target === undefined; index++) {
    const word = words[index] ?? '';
    const value = words[index + 1] ?? '';
    if (word === '!') {
      isNegated = true;
    } else if (word === '-j' || word === '-g' || word === '--jump' || word === '--goto') {
      target = value;
      isGoto = word === '-g' || word === '--goto';
    } else if (word === '--comment') {
      comment = value;
      index++;
    } else if (word.startsWith('-') && word !== '-m') {
      const match = readMatch(word, value, words[index + 2] ?? '');
      matches.push(isNegated ? (packet) => not(match(packet)) : match);
      isNegated = false;
    }
  }
  const verdict = readVerdict(target, isGoto, table);
  return {
    isOurs: comment === RULE_COMMENT,
    outcomes: (packet): readonly Outcome[] => [
      { applies: all(matches.map((match) => match(packet))), verdict },
    ],
  };
}

function readVerdict(
  target: string | undefined,
  isGoto: boolean,
  table: ReadonlyMap<string, unknown>,
): Verdict {
  if (target === undefined || PASSING_TARGETS.has(target)) return { kind: 'none' };
  if (target === 'ACCEPT') return { kind: 'accept' };
  if (target === 'RETURN') return { kind: 'return' };
  if (table.has(target)) return { kind: isGoto ? 'goto' : 'jump', chain: target };
  return { kind: 'drop' };
}

function readMatch(option: string, value: string, second: string): Match {
  switch (option) {
    case '-p':
    case '--protocol':
      return () => sure(['tcp', '6', 'all', '0'].includes(value.toLowerCase()));
    case '-i':
    case '-o':
    case '--in-interface':
    case '--out-interface':
      return () => (value === 'lo' ? 'never' : 'maybe');
    case '-s':
    case '--source':
      return ({ direction }) => (direction === 'in' ? remoteIn(value) : 'maybe');
    case '-d':
    case '--destination':
      return ({ direction }) => (direction === 'out' ? remoteIn(value) : 'maybe');
    case '--dport':
    case '--destination-port':
    case '--dports':
    case '--destination-ports':
      return ({ direction, port }) => (direction === 'in' ? localPort(value, port) : remotePort(value));
    case '--sport':
    case '--source-port':
    case '--sports':
    case '--source-ports':
      return ({ direction, port }) => (direction === 'out' ? localPort(value, port) : remotePort(value));
    case '--ports':
      return ({ port }) => (localPort(value, port) === 'always' ? 'always' : 'maybe');
    case '--ctstate':
    case '--state':
      return ({ state }) => sure(value.split(',').includes(state.toUpperCase()));
    case '--syn':
      return (packet) => flagsAre(packet, ['fin', 'syn', 'rst', 'ack'], ['syn']);
    case '--tcp-flags':
      return (packet) => flagsAre(packet, readFlags(value), readFlags(second));
    default:
      return () => 'maybe';
  }
}

/** Who connects is not this machine's own surroundings. */
function remoteIn(address: string): Certainty {
  const [host = '', length = '32'] = address.split('/');
  if (length === '0') return 'always';
  const isNear = isPlatformAddress(host) || host.startsWith('127.') || host === '::1';
  return isNear && Number(length) >= SHORTEST_NEAR_PREFIX ? 'never' : 'maybe';
}

const SHORTEST_NEAR_PREFIX = 8;

function localPort(value: string, port: number): Certainty {
  const ranges = readPorts(value);
  return ranges === undefined ? 'maybe' : sure(ranges.some(([from, to]) => from <= port && port <= to));
}

function remotePort(value: string): Certainty {
  const ranges = readPorts(value);
  return ranges === undefined ? 'maybe' : remotePortIn(ranges);
}

/** `22,80:90,1024:`; `undefined` when there is a name in it. */
function readPorts(value: string): readonly PortRange[] | undefined {
  const ranges = value.split(',').map((part): PortRange => {
    const [from = '', to = from] = part.replace(/^ssh$/, '22').split(':');
    return [from === '' ? 0 : Number(from), to === '' ? 65_535 : Number(to)];
  });
  return ranges.some((range) => range.some(Number.isNaN)) ? undefined : ranges;
}

function readFlags(value: string): readonly string[] {
  const flags = value.toLowerCase();
  if (flags === 'all') return ['fin', 'syn', 'rst', 'psh', 'ack', 'urg'];
  return flags === 'none' ? [] : flags.split(',');
}
