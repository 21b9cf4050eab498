/**
 * The extension policy of the VM's owner: which scripts may run, by SHA-256. It covers everything that runs: downloaded
 * files, the inline script and the command's text, each as it runs. A policy that cannot be read or carried out is an
 * error: to pass it over would be a hole. Source: Custom Script 2.1.19 section 3.
 */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExtensionPolicy, HandlerEnvironment, Host } from '@handlerkit/sdk';
import { HandlerError, readExtensionPolicy, sha256OfFile } from '@handlerkit/sdk';
import { scriptError, systemCode } from './errors.ts';

/** What may run. */
export interface ScriptPolicy {
  /** SHA-256 in lower-case hex; empty: everything may run. */
  readonly allowedScripts: ReadonlySet<string>;
}

/** The policy of the agent's config folder; without a file everything may run. Throws `POLICY_INVALID`, `POLICY_NOT_SUPPORTED`. */
export async function readPolicy(host: Host, environment: HandlerEnvironment): Promise<ScriptPolicy> {
  const policy = await readExtensionPolicy(host, environment).catch((thrown: unknown) => {
    if (!(thrown instanceof HandlerError)) throw thrown;
    throw scriptError('POLICY_INVALID', `${thrown.message}. ${NOTHING_DONE}`, thrown);
  });
  return policy === undefined ? { allowedScripts: new Set() } : judgePolicy(policy);
}

/** The meaning of the rules of a policy. A rule that is not known may forbid something, so it is an error. */
export function judgePolicy({ file, rules }: ExtensionPolicy): ScriptPolicy {
  const unknown = [...rules.keys()].find((name) => !RULES.has(name));
  if (unknown !== undefined) throw invalid(file, `the rule '${unknown}' is not known`);
  const isRequired = rules.get('requiresigning') ?? false;
  const authority = rules.get('filerootcertca') ?? '';
  const allowed = rules.get('allowedscripts') ?? [];
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

/** Checks a file of `folder` as it would run; one that is not allowed is removed. Throws `POLICY_BLOCKED`. */
export async function requireAllowedFile(
  host: Host,
  policy: ScriptPolicy,
  folder: string,
  name: string,
): Promise<void> {
  if (policy.allowedScripts.size === 0) return;
  const path = join(folder, name);
  try {
    if (policy.allowedScripts.has(await sha256OfFile(host, path))) return;
  } catch (thrown) {
    const text = `${path} could not be read for the check against the policy (${systemCode(thrown)}); check the VM's disk`;
    throw scriptError('FILE_NOT_PREPARED', text, thrown);
  }
  await rm(host.path(path), { force: true });
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
/** Names of the rules as the SDK gives them. */
const RULES: ReadonlySet<string> = new Set(['requiresigning', 'filerootcertca', 'allowedscripts']);

function invalid(file: string, problem: string): HandlerError {
  const text = `the extension policy ${file} is not valid: ${problem}; correct the policy of this extension, or remove it. ${NOTHING_DONE}`;
  return scriptError('POLICY_INVALID', text);
}

function blocked(name: string): HandlerError {
  return scriptError(
    'POLICY_BLOCKED',
    `Validation of script '${name}' against policy-allowlist failed: item is not in the allowlist.`,
  );
}
