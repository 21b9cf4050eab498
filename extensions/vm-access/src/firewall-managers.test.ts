/** firewalld and ufw by script: small programs answer as firewall-cmd and ufw do. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createTestMachine, type TestMachine } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { planFirewall } from './firewall.ts';
import { createContext } from './fixtures/sshd-machine.ts';
import type { StepContext, StepReport } from './step.ts';
import { createUndoList, type UndoList } from './undo.ts';

let machine: TestMachine;
let context: StepContext;
let undo: UndoList;
/** What changes the firewall, in order. */
let changes: string[];
/** What the programs remember, such as `permanent public port=22/tcp`. */
let state: Set<string>;

beforeEach(() => {
  changes = [];
  state = new Set();
});
afterEach(() => machine.remove());

async function start(program: string, answer: (words: readonly string[]) => Answer): Promise<void> {
  machine = createTestMachine({
    exec: ([path = '', ...words]) => {
      if (path.endsWith(`/${program}`)) {
        const given = answer(words);
        const text = typeof given === 'number' ? '' : given;
        return { stdout: text, exitCode: typeof given === 'number' ? given : 0 };
      }
      // A copy of a file with its attributes, of which nothing depends here.
      return path.endsWith('/cp') ? copy(words) : undefined;
    },
  });
  for (const name of [program, 'cp']) write(`/usr/bin/${name}`, '');
  context = await createContext({ ...machine.host, path: machine.path });
  undo = createUndoList(context.log);
}

type Answer = string | number;

function write(path: string, text: string): void {
  mkdirSync(dirname(machine.path(path)), { recursive: true });
  writeFileSync(machine.path(path), text, { mode: 0o755 });
}

function copy(words: readonly string[]): { exitCode: number } {
  const [from = '', to = ''] = words.slice(-2);
  write(to, readFileSync(machine.path(from), 'utf8'));
  return { exitCode: 0 };
}

async function open(ports: readonly number[] = [22]): Promise<StepReport> {
  return (await planFirewall(context, async () => ports)).act(undo);
}

describe('firewalld', () => {
  /** Source: firewalld 1.2, `firewall-cmd --get-active-zones`. */
  const ZONES = 'internal\n  sources: 10.0.0.0/8\npublic (default)\n  interfaces: eth0\n';
  let rich: string;
  let isPanic: boolean;
  beforeEach(() => {
    rich = '';
    isPanic = false;
  });

  const answer = (words: readonly string[]): Answer => {
    const isPermanent = words.includes('--permanent');
    const zone = words.find((word) => word.startsWith('--zone='))?.slice('--zone='.length);
    const [, verb, entry] = /^--(query|add|remove)-(\S.*)$/.exec(words.at(-1) ?? '') ?? [];
    const place = `${isPermanent ? 'permanent' : 'runtime'} ${zone} ${entry}`;
    if (words.includes('--state')) return 'running\n';
    if (words.includes('--query-panic')) return isPanic ? 0 : 1;
    if (words.includes('--get-active-zones')) return ZONES;
    if (words.includes('--get-default-zone')) return 'public\n';
    if (words.includes('--list-rich-rules')) return rich;
    if (words.includes('--get-all-rules')) return '';
    if (verb === 'query') return state.has(place) ? 'yes\n' : 1;
    changes.push(`${verb} ${place}`);
    if (verb === 'add') state.add(place);
    if (verb === 'remove') state.delete(place);
    return 'success\n';
  };

  it('opens the port in every zone, now and permanently, and takes that back (W38)', async () => {
    await start('firewall-cmd', answer);
    expect(await open([2222])).toEqual({
      changed: true,
      message:
        'port 2222 opened to every address in firewalld zone internal, firewalld zone public; open after a reboot by firewalld zone internal, firewalld zone public',
    });
    expect(changes).toEqual([
      'add runtime internal port=2222/tcp',
      'add permanent internal port=2222/tcp',
      'add runtime public port=2222/tcp',
      'add permanent public port=2222/tcp',
    ]);
    expect(await open([2222])).toEqual({
      changed: false,
      message: 'no firewall of this VM blocks port 2222',
    });
    expect(await undo.rollBack()).toEqual([]);
    expect([...state]).toEqual([]);
  });

  it('is content with the service ssh, and leaves it there when it takes back what it did', async () => {
    await start('firewall-cmd', answer);
    for (const scope of ['runtime', 'permanent']) state.add(`${scope} public service=ssh`);
    await open();
    expect(changes).toEqual(['add runtime internal port=22/tcp', 'add permanent internal port=22/tcp']);
    await undo.rollBack();
    expect([...state]).toEqual(['runtime public service=ssh', 'permanent public service=ssh']);
  });

  it.each([
    ['rule family="ipv4" source address="192.0.2.0/24" drop', true],
    ['rule family="ipv4" port port="20-30" protocol="tcp" reject', true],
    ['rule service name="ssh" log prefix="ssh" level="info" drop', true],
    ['rule family="ipv4" port port="80" protocol="tcp" reject', false],
    ['rule family="ipv4" port port="22" protocol="udp" drop', false],
    ['rule family="ipv4" source address="192.0.2.0/24" accept', false],
  ])('comes before a rich rule that denies: %s', async (rule, isBefore) => {
    await start('firewall-cmd', answer);
    rich = `${rule}\n`;
    await open();
    const entry = isBefore
      ? 'rich-rule=rule priority="-32767" port port="22" protocol="tcp" accept'
      : 'port=22/tcp';
    expect(changes[0]).toBe(`add runtime internal ${entry}`);
  });

  it('says that panic mode drops everything', async () => {
    await start('firewall-cmd', answer);
    isPanic = true;
    await expect(open()).rejects.toMatchObject({ code: 'FIREWALL_NOT_OPENED' });
    expect(changes).toEqual([]);
  });

  it('is passed over when it does not run', async () => {
    await start('firewall-cmd', (words) => (words.includes('--state') ? 252 : 1));
    expect(await open()).toMatchObject({ changed: false });
  });
});

describe('ufw', () => {
  let added: string[];
  beforeEach(() => {
    added = [];
  });

  /** As ufw 0.36.2 was seen to answer: of rules for the same there is one, and it stays where it is. */
  const answer = (words: readonly string[]): Answer => {
    const [verb] = words;
    if (verb === 'status') return 'Status: active\n';
    if (verb === 'show')
      return `Added user rules (see 'ufw status' for running firewall):\n${added.join('\n')}\n`;
    changes.push(words.join(' '));
    const port = words[words.indexOf('port') + 1];
    if (verb === 'reload') return 'Firewall reloaded\n';
    if (verb === 'delete') {
      const [, action] = words;
      const isThere = added.includes(`ufw ${action} ${port}/tcp`);
      added = added.filter((rule) => rule !== `ufw ${action} ${port}/tcp`);
      return isThere ? 'Rule deleted\n' : 'Could not delete non-existent rule\n';
    }
    const isSame = (rule: string): boolean => new RegExp(`^ufw \\w+ ${port}/tcp`).test(rule);
    if (added.some(isSame)) return 'Skipping inserting existing rule\n';
    added.unshift(`ufw allow ${port}/tcp comment 'handlerkit-vm-access'`);
    return 'Rule inserted\n';
  };

  it('puts its rule before all others, with its comment (W38)', async () => {
    await start('ufw', answer);
    added = ['ufw deny 22/tcp', 'ufw allow 80,443/tcp'];
    expect(await open()).toEqual({
      changed: true,
      message: 'port 22 opened to every address in ufw; open after a reboot by ufw',
    });
    expect(changes).toEqual([
      'delete deny proto tcp from any to any port 22',
      'prepend allow proto tcp from any to any port 22 comment handlerkit-vm-access',
    ]);
    expect(await open()).toEqual({ changed: false, message: 'no firewall of this VM blocks port 22' });
  });

  it.each<[string, readonly string[], boolean]>([
    ['there are no rules', [], false],
    ['the port is open', ['ufw allow 80/tcp', 'ufw allow 22/tcp'], true],
    ['the port is open for udp, too', ['ufw allow 22'], true],
    ['the port is open with a limit', ['ufw limit 22/tcp'], true],
    ['it is open to some', ['ufw allow from 10.0.0.0/8 to any port 22 proto tcp'], false],
    ['an application has a rule, which may be another port', ['ufw allow OpenSSH'], false],
    ['others are denied first', ['ufw deny from 192.0.2.1', 'ufw allow 22/tcp'], false],
    ['another port is denied first', ['ufw deny 23/tcp', 'ufw deny out 22/tcp', 'ufw allow in 22/tcp'], true],
    ['a range is denied first', ['ufw reject 20:30/tcp', 'ufw allow 22/tcp'], false],
  ])('changes only what is needed when %s', async (_when, rules, isOpen) => {
    await start('ufw', answer);
    added = [...rules];
    expect((await open()).changed).toBe(!isOpen);
    expect(added.some((rule) => rule.includes('handlerkit'))).toBe(!isOpen);
  });

  it('takes back by the files of the rules, which have their order', async () => {
    await start('ufw', answer);
    added = ['ufw deny from 192.0.2.1', 'ufw allow 22/tcp'];
    write('/etc/ufw/user.rules', 'four\n');
    write('/etc/ufw/user6.rules', 'six\n');
    await open();
    write('/etc/ufw/user.rules', 'changed\n');
    expect(await undo.rollBack()).toEqual([]);
    expect(readFileSync(machine.path('/etc/ufw/user.rules'), 'utf8')).toBe('four\n');
    expect(changes.map((line) => line.split(' ')[0])).toEqual(['delete', 'prepend', 'reload']);
  });

  it('fails when ufw did not do as it was told (W38)', async () => {
    await start('ufw', (words) => (words[0] === 'prepend' ? 'Skipping\n' : answer(words)));
    await expect(open()).rejects.toMatchObject({ code: 'FIREWALL_NOT_OPENED' });
  });

  it('is passed over when it is switched off', async () => {
    await start('ufw', () => 'Status: inactive\n');
    expect(await open()).toMatchObject({ changed: false });
  });
});
