/**
 * Opens ports in ufw: a rule with our comment becomes the first one that its user has added. ufw keeps it across reboots and
 * opens IPv6 as well, where it is on.
 * Source: ufw(8) "RULE SYNTAX"; ufw 0.36 writes its users' rules to user.rules and user6.rules in /etc/ufw or /lib/ufw.
 */
import { findProgram } from './command.ts';
import type { FirewallChange } from './firewall-change.ts';
import { NO_CHANGE, namePorts, stillBlocked } from './firewall-change.ts';
import { readRulesFile, writeRulesFile } from './firewall-file.ts';
import { RULE_COMMENT } from './packet-rules.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/** True when ufw filters. */
export async function isUfwActive({ host, run }: StepContext): Promise<boolean> {
  if (findProgram(host, 'ufw') === undefined) return false;
  const { exitCode, stdout } = await run(['ufw', 'status'], { accept: [0, 1], timeoutMs: LIMIT_MS });
  return exitCode === 0 && /^Status: active/m.test(stdout);
}

/** Opens the ports. Changes nothing where the first rule that concerns a port lets everybody in. */
export async function openUfw(
  context: StepContext,
  ports: readonly number[],
  undo: Undo,
): Promise<FirewallChange> {
  const added = await readAdded(context);
  const blocked = ports.filter((port) => !isOpen(added, port));
  if (blocked.length === 0) return NO_CHANGE;
  saveRules(context, undo, blocked);
  for (const port of blocked) {
    const rule = ['proto', 'tcp', 'from', 'any', 'to', 'any', 'port', String(port)];
    // A rule for the same, whatever it does and says, would keep ours from being added.
    const [action] = added.find(({ words }) => isForSame(words, port))?.words ?? [];
    if (action !== undefined) await context.run(['ufw', 'delete', action, ...rule], { timeoutMs: LIMIT_MS });
    await context.run(['ufw', 'prepend', 'allow', ...rule, 'comment', RULE_COMMENT], { timeoutMs: LIMIT_MS });
  }
  const now = await readAdded(context);
  const left = blocked.filter((port) => !isOpen(now, port));
  if (left.length > 0) throw stillBlocked('ufw', left);
  return { opened: ['ufw'], kept: ['ufw'], warnings: [] };
}

const LIMIT_MS = 60_000;
const RULE_FILES = ['user.rules', 'user6.rules'].flatMap((name) => [`/etc/ufw/${name}`, `/lib/ufw/${name}`]);

interface AddedRule {
  /** `allow 22/tcp`: without `ufw` and the comment. */
  readonly words: readonly string[];
}

/** In order. Source: ufw's `show added`, which prints them as commands. */
async function readAdded({ run }: StepContext): Promise<readonly AddedRule[]> {
  const { stdout } = await run(['ufw', 'show', 'added'], { timeoutMs: LIMIT_MS });
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('ufw '))
    .map((line) => ({
      words: line
        .replace(/ comment '.*'$/, '')
        .trim()
        .split(/\s+/)
        .slice(1),
    }));
}

/** With `limit` a client that tries too often is kept out for a while, everybody else is let in. */
function isOpen(added: readonly AddedRule[], port: number): boolean {
  const first = added.find(({ words }) => mayConcern(words, port));
  if (first === undefined) return false;
  const [action, ...rest] = first.words;
  return (action === 'allow' || action === 'limit') && isEverybody(rest, port);
}

/** True for a rule about TCP to the port from anywhere. ufw has one such rule at most. */
function isForSame([, ...rest]: readonly string[], port: number): boolean {
  return isEverybody(rest, port) && rest.some((word) => word.endsWith('/tcp'));
}

/** `22/tcp` and `22`, also with `in`; the name of an application or another form is not read. */
function isEverybody(words: readonly string[], port: number): boolean {
  const plain = words.filter((word) => word !== 'in');
  return plain.length === 1 && [`${port}`, `${port}/tcp`].includes(plain[0] ?? '');
}

/** False for another port, another protocol, and what is routed or goes out. */
function mayConcern(words: readonly string[], port: number): boolean {
  const [action, ...rest] = words;
  if (action === 'route' || rest[0] === 'out') return false;
  const plain = rest.filter((word) => word !== 'in');
  const [, list, protocol] = /^([\d,:]+)(?:\/(\w+))?$/.exec(plain.length === 1 ? (plain[0] ?? '') : '') ?? [];
  if (list === undefined) return true;
  if (protocol !== undefined && protocol !== 'tcp') return false;
  return list.split(',').some((part) => {
    const [from = 0, to = from] = part.split(':').map(Number);
    return from <= port && port <= to;
  });
}

/** Rules have an order that `ufw delete` does not bring back; their files do. */
function saveRules(context: StepContext, undo: Undo, ports: readonly number[]): void {
  const saved = RULE_FILES.flatMap((file) => {
    const text = readRulesFile(context, file);
    return text === undefined ? [] : [{ file, text }];
  });
  undo.add(`the rule for ${namePorts(ports)} in ufw`, async () => {
    for (const { file, text } of saved) await writeRulesFile(context, file, text);
    await context.run(['ufw', 'reload'], { timeoutMs: LIMIT_MS });
  });
}
