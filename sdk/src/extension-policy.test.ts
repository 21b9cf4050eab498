import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { agentHandlerEnvironment } from './contract/handler-environment.ts';
import { readExtensionPolicy, sha256OfFile } from './extension-policy.ts';
import type { TestMachine } from './testing/machine.ts';
import { createTestMachine } from './testing/machine.ts';

let machine: TestMachine;
beforeEach(() => {
  machine = createTestMachine();
});
afterEach(() => machine.remove());

const environment = () => agentHandlerEnvironment(machine.handlerFolder(), '/var/log/azure/x');
const policyPath = (): string => machine.path(`${environment().configFolder}/waagent_runtime_policy.json`);
const read = () => readExtensionPolicy(machine.host, environment());

describe('the extension policy', () => {
  it('is absent on most VMs', async () => {
    expect(await read()).toBeUndefined();
  });

  it('gives its rules by name, in any case', async () => {
    writeFileSync(policyPath(), '\uFEFF{"requireSigning": false, "ALLOWEDSCRIPTS": ["aa"]}');
    const policy = await read();
    expect(policy?.file).toContain('/config/waagent_runtime_policy.json');
    expect([...(policy?.rules ?? [])]).toEqual([
      ['requiresigning', false],
      ['allowedscripts', ['aa']],
    ]);
  });

  it.each([
    ['', 'is empty'],
    ['{', 'is not valid JSON (cut off or malformed)'],
    ['[]', 'must be an object, but is an array'],
    ['null', 'must be an object, but is null'],
    ['{"a": 1, "A": 2}', 'A is there twice'],
  ])('%j stops the extension: %s', async (text, problem) => {
    writeFileSync(policyPath(), text);
    await expect(read()).rejects.toMatchObject({ code: 'POLICY_INVALID', exitCode: 53 });
    await expect(read()).rejects.toThrow(`the extension policy ${environment().configFolder}/`);
    await expect(read()).rejects.toThrow(`${problem}; correct the policy of this extension, or remove it`);
  });

  it('that cannot be read stops the extension, too', async () => {
    rmSync(policyPath(), { force: true });
    mkdirSync(policyPath());
    await expect(read()).rejects.toMatchObject({ code: 'POLICY_INVALID' });
  });
});

describe('sha256OfFile', () => {
  it('reads a file of the VM in pieces', async () => {
    const content = Buffer.alloc(300_000, 7);
    writeFileSync(machine.path('/var/lib/waagent/script.sh'), content);
    const expected = createHash('sha256').update(content).digest('hex');
    expect(await sha256OfFile(machine.host, '/var/lib/waagent/script.sh')).toBe(expected);
    await expect(sha256OfFile(machine.host, '/var/lib/waagent/none')).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });
});
