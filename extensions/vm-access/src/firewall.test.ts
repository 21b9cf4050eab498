import { afterEach, describe, expect, it } from 'vitest';
import { planFirewall } from './firewall.ts';
import type { SshdMachine } from './fixtures/sshd-machine.ts';
import { startSshdMachine, whyNoMachine } from './fixtures/sshd-machine.ts';
import { RULE_COMMENT } from './packet-rules.ts';
import type { StepReport } from './step.ts';
import { createUndoList } from './undo.ts';

const reason = whyNoMachine('bookworm');
let machine: SshdMachine;
afterEach(() => machine.remove());

/** A machine with sshd on port 22 and these rules; `2>&1`, since iptables warns of rules of its other kind. */
async function start(
  rules: string,
  release: Parameters<typeof startSshdMachine>[0] = 'bookworm',
): Promise<void> {
  machine = await startSshdMachine(release);
  await machine.sh(`set -e\n${CLIENT}\nservice ssh start\n${rules}`);
}

/** Who connects comes from outside: a network namespace of its own, behind a cable. */
const CLIENT = `
ip netns add client
ip link add cable type veth peer name cable netns client
ip address add 10.9.0.1/24 dev cable
ip address add fd00:9::1/64 dev cable nodad
ip link set cable up
ip -n client address add 10.9.0.2/24 dev cable
ip -n client address add fd00:9::2/64 dev cable nodad
ip -n client link set cable up
`;

async function open(ports: readonly number[] = [22]): Promise<StepReport> {
  const step = await planFirewall(machine.context, async () => ports);
  return step.act(machine.undo);
}

/** True when sshd greets who connects. */
async function answers(address = '10.9.0.1', port = 22): Promise<boolean> {
  const connect = `exec 3<>/dev/tcp/${address}/${port} && IFS= read -r -t 1 line <&3 && echo "$line"`;
  const said = await machine.sh(`ip netns exec client timeout 0.5 bash -c '${connect}' 2>/dev/null || :`);
  return said.startsWith('SSH-');
}

/** All rules and files, without counters. */
async function everything(): Promise<string> {
  const text = await machine.sh(`
    nft -s list ruleset 2>/dev/null
    for p in iptables ip6tables; do for v in nft legacy; do $p-$v-save 2>/dev/null | grep -v '^#'; done; done
    cat /etc/nftables.conf
    cat /etc/iptables/* 2>/dev/null || :
  `);
  return text.replace(/\[\d+:\d+\]/g, '');
}
const ours = async (): Promise<number> => (await everything()).split(RULE_COMMENT).length - 1;

const NFT_INPUT = 'table inet guard { chain entry { type filter hook input priority 0; policy drop; }; }';

describe.skipIf(reason !== undefined)(`planFirewall${reason === undefined ? '' : ` (${reason})`}`, () => {
  it.each([
    ['an nftables policy', `nft '${NFT_INPUT}'`, 'nftables inet guard entry'],
    [
      'nftables rules of two tables, one after the other',
      `nft '${NFT_INPUT}'; nft 'table ip more { chain entry { type filter hook input priority 10; tcp dport 1-1000 reject with tcp reset; }; }'`,
      'nftables inet guard entry, nftables ip more entry',
    ],
    [
      'an nftables rule before the local processes',
      `nft 'table inet raw { chain pre { type filter hook prerouting priority raw; tcp dport ssh drop; }; }'`,
      'nftables inet raw pre',
    ],
    [
      'nftables without state that drops answers (W37)',
      `nft 'table inet out { chain out { type filter hook output priority 0; policy drop; tcp dport 22 accept; }; }'`,
      'nftables inet out out',
    ],
    [
      'a chain that nftables jumps to',
      `nft 'table inet t { chain deny { drop; }; chain entry { type filter hook input priority 0; tcp dport { 22, 80 } jump deny; }; }'`,
      'nftables inet t entry',
    ],
    ['an iptables policy (W37)', 'iptables-nft -P INPUT DROP', 'iptables-nft filter INPUT'],
    ['an iptables policy of the old kind', 'iptables-legacy -P INPUT DROP', 'iptables-legacy filter INPUT'],
    [
      'both kinds of iptables at once',
      'iptables-legacy -A INPUT -p tcp -j DROP; iptables-nft -A INPUT -p tcp --dport 22 -j REJECT 2>/dev/null',
      'iptables-nft filter INPUT, iptables-legacy filter INPUT',
    ],
    [
      'iptables with tcp-reset, which a search for text took for another rule (W36)',
      'iptables-legacy -A INPUT -p tcp -m tcp --dport 22 -j REJECT --reject-with tcp-reset',
      'iptables-legacy filter INPUT',
    ],
    [
      'a chain of iptables whose name ends in INPUT (W36)',
      'iptables-legacy -N MY-INPUT; iptables-legacy -A MY-INPUT -p tcp -m tcp --dport 22 -j DROP; iptables-legacy -A INPUT -j MY-INPUT',
      'iptables-legacy filter INPUT',
    ],
    [
      'another table of iptables (W36)',
      'iptables-legacy -t mangle -A PREROUTING -p tcp -m tcp --dport 22 -j DROP',
      'iptables-legacy mangle PREROUTING',
    ],
    [
      'a target of iptables whose name begins with DROP (W36)',
      'iptables-legacy -N DROPLOG; iptables-legacy -A DROPLOG -j LOG; iptables-legacy -A DROPLOG -j DROP; iptables-legacy -A INPUT -p tcp --dport 22 -j DROPLOG',
      'iptables-legacy filter INPUT',
    ],
    [
      'several ports, an address and conntrack in iptables (W37)',
      'iptables-legacy -A INPUT -s 10.9.0.0/16 -p tcp -m multiport --dports 21:23,80 -m conntrack --ctstate NEW -j DROP; iptables-legacy -A INPUT -s 10.0.0.0/8 -j DROP',
      'iptables-legacy filter INPUT',
    ],
    ['iptables that drops answers (W37)', 'iptables-legacy -P OUTPUT DROP', 'iptables-legacy filter OUTPUT'],
  ])('gets through %s', async (_what, rules, where) => {
    await start(rules);
    const before = await everything();
    expect(await answers()).toBe(false);
    const report = await open();
    expect(report).toMatchObject({ changed: true, message: `port 22 opened to every address in ${where}` });
    expect(report.warning).toMatch(/look whether they stay open/);
    expect(await answers()).toBe(true);
    const opened = await everything();

    expect(await open()).toEqual({ changed: false, message: 'no firewall of this VM blocks port 22' });
    expect(await everything()).toBe(opened);
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });

  it('opens IPv6 as well, and every port that sshd listens on, not always 22 (W38)', async () => {
    await start(`
      echo 'Port 2222' >/etc/ssh/sshd_config.d/port.conf
      service ssh restart
      ip6tables-legacy -P INPUT DROP
      ip6tables-legacy -A INPUT -p ipv6-icmp -j ACCEPT
      iptables-legacy -P INPUT DROP
    `);
    expect([await answers('10.9.0.1', 2222), await answers('fd00:9::1', 2222)]).toEqual([false, false]);
    expect(await open([2222])).toMatchObject({
      message:
        'port 2222 opened to every address in iptables-legacy filter INPUT, ip6tables-legacy filter INPUT',
    });
    expect([await answers('10.9.0.1', 2222), await answers('fd00:9::1', 2222)]).toEqual([true, true]);
    expect(await everything()).not.toContain('--dport 22 ');
  });

  it.each([
    ['there are no rules', ''],
    [
      'they let ssh in',
      `nft 'table inet f { chain entry { type filter hook input priority 0; policy drop; ct state vmap { established : accept, related : accept, invalid : drop }; iif lo accept; meta l4proto { icmp, ipv6-icmp } accept; tcp dport { 22, 443 } ct state new accept; }; }'`,
    ],
    [
      'iptables lets ssh in behind what concerns others',
      `iptables-legacy -P INPUT DROP; ip6tables-legacy -P INPUT DROP
       for p in iptables-legacy ip6tables-legacy; do
         $p -A INPUT -p tcp ! --syn -m conntrack --ctstate NEW -j DROP
         $p -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
         $p -A INPUT -m conntrack --ctstate INVALID -j DROP
         $p -A INPUT -p udp -j DROP
         $p -A INPUT -p tcp --dport 80 -j REJECT
         $p -A INPUT -p tcp -m multiport --dports 22,443 -m conntrack --ctstate NEW -j ACCEPT
       done`,
    ],
    [
      "the platform's own address is kept from others",
      'iptables -t security -A OUTPUT -d 168.63.129.16/32 -p tcp -m conntrack --ctstate INVALID,NEW,ESTABLISHED -j DROP',
    ],
  ])('changes nothing when %s', async (_when, rules) => {
    await start(rules);
    const before = await everything();
    expect(await open()).toEqual({ changed: false, message: 'no firewall of this VM blocks port 22' });
    expect(await everything()).toBe(before);
  });

  it.each([
    ['iptables', `iptables-legacy -P INPUT DROP`, 'iptables-legacy -I INPUT -p tcp -j DROP'],
    ['nftables', `nft '${NFT_INPUT}'`, 'nft insert rule inet guard entry tcp dport 22 drop'],
  ])('keeps one rule when it comes back and finds others before it: %s', async (_kind, rules, block) => {
    await start(rules);
    await open();
    await machine.sh(block);
    expect(await open()).toMatchObject({ changed: true });
    await machine.undo.finish();
    expect(await ours()).toBe(1);
    expect(await open()).toMatchObject({ changed: false });
  });

  it('puts the former rule back where it stood when the run is taken back', async () => {
    await start('iptables-legacy -P INPUT DROP');
    await open();
    await machine.undo.finish();
    await machine.sh('iptables-legacy -I INPUT -p tcp -j DROP; iptables-legacy -A INPUT -p udp -j DROP');
    const before = await everything();
    // What the first run has to take back stays noted in the same list, so this one is taken back by hand.
    const undo = createUndoList(machine.context.log);
    await (await planFirewall(machine.context, async () => [22])).act(undo);
    expect(await ours()).toBe(1);
    expect(await undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });

  it('keeps the port open across a reboot in the file of nftables (W38)', async () => {
    await start(`
      cat >/etc/nftables.conf <<'END'
#!/usr/sbin/nft -f
flush ruleset
include "/etc/nftables.d/*.nft"
END
      mkdir /etc/nftables.d
      echo '${NFT_INPUT}' >/etc/nftables.d/guard.nft
      chmod 755 /etc/nftables.conf
      nft -f /etc/nftables.conf
    `);
    const before = await everything();
    expect(await open()).toEqual({
      changed: true,
      message:
        'port 22 opened to every address in nftables inet guard entry; open after a reboot by /etc/nftables.conf',
    });
    await machine.sh('nft -f /etc/nftables.conf');
    expect(await answers()).toBe(true);
    expect(await machine.sh('stat -c %a /etc/nftables.conf')).toBe('755\n');
    expect((await open([22, 2222])).message).toContain('ports 22 and 2222');
    expect(await ours()).toBeLessThan(8);
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(machine.read('/etc/nftables.conf')).toBe(before.slice(before.indexOf('#!')).split('\n*')[0]);
  });

  it('leaves a file of nftables that cannot be loaded alone, and says so', async () => {
    await start(`nft '${NFT_INPUT}'; echo 'table inet broken {' >/etc/nftables.conf`);
    expect((await open()).warning).toBe(
      '/etc/nftables.conf could not be made to open the ports after a reboot; it was left as it is',
    );
    expect(machine.read('/etc/nftables.conf')).toBe('table inet broken {\n');
  });

  it('keeps the port open across a reboot in the files of iptables (W38)', async () => {
    await start(`
      iptables-legacy -P INPUT DROP
      mkdir /etc/iptables
      iptables-legacy-save -c >/etc/iptables/rules.v4
      printf '*filter\\n:INPUT DROP [0:0]\\n:FORWARD DROP [0:0]\\n:OUTPUT ACCEPT [0:0]\\nCOMMIT\\n' >/etc/iptables/rules.v6
      chmod 640 /etc/iptables/rules.v4
    `);
    const before = await everything();
    expect((await open()).message).toContain(
      'open after a reboot by /etc/iptables/rules.v4, /etc/iptables/rules.v6',
    );
    expect(machine.read('/etc/iptables/rules.v6')).toBe(
      `*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -m comment --comment ${RULE_COMMENT} -j ACCEPT\nCOMMIT\n`,
    );
    await machine.sh('iptables-legacy-restore </etc/iptables/rules.v4');
    expect(await machine.sh('stat -c %a /etc/iptables/rules.v4')).toBe('640\n');
    expect(await open()).toMatchObject({ changed: false });
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });

  it('does not mind that a program is missing', async () => {
    await start('rm /usr/sbin/iptables* /usr/sbin/ip6tables* /usr/sbin/nft');
    expect(await open()).toEqual({ changed: false, message: 'no firewall of this VM blocks port 22' });
  });

  it.each(['bullseye', 'trixie'] as const)('works with the programs of %s', async (release) => {
    await start(`nft '${NFT_INPUT}'; ip6tables-nft -P INPUT DROP; iptables-legacy -P INPUT DROP`, release);
    const before = await everything();
    expect((await open()).message).toBe(
      'port 22 opened to every address in iptables-legacy filter INPUT, ip6tables-nft filter INPUT, nftables inet guard entry',
    );
    expect(await open()).toMatchObject({ changed: false });
    expect(await machine.undo.rollBack()).toEqual([]);
    expect(await everything()).toBe(before);
  });
});
