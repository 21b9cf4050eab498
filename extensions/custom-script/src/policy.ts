/**
 * The extension policy of the VM's owner: which scripts may run, by SHA-256. It covers everything that runs: downloaded
 * files, the inline script and the command's text, each as it runs. A policy that cannot be read or carried out is an
 * error: to pass it over would be a hole. Source: Custom Script 2.1.19 section 3.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { HandlerEnvironment, HandlerError, Host } from '@handlerkit/sdk';
import { isSystemError, RUNTIME_POLICY_FILE } from '@handlerkit/sdk';
import { scriptError, systemCode } from './errors.ts';

/** What may run. */
export interface ScriptPolicy {
  /** SHA-256 in lower-case hex; empty: everything may run. */
  readonly allowedScripts: ReadonlySet<string>;
}

/** The policy of the agent's config folder; without a file everything may run. Throws `POLICY_INVALID`, `POLICY_NOT_SUPPORTED`. */
export async function readPolicy(host: Host, { configFolder }: HandlerEnvironment): Promise<ScriptPolicy> {
  const file = join(configFolder, RUNTIME_POLICY_FILE);
  let text: string;
  try {
    text = await readFile(host.path(file), 'utf8');
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return { allowedScripts: new Set() };
    throw invalid(file, `it cannot be read (${systemCode(thrown)})`, thrown);
  }
  return parsePolicy(text, file);
}

/** Reads the text of a policy. Keys in any case, as in the original; a key that is not known may be a rule, so it is an error. */
export function parsePolicy(text: string, file: string): ScriptPolicy {
  const policy = parseObject(text, file);
  const isRequired = policy.get('requiresigning') ?? false;
  const authority = policy.get('filerootcertca') ?? '';
  const allowed = policy.get('allowedscripts') ?? [];
  if (typeof isRequired !== 'boolean') throw invalid(file, `'requireSigning' must be true or false`);
  if (typeof authority !== 'string') throw invalid(file, `'fileRootCertCA' must be a string`);
  if (!Array.isArray(allowed) || !allowed.every((item) => typeof item === 'string')) {
    throw invalid(file, `'allowedScripts' must be an array of strings`);
  }
  if (isRequired && authority.trim() === '') {
    throw invalid(file, `'requireSigning' is true, but 'fileRootCertCA' is not given`);
  }
  if (isRequired) {
    throw scriptError(
      'POLICY_NOT_SUPPORTED',
      `the extension policy ${file} requires signed scripts ('requireSigning'), which Custom Script cannot check; name the scripts in 'allowedScripts' instead. ${NOTHING_DONE}`,
    );
  }
  return { allowedScripts: new Set(allowed.map((item: string) => item.trim().toLowerCase())) };
}

/** Checks a file as it would run; one that is not allowed is removed. Throws `POLICY_BLOCKED`. */
export async function requireAllowedFile(policy: ScriptPolicy, path: string, name: string): Promise<void> {
  if (policy.allowedScripts.size === 0) return;
  try {
    if (policy.allowedScripts.has(await sha256Of(path))) return;
  } catch (thrown) {
    const text = `${name} could not be read for the check against the policy (${systemCode(thrown)})`;
    throw scriptError('FILE_NOT_PREPARED', text, thrown);
  }
  await rm(path, { force: true });
  throw blocked(name);
}

/** Checks a command's text, in UTF-8. Throws `POLICY_BLOCKED`. */
export function requireAllowedText(policy: ScriptPolicy, text: string, name: string): void {
  const isAllowed =
    policy.allowedScripts.size === 0 ||
    policy.allowedScripts.has(createHash('sha256').update(text).digest('hex'));
  if (!isAllowed) throw blocked(name);
}

const NOTHING_DONE = 'Nothing was downloaded or run';
const KEYS: ReadonlySet<string> = new Set(['requiresigning', 'filerootcertca', 'allowedscripts']);

function parseObject(text: string, file: string): ReadonlyMap<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (thrown) {
    throw invalid(file, text.trim() === '' ? 'it is empty' : 'it is not valid JSON', thrown);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(file, 'it is not a JSON object');
  }
  const policy = new Map<string, unknown>();
  for (const [key, item] of Object.entries(value)) {
    const name = key.toLowerCase();
    if (!KEYS.has(name)) throw invalid(file, `the key '${key}' is not known`);
    if (policy.has(name)) throw invalid(file, `the key '${key}' is there twice`);
    policy.set(name, item);
  }
  return policy;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

function invalid(file: string, problem: string, cause?: unknown): HandlerError {
  const text = `the extension policy ${file} is not valid: ${problem}; correct or remove the policy for this extension. ${NOTHING_DONE}`;
  return scriptError('POLICY_INVALID', text, cause);
}

function blocked(name: string): HandlerError {
  return scriptError(
    'POLICY_BLOCKED',
    `Validation of script '${name}' against policy-allowlist failed: item is not in the allowlist.`,
  );
}
