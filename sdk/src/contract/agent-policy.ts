/**
 * The policy of a VM's owner: which extensions the agent may process. A handler does not see it.
 * Source: WALinuxAgent 2.15 `ga/policy/policy_engine.py`; agent-contract 7.9.
 */
import { compareVersions } from './package-layout.ts';
import { pythonJsonError } from './python-json-error.ts';
import { formatPythonValue, pythonTypeName } from './python-values.ts';

/** The newest form of the file that the agent knows. */
export const AGENT_POLICY_VERSION = '0.1.0';

/** What the policy says of running; what it says of signatures has no effect in this agent. */
export interface AgentPolicy {
  readonly allowListedExtensionsOnly: boolean;
  /** Names of handlers, in lower case. */
  readonly extensions: readonly string[];
}

/** The agent refuses the policy, and then processes no extension. `message` is the agent's, without the class name. */
export class InvalidPolicy extends Error {
  override readonly name = 'InvalidPolicy';
}

/** True when the agent may process a handler of this name; names are compared in any case. */
export function isAllowed(policy: AgentPolicy, handlerName: string): boolean {
  return !policy.allowListedExtensionsOnly || policy.extensions.includes(handlerName.toLowerCase());
}

/** Reads the file's text. Throws {@link InvalidPolicy}; `file` is its path, for the message. */
export function parseAgentPolicy(text: string, file: string): AgentPolicy {
  const syntax = pythonJsonError(text);
  if (syntax !== undefined) {
    const problem = `policy file does not conform to valid json syntax. File contents: ${text}`;
    throw new InvalidPolicy(`${describe(file, problem)}\nInner error: ${syntax}`);
  }
  try {
    return readPolicy(parsePythonJson(text));
  } catch (thrown) {
    if (thrown instanceof Problem) throw new InvalidPolicy(describe(file, thrown.message));
    throw thrown;
  }
}

/** Python's JSON knows numbers that are none; where one stands, a number that JSON has no digits for is a float, too. */
function parsePythonJson(text: string): unknown {
  const plain = text.replace(/"(?:[^"\\]|\\.)*"|NaN|Infinity/g, (part) =>
    part.startsWith('"') ? part : '1e999',
  );
  return JSON.parse(plain);
}

const PREFIX = 'extensionPolicies.';

/** A message without the words around it. */
class Problem extends Error {}

function describe(file: string, problem: string): string {
  return `Customer-provided policy file ('${file}') is invalid, please correct the following error: ${problem}`;
}

function readPolicy(root: unknown): AgentPolicy {
  if (!isObject(root))
    throw new Problem(`expected an object describing a Policy; got ${pythonTypeName(root)}.`);
  refuseOthers(root, 'policy', ['policyVersion', 'extensionPolicies']);
  checkVersion(memberValue(root, 'policyVersion', '', 'string'));
  const policies = objectOf(root, 'extensionPolicies', '');
  refuseOthers(policies, 'extensionPolicies', [
    'allowListedExtensionsOnly',
    'signatureRequired',
    'extensions',
  ]);
  const only = memberValue(policies, 'allowListedExtensionsOnly', PREFIX, 'boolean');
  memberValue(policies, 'signatureRequired', PREFIX, 'boolean');
  const extensions = objectOf(policies, 'extensions', PREFIX);
  for (const [name, one] of Object.entries(extensions)) {
    if (!isObject(one)) {
      throw new Problem(
        `invalid type ${pythonTypeName(one)} for attribute '${PREFIX}extensions.${name}'; must be 'object'`,
      );
    }
    // The agent names the object here, not the extension.
    const where = `${PREFIX}extensions.${formatPythonValue(one, 4096)}`;
    refuseOthers(one, where, ['signatureRequired', 'runtimePolicy']);
    memberValue(one, 'signatureRequired', where, 'boolean');
  }
  return {
    allowListedExtensionsOnly: only === true,
    extensions: Object.keys(extensions).map((name) => name.toLowerCase()),
  };
}

function checkVersion(version: unknown): void {
  if (typeof version !== 'string') throw new Problem("missing required attribute 'policyVersion'");
  if (!/^\d+(\.\d+(\.\d+)?)?$/.test(version)) {
    throw new Problem(
      `invalid value for attribute 'policyVersion': '${version}'; it should be in format 'major[.minor[.patch]]' (e.g., '1', '1.0', '1.0.0')`,
    );
  }
  if (compareVersions(AGENT_POLICY_VERSION, version) < 0) {
    throw new Problem(
      `policy version '${version}' is not supported. The agent supports policy versions up to '${AGENT_POLICY_VERSION}'.`,
    );
  }
}

type Members = Readonly<Record<string, unknown>>;

function objectOf(object: Members, key: string, prefix: string): Members {
  const value = memberValue(object, key, prefix, 'object');
  return isObject(value) ? value : {};
}

function memberValue(
  object: Members,
  key: string,
  prefix: string,
  type: 'object' | 'string' | 'boolean',
): unknown {
  const value = Object.hasOwn(object, key) ? object[key] : undefined;
  if (value === undefined || value === null) return undefined;
  if (type === 'object' ? isObject(value) : typeof value === type) return value;
  throw new Problem(
    `invalid type ${pythonTypeName(value)} for attribute '${prefix}${key}'; must be '${type}'`,
  );
}

function refuseOthers(object: Members, name: string, known: readonly string[]): void {
  const other = Object.keys(object).find((key) => !known.includes(key));
  if (other !== undefined) throw new Problem(`unrecognized attribute '${other}' in ${name}`);
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
