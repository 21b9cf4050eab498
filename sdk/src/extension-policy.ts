/**
 * The extension policy: what the owner of a VM lets an extension do. The platform puts it into the config folder of a
 * handler whose manifest says `supportsPolicy`; what its rules mean is the extension's own.
 * Source: Custom Script 2.1.19 section 3; docs-and-reliability 1.2 (policy).
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import type { HandlerEnvironment } from './contract/handler-environment.ts';
import { ContractError, decodeObject, parseJson } from './contract/json.ts';
import { RUNTIME_POLICY_FILE } from './contract/package-layout.ts';
import { HandlerError, toHandlerError } from './errors.ts';
import type { Host } from './host.ts';
import { readTextIfThere } from './whole-file.ts';

/** What the owner of the VM allows, as it was read. */
export interface ExtensionPolicy {
  /** Absolute path of the policy, for messages. */
  readonly file: string;
  /** Rules by name in lower case: the names are compared without regard to case. */
  readonly rules: ReadonlyMap<string, unknown>;
}

/**
 * Reads the policy; `undefined` when there is none. Throws `POLICY_INVALID` for one that cannot be read, is no JSON object
 * or names a rule twice: to pass it over would be a hole. Does not judge the rules: refuse those that you do not know.
 */
export async function readExtensionPolicy(
  host: Host,
  environment: HandlerEnvironment,
): Promise<ExtensionPolicy | undefined> {
  const file = join(environment.configFolder, RUNTIME_POLICY_FILE);
  try {
    const text = readTextIfThere(host.path(file));
    if (text === undefined) return undefined;
    const rules = new Map<string, unknown>();
    for (const [key, value] of Object.entries(decodeObject(parseJson(text, file)))) {
      const name = key.toLowerCase();
      if (rules.has(name)) throw new ContractError(file, key, 'is there twice');
      rules.set(name, value);
    }
    return { file, rules };
  } catch (cause) {
    const problem =
      cause instanceof ContractError ? cause.message : `${file}: ${toHandlerError(cause).message}`;
    throw new HandlerError(
      'POLICY_INVALID',
      `the extension policy ${problem}; correct the policy of this extension, or remove it`,
      { cause },
    );
  }
}

/** SHA-256 of a file of the VM in lower-case hex, read in pieces. Throws the system's error. */
export async function sha256OfFile(host: Host, path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(host.path(path))) hash.update(piece);
  return hash.digest('hex');
}
