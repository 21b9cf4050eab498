/**
 * Opens ports in firewalld: in every zone that a connection may come into, now and permanently. A port that is added comes
 * before a zone's target; rich rules that deny come before it, and then it takes a rich rule with a higher priority.
 * Source: firewall-cmd(1), firewalld.richlanguage(5) "Information about logging and actions", firewalld.zone(5).
 */
import { findProgram } from './command.ts';
import { accessError } from './errors.ts';
import type { FirewallChange } from './firewall-change.ts';
import { stillBlocked } from './firewall-change.ts';
import type { StepContext } from './step.ts';
import type { Undo } from './undo.ts';

/** True when firewalld runs. */
export async function isFirewalldActive({ host, run }: StepContext): Promise<boolean> {
  if (findProgram(host, PROGRAM) === undefined) return false;
  const { exitCode } = await run([PROGRAM, '--state'], { accept: ANY_CODE, timeoutMs: LIMIT_MS });
  return exitCode === 0;
}

/** Opens the ports. Throws `FIREWALL_NOT_OPENED` in panic mode, in which firewalld drops everything whatever its rules say. */
export async function openFirewalld(
  context: StepContext,
  ports: readonly number[],
  undo: Undo,
): Promise<FirewallChange> {
  if (await answersYes(context, ['--query-panic'])) {
    throw accessError(
      'FIREWALL_NOT_OPENED',
      'firewalld is in panic mode and drops everything; end it with firewall-cmd --panic-off, for instance by Run Command',
    );
  }
  const opened: string[] = [];
  const kept: string[] = [];
  for (const zone of await listZones(context)) {
    for (const port of ports) {
      for (const isPermanent of [false, true]) {
        const place = { zone, port, isPermanent };
        if (!(await openInZone(context, place, undo))) continue;
        (isPermanent ? kept : opened).push(`firewalld zone ${zone}`);
      }
    }
  }
  const direct = await ask(context, ['--direct', '--get-all-rules']);
  const drops = direct.split('\n').some((rule) => /\b(?:INPUT|OUTPUT)\b.*-j (?:DROP|REJECT)/.test(rule));
  return {
    opened: [...new Set(opened)],
    kept: [...new Set(kept)],
    warnings: drops ? ['direct rules of firewalld drop or reject packets too; look at them'] : [],
  };
}

const PROGRAM = 'firewall-cmd';
const LIMIT_MS = 60_000;
const ANY_CODE = Array.from({ length: 256 }, (_, code) => code);

interface Place {
  readonly zone: string;
  readonly port: number;
  readonly isPermanent: boolean;
}

async function ask({ run }: StepContext, words: readonly string[]): Promise<string> {
  const { stdout } = await run([PROGRAM, ...words], { timeoutMs: LIMIT_MS });
  return stdout.trim();
}

/** 0 is yes and 1 is no; all else is an error. */
async function answersYes({ run }: StepContext, words: readonly string[]): Promise<boolean> {
  const { exitCode } = await run([PROGRAM, ...words], { accept: [0, 1], timeoutMs: LIMIT_MS });
  return exitCode === 0;
}

/** The zones of interfaces and addresses, and the one for everything else. Their lines begin in the first column. */
async function listZones(context: StepContext): Promise<readonly string[]> {
  const active = await ask(context, ['--get-active-zones']);
  const names = active.split('\n').flatMap((line) => /^[^\s(]+/.exec(line) ?? []);
  return [...new Set([...names, await ask(context, ['--get-default-zone'])])].filter((name) => name !== '');
}

/** True when something was added. */
async function openInZone(context: StepContext, place: Place, undo: Undo): Promise<boolean> {
  const { zone, port, isPermanent } = place;
  const scope = [...(isPermanent ? ['--permanent'] : []), `--zone=${zone}`];
  const rich = await ask(context, [...scope, '--list-rich-rules']);
  const needsRich = rich.split('\n').some((rule) => mayDeny(rule, port));
  const entry = needsRich ? `rich-rule=${richRule(port)}` : `port=${port}/tcp`;
  if (await answersYes(context, [...scope, `--query-${entry}`])) return false;
  if (!needsRich && port === SSH_PORT && (await answersYes(context, [...scope, '--query-service=ssh']))) {
    return false;
  }
  const where = `port ${port} in the zone ${zone} of firewalld${isPermanent ? ' (permanent)' : ''}`;
  undo.add(where, async () => {
    if (await answersYes(context, [...scope, `--query-${entry}`])) {
      await ask(context, [...scope, `--remove-${entry}`]);
    }
  });
  await ask(context, [...scope, `--add-${entry}`]);
  if (await answersYes(context, [...scope, `--query-${entry}`])) return true;
  throw stillBlocked(`the zone ${zone} of firewalld`, [port]);
}

/** What firewalld's service `ssh` is. */
const SSH_PORT = 22;

/** The lowest number is the highest priority; -32768 stays free for who must come before us. */
function richRule(port: number): string {
  return `rule priority="-32767" port port="${port}" protocol="tcp" accept`;
}

function mayDeny(rule: string, port: number): boolean {
  if (!/\s(?:drop|reject)\b/.test(rule)) return false;
  const [, name, protocol] = /\sport port="([^"]*)" protocol="([^"]*)"/.exec(rule) ?? [];
  if (name === undefined || protocol === undefined) return true;
  const [from = 0, to = from] = name.split('-').map(Number);
  return protocol === 'tcp' && from <= port && port <= to;
}
