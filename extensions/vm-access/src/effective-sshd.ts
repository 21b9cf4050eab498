/**
 * What sshd itself makes of its configuration: asked from `sshd -T`, which has read every included file and, for a user,
 * every `Match` that applies. Source: sshd(8), sshd_config(5).
 */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import type { ExecResult } from '@handlerkit/sdk';
import { findProgram } from './command.ts';
import { accessError } from './errors.ts';
import { findSshdListeners } from './sshd-process.ts';
import type { StepContext } from './step.ts';

/** The configuration as sshd sees it. */
export interface EffectiveSshd {
  /** Absolute path of the program. */
  readonly program: string;
  /** Ports that the configuration names, each once. With socket activation the socket decides: see `readSshdPorts`. */
  readonly ports: readonly number[];
  /** Addresses with port, as sshd writes them: `0.0.0.0:22`, `[::]:22`. */
  readonly listens: readonly string[];
  /**
   * What `sshd -T` prints after `keyword` (any case), one text a line: one for most keywords, with all its words
   * (`.ssh/authorized_keys .ssh/authorized_keys2`), several for `AllowUsers`; none when sshd does not print it.
   */
  values(keyword: string): readonly string[];
}

/** How {@link readSshd} asks. */
export interface ReadSshdOptions {
  /** A configuration file; default: the one of the system. */
  readonly file?: string;
}

/** Where a user is taken to come from who is asked about: an address of no network of the VM, kept for documents. */
const PROBE_ADDRESS = '203.0.113.1';

/**
 * Gives the configuration for `user` (there or not yet), default: root. `undefined`: sshd is not installed. Throws
 * `SSHD_CONFIG_INVALID` for a configuration that sshd refuses, `SSHD_NO_HOST_KEYS` when it has none.
 */
export async function readSshd(
  context: StepContext,
  user = 'root',
  options: ReadSshdOptions = {},
): Promise<EffectiveSshd | undefined> {
  const program = findProgram(context.host, 'sshd');
  if (program === undefined) return undefined;
  const first = await dump(context, program, user, DEFAULT_PORT, options);
  const port = first.ports[0];
  // A Match for the local port would otherwise be asked about a port on which nobody listens.
  if (port === undefined || first.ports.includes(DEFAULT_PORT)) return first;
  return dump(context, program, user, port, options);
}

/**
 * Asks sshd whether it would start with a configuration, default: the one of the system. Gives what is wrong, in sshd's
 * words, or `undefined`.
 */
export async function checkSshdConfig(
  context: StepContext,
  options: ReadSshdOptions = {},
): Promise<SshdProblem | undefined> {
  const program = findProgram(context.host, 'sshd');
  if (program === undefined) return { kind: 'missing', text: 'sshd is not installed' };
  return findProblem(await runSshd(context, program, ['-t', ...fileArgs(options)]));
}

/** Why sshd would not start. */
export interface SshdProblem {
  readonly kind: 'missing' | 'no host keys' | 'configuration';
  readonly text: string;
}

const DEFAULT_PORT = 22;
/** Its own words, of all versions. */
const NO_HOST_KEYS = /no hostkeys available/i;
const NO_FOLDER = /Missing privilege separation directory: (\/(?:run|var\/run|var\/empty)\/?[^\s]*)/;
const SHOWN_CHARACTERS = 400;

async function dump(
  context: StepContext,
  program: string,
  user: string,
  port: number,
  options: ReadSshdOptions,
): Promise<EffectiveSshd> {
  const where = `addr=${PROBE_ADDRESS},host=${PROBE_ADDRESS},laddr=${PROBE_ADDRESS},lport=${port}`;
  const args = (more: string): readonly string[] => [
    '-T',
    ...fileArgs(options),
    '-C',
    `user=${user},${where}${more}`,
  ];
  let result = await runSshd(context, program, args(''));
  // Old versions do not know it, new ones insist on it when a Match does.
  if (/'rdomain' not in connection test/.test(result.stderr)) {
    result = await runSshd(context, program, args(',rdomain='));
  }
  const problem = findProblem(result);
  if (problem !== undefined) throw sshdProblemError(problem);
  return parseDump(program, result.stdout);
}

/** The error of a problem, with what to do. */
export function sshdProblemError({ kind, text }: SshdProblem): Error {
  if (kind === 'no host keys') {
    const advice = 'set reset_ssh to true to have them made, or run ssh-keygen -A on the VM';
    return accessError('SSHD_NO_HOST_KEYS', `sshd of this VM has no host keys that it can use; ${advice}`);
  }
  if (kind === 'missing') return accessError('SSHD_MISSING', `${text}; install the OpenSSH server on the VM`);
  const advice = 'correct it, or set reset_ssh to true';
  return accessError('SSHD_CONFIG_INVALID', `sshd refuses its configuration: ${text}; ${advice}`);
}

/** Runs `sshd` for a test; makes the folder that the unit or init script would make, and takes it away again. */
async function runSshd(context: StepContext, program: string, args: readonly string[]): Promise<ExecResult> {
  // 255 is its "fatal"; the words say why.
  const run = (): Promise<ExecResult> => context.run([program, ...args], { accept: [0, 1, 255] });
  const result = await run();
  const folder = NO_FOLDER.exec(result.stderr)?.[1];
  if (result.exitCode === 0 || folder === undefined) return result;
  const path = context.host.path(folder);
  const made = !existsSync(path);
  if (made) mkdirSync(path, { recursive: true, mode: 0o755 });
  try {
    return await run();
  } finally {
    // An sshd that was started meanwhile needs it.
    if (made && findSshdListeners(context.host).length === 0) removeEmptyFolder(path);
  }
}

function removeEmptyFolder(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Somebody uses it already.
  }
}

function fileArgs({ file }: ReadSshdOptions): readonly string[] {
  return file === undefined ? [] : ['-f', file];
}

function findProblem(result: ExecResult): SshdProblem | undefined {
  if (result.exitCode === 0) return undefined;
  const said = (result.stderr.trim() || result.stdout.trim()).replace(/\r/g, '');
  const kind = NO_HOST_KEYS.test(said) ? 'no host keys' : 'configuration';
  const text = said === '' ? `exit code ${result.exitCode}` : said.slice(-SHOWN_CHARACTERS);
  return { kind, text: text.replace(/\s*\n\s*/g, '; ') };
}

function parseDump(program: string, text: string): EffectiveSshd {
  const lines = text.split('\n').map((line) => {
    const at = line.indexOf(' ');
    return at < 0
      ? { keyword: line.toLowerCase(), value: '' }
      : { keyword: line.slice(0, at).toLowerCase(), value: line.slice(at + 1).trim() };
  });
  const values = (keyword: string): readonly string[] =>
    lines.filter((line) => line.keyword === keyword.toLowerCase()).map((line) => line.value);
  const listens = values('listenaddress').map((value) => value.split(' ')[0] ?? value);
  const numbers = listens.map((listen) => Number(/:(\d+)$/.exec(listen)?.[1]));
  const known = numbers.length > 0 ? numbers : values('port').map(Number);
  const ports = [...new Set(known.filter((port) => Number.isInteger(port) && port > 0))];
  return { program, ports, listens, values };
}
