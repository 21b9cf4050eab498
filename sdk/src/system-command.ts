/** How the SDK runs programs of the system: in English, without a pager or a question, and with what they said when they fail. */
import { lastCharacters } from './contract/characters.ts';
import type { ExecResult } from './exec.ts';
import type { Host } from './host.ts';
import { redactUrls } from './redaction.ts';

/** The handler's environment (proxies stand there), with `more`, and with what makes a program's words readable. */
export function systemEnvironment(
  host: Host,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const environment: Record<string, string> = { PATH: SYSTEM_PATH };
  for (const [name, value] of Object.entries(host.env)) {
    if (value !== undefined) environment[name] = value;
  }
  return { ...environment, ...more, LC_ALL: 'C' };
}

/** How a program ended and the last of what it said, stderr after stdout. URLs have lost their queries. */
export function describeEnd(result: ExecResult): string {
  const said = outputTail(`${result.stdout}\n${result.stderr}`);
  const end = result.exitCode === null ? `signal ${result.signal}` : `exit code ${result.exitCode}`;
  return said === '' ? end : `${end}: ${said}`;
}

/** The last lines of `text` that a message has room for; the cut is marked. */
export function outputTail(text: string): string {
  const trimmed = redactUrls(text).trim();
  const tail = lastCharacters(trimmed, TAIL_CHARACTERS);
  return tail.length === trimmed.length ? tail : `…${tail}`;
}

const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const TAIL_CHARACTERS = 1_000;
