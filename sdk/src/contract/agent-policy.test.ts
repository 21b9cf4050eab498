import { describe, expect, it } from 'vitest';
import { isAllowed, parseAgentPolicy } from './agent-policy.ts';

const FILE = '/etc/waagent_policy.json';
const parse = (extensionPolicies: unknown, policyVersion: unknown = '0.1.0') =>
  parseAgentPolicy(JSON.stringify({ policyVersion, extensionPolicies }), FILE);

describe('parseAgentPolicy', () => {
  it.each<[unknown, string, boolean]>([
    [undefined, 'Contoso.Greeter', true],
    [{}, 'Contoso.Greeter', true],
    [{ allowListedExtensionsOnly: false, extensions: {} }, 'Contoso.Greeter', true],
    [{ allowListedExtensionsOnly: true }, 'Contoso.Greeter', false],
    [{ allowListedExtensionsOnly: true, extensions: { 'contoso.GREETER': {} } }, 'Contoso.Greeter', true],
    [{ allowListedExtensionsOnly: true, extensions: { 'Contoso.Other': {} } }, 'Contoso.Greeter', false],
    [
      { allowListedExtensionsOnly: true, extensions: { 'Contoso.Greeter': { runtimePolicy: [1] } } },
      'Contoso.Greeter',
      true,
    ],
    [{ signatureRequired: true }, 'Contoso.Greeter', true],
  ])('%j allows %s: %j', (policies, name, allowed) => {
    expect(isAllowed(parse(policies), name)).toBe(allowed);
  });

  const wrong: readonly [string, string][] = [
    ['[]', 'expected an object describing a Policy; got list.'],
    ['{}', "missing required attribute 'policyVersion'"],
    ['{"policyVersion":null}', "missing required attribute 'policyVersion'"],
    ['{"policyVersion":1}', "invalid type int for attribute 'policyVersion'; must be 'string'"],
    [
      '{"policyVersion":"1.x"}',
      "invalid value for attribute 'policyVersion': '1.x'; it should be in format 'major[.minor[.patch]]' (e.g., '1', '1.0', '1.0.0')",
    ],
    [
      '{"policyVersion":"0.2"}',
      "policy version '0.2' is not supported. The agent supports policy versions up to '0.1.0'.",
    ],
    ['{"policyVersion":"0.1","more":1}', "unrecognized attribute 'more' in policy"],
    [
      '{"policyVersion":"0.1","extensionPolicies":[]}',
      "invalid type list for attribute 'extensionPolicies'; must be 'object'",
    ],
    [
      '{"policyVersion":"0.1","extensionPolicies":{"x":1}}',
      "unrecognized attribute 'x' in extensionPolicies",
    ],
    [
      '{"policyVersion":"0.1","extensionPolicies":{"allowListedExtensionsOnly":"true"}}',
      "invalid type str for attribute 'extensionPolicies.allowListedExtensionsOnly'; must be 'boolean'",
    ],
    ...['NaN', 'Infinity', '-Infinity'].map((number): [string, string] => [
      `{"policyVersion":"NaN","extensionPolicies":{"signatureRequired":${number}},"policyVersion":"0.1"}`,
      "invalid type float for attribute 'extensionPolicies.signatureRequired'; must be 'boolean'",
    ]),
    [
      '{"policyVersion":"0.1","extensionPolicies":{"extensions":{"A.B":true}}}',
      "invalid type bool for attribute 'extensionPolicies.extensions.A.B'; must be 'object'",
    ],
    [
      '{"policyVersion":"0.1","extensionPolicies":{"extensions":{"A.B":{"x":1}}}}',
      "unrecognized attribute 'x' in extensionPolicies.extensions.{'x': 1}",
    ],
    [
      '{"policyVersion"',
      `policy file does not conform to valid json syntax. File contents: {"policyVersion"\nInner error: Expecting ':' delimiter: line 1 column 17 (char 16)`,
    ],
  ];
  it.each(wrong)('refuses %s: %s', (text, problem) => {
    expect(() => parseAgentPolicy(text, FILE)).toThrow(
      `Customer-provided policy file ('${FILE}') is invalid, please correct the following error: ${problem}`,
    );
  });
});
