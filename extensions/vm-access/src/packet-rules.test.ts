import { describe, expect, it } from 'vitest';
import { acceptRule, addFirstRule, listBuiltInChains, parseIptablesSave } from './iptables-rules.ts';
import { acceptRuleText, parseNftRuleset } from './nft-rules.ts';
import { isLetThrough, type Packet, packetsOf, RULE_COMMENT } from './packet-rules.ts';

type Policy = 'ACCEPT' | 'DROP';

function isOpenInIptables(rules: readonly string[], policy: Policy = 'ACCEPT', port = 22): boolean {
  const text = `*filter\n:INPUT ${policy} [1:2]\n:DENY - [0:0]\n${rules.join('\n')}\nCOMMIT\n`;
  const table = parseIptablesSave(text).get('filter') ?? new Map();
  return packetsOf(port, 'in', [4]).every((packet) => isLetThrough(table, 'INPUT', packet));
}

describe('parseIptablesSave', () => {
  it.each<[string, readonly string[], Policy, boolean]>([
    ['no rules', [], 'ACCEPT', true],
    ['a policy that drops', [], 'DROP', false],
    ['a rule before the policy', ['-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT'], 'DROP', true],
    ['counters', ['[7:9] -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT'], 'DROP', true],
    ['a rule for some', ['-A INPUT -s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT'], 'DROP', false],
    ['a rule for everybody', ['-A INPUT -s 0.0.0.0/0 -p tcp --dport 22 -j ACCEPT'], 'DROP', true],
    ['a rate', ['-A INPUT -p tcp --dport 22 -m limit --limit 3/min -j ACCEPT'], 'DROP', false],
    ['another port', ['-A INPUT -p tcp --dport 80 -j DROP'], 'ACCEPT', true],
    ['a range', ['-A INPUT -p tcp --dport :1023 -j DROP'], 'ACCEPT', false],
    ['all ports but one', ['-A INPUT -p tcp ! --dport 22 -j DROP'], 'ACCEPT', true],
    ['all ports but another', ['-A INPUT -p tcp ! --dport 80 -j DROP'], 'ACCEPT', false],
    ['several ports', ['-A INPUT -p tcp -m multiport --dports 21,22:23 -j REJECT'], 'ACCEPT', false],
    ['a name of a port', ['-A INPUT -p tcp --dport ssh -j DROP'], 'ACCEPT', false],
    ['another protocol', ['-A INPUT -p udp -j DROP'], 'ACCEPT', true],
    ['all other protocols', ['-A INPUT ! -p tcp -j DROP'], 'ACCEPT', true],
    ['the machine itself', ['-A INPUT -i lo -j DROP'], 'ACCEPT', true],
    ['all but the machine itself', ['-A INPUT ! -i lo -j DROP'], 'ACCEPT', false],
    ['an interface', ['-A INPUT -i eth0 -j DROP'], 'ACCEPT', false],
    ['what has no state', ['-A INPUT -m conntrack --ctstate INVALID -j DROP'], 'ACCEPT', true],
    ['what is new', ['-A INPUT -m state --state NEW -j DROP'], 'ACCEPT', false],
    [
      'what is new but is no beginning',
      ['-A INPUT -p tcp ! --syn -m state --state NEW -j DROP'],
      'ACCEPT',
      true,
    ],
    ['scans', ['-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j DROP'], 'ACCEPT', true],
    ['scans without a flag', ['-A INPUT -p tcp -m tcp --tcp-flags ALL NONE -j DROP'], 'ACCEPT', true],
    ['some flags', ['-A INPUT -p tcp -m tcp --tcp-flags RST RST -j DROP'], 'ACCEPT', false],
    ['a log', ['-A INPUT -j LOG --log-prefix "22 -j DROP"'], 'ACCEPT', true],
    ['a comment', [`-A INPUT -m comment --comment "a \\" -j DROP" -j ACCEPT`], 'DROP', true],
    ['an unknown match', ['-A INPUT -m magic --spell x -j DROP'], 'ACCEPT', false],
    ['an unknown target', ['-A INPUT -p tcp -j TARPIT'], 'ACCEPT', false],
    ['a chain that drops', ['-A DENY -j DROP', '-A INPUT -j DENY'], 'ACCEPT', false],
    [
      'a chain that returns',
      ['-A DENY -p tcp -j RETURN', '-A DENY -j DROP', '-A INPUT -j DENY'],
      'ACCEPT',
      true,
    ],
    ['a chain that ends', ['-A DENY -p udp -j DROP', '-A INPUT -g DENY'], 'DROP', false],
    [
      'a chain that is left for good',
      ['-A INPUT -g DENY', '-A INPUT -j DROP', '-A DENY -p udp -j DROP'],
      'ACCEPT',
      true,
    ],
    [
      'a chain that is left for good by some',
      ['-A INPUT -i eth1 -g DENY', '-A INPUT -j ACCEPT'],
      'DROP',
      false,
    ],
    ['a circle', ['-A DENY -j DENY', '-A INPUT -j DENY'], 'ACCEPT', false],
  ])('tells whether all get through: %s', (_what, rules, policy, isOpen) => {
    expect(isOpenInIptables(rules, policy)).toBe(isOpen);
  });

  it('reads every table, and passes over what drops nothing of this machine', () => {
    const text =
      '*nat\n:PREROUTING DROP [0:0]\nCOMMIT\n*raw\n:PREROUTING ACCEPT [0:0]\n:OTHER - [0:0]\nCOMMIT\n';
    expect(listBuiltInChains(parseIptablesSave(`${text}*filter\n:FORWARD DROP [0:0]\nCOMMIT`))).toEqual([
      { table: 'raw', chain: 'PREROUTING', direction: 'in' },
    ]);
  });

  it('puts a rule before the first one of its table, whether there is one or none', () => {
    const chain = { table: 'filter', chain: 'INPUT', direction: 'in' } as const;
    const rule = acceptRule(22, 'in');
    const line = `-A INPUT -p tcp -m tcp --dport 22 -m comment --comment ${RULE_COMMENT} -j ACCEPT`;
    const other = '*nat\n-A INPUT -j X\nCOMMIT\n';
    expect(addFirstRule(`${other}*filter\n:INPUT DROP\n[0:0] -A INPUT -j X\nCOMMIT\n`, chain, rule)).toBe(
      `${other}*filter\n:INPUT DROP\n${line}\n[0:0] -A INPUT -j X\nCOMMIT\n`,
    );
    expect(addFirstRule('*filter\n:INPUT DROP\nCOMMIT\n', chain, rule)).toBe(
      `*filter\n:INPUT DROP\n${line}\nCOMMIT\n`,
    );
    expect(addFirstRule('*nat\nCOMMIT\n', chain, rule)).toBe('*nat\nCOMMIT\n');
  });
});

describe('parseNftRuleset', () => {
  const port = (right: unknown, op = '==') => ({
    match: { op, left: { payload: { protocol: 'tcp', field: 'dport' } }, right },
  });
  const state = (right: unknown) => ({ match: { op: 'in', left: { ct: { key: 'state' } }, right } });
  const meta = (key: string, right: unknown) => ({ match: { op: '==', left: { meta: { key } }, right } });
  const [accept, drop] = [{ accept: null }, { drop: null }];

  function isOpen(
    rules: readonly (readonly unknown[])[],
    policy: string,
    direction: Packet['direction'] = 'in',
  ): boolean {
    const place = { family: 'inet', table: 't' };
    const hook = direction === 'in' ? 'input' : 'output';
    const chains = [
      { chain: { ...place, name: 'base', handle: 1, type: 'filter', hook, prio: 0, policy } },
      { chain: { ...place, name: 'deny', handle: 2 } },
      { rule: { ...place, chain: 'deny', handle: 3, expr: [drop] } },
    ];
    const entries = rules.map((expr, index) => ({
      rule: { ...place, chain: 'base', handle: 10 + index, expr },
    }));
    const [base] = parseNftRuleset(JSON.stringify({ nftables: [{ metainfo: {} }, ...chains, ...entries] }));
    if (base === undefined) throw new Error('no base chain');
    const packets = packetsOf(22, direction, base.families);
    return packets.every((packet) => isLetThrough(base.chains, 'base', packet));
  }

  it.each<[string, readonly (readonly unknown[])[], string, boolean]>([
    ['a policy', [], 'drop', false],
    ['a port', [[port(22), accept]], 'drop', true],
    ['a set of ports', [[port({ set: [80, { range: [20, 25] }] }), accept]], 'drop', true],
    ['a named set', [[port('@ports'), accept]], 'drop', false],
    ['all ports but one', [[port(22, '!='), drop]], 'accept', true],
    ['a counter and a log', [[port(22), { counter: {} }, { log: { prefix: 'x' } }, accept]], 'drop', true],
    ['a rate', [[port(22), { limit: { rate: 3 } }, accept]], 'drop', false],
    [
      'states',
      [
        [state(['established', 'related']), accept],
        [port(22), state('new'), accept],
      ],
      'drop',
      true,
    ],
    ['one state', [[port(22), state('new'), accept]], 'drop', false],
    ['IPv6 only', [[meta('nfproto', 'ipv6'), drop]], 'accept', false],
    ['other protocols', [[meta('l4proto', { set: ['icmp', 'udp'] }), drop]], 'accept', true],
    ['the machine itself', [[meta('iifname', 'lo'), drop]], 'accept', true],
    ['an interface', [[meta('iifname', 'eth0'), drop]], 'accept', false],
    ['a chain', [[port(22), { jump: { target: 'deny' } }]], 'accept', false],
    ['a part of iptables', [[{ xt: { type: 'target', name: 'TARPIT' } }]], 'accept', false],
    [
      'a map of states',
      [
        [
          {
            vmap: {
              key: { ct: { key: 'state' } },
              data: {
                set: [
                  ['established', accept],
                  ['invalid', drop],
                ],
              },
            },
          },
        ],
        [port(22), accept],
      ],
      'drop',
      true,
    ],
    [
      'a map that is not known',
      [[{ vmap: { key: { ct: { key: 'state' } }, data: '@states' } }]],
      'accept',
      false,
    ],
    [
      'flags',
      [
        [
          {
            match: {
              op: '==',
              left: { '&': [{ payload: { protocol: 'tcp', field: 'flags' } }, ['fin', 'syn']] },
              right: ['fin', 'syn'],
            },
          },
          drop,
        ],
      ],
      'accept',
      true,
    ],
    [
      "the platform's address",
      [
        [
          {
            match: {
              op: '==',
              left: { payload: { protocol: 'ip', field: 'saddr' } },
              right: '168.63.129.16',
            },
          },
          drop,
        ],
      ],
      'accept',
      true,
    ],
  ])('tells whether all get through: %s', (_what, rules, policy, expected) => {
    expect(isOpen(rules, policy)).toBe(expected);
  });

  it('asks of answers only what is established, and by the port that they come from (W37)', () => {
    const from = (field: string) => ({
      match: { op: '==', left: { payload: { protocol: 'tcp', field } }, right: 22 },
    });
    expect(isOpen([[from('dport'), accept]], 'drop', 'out')).toBe(false);
    expect(isOpen([[from('sport'), accept]], 'drop', 'out')).toBe(true);
    expect(isOpen([[state('established'), accept]], 'drop', 'out')).toBe(true);
    expect(acceptRuleText([22, 2222], 'out')).toBe(`tcp sport { 22, 2222 } accept comment "${RULE_COMMENT}"`);
  });
});
