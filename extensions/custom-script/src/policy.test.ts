import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { ExtensionPolicy } from '@handlerkit/sdk';
import { agentHandlerEnvironment, LIB_FOLDER, RUNTIME_POLICY_FILE } from '@handlerkit/sdk/contract';
import type { OperationOutcome, TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import extension from '../extension.json' with { type: 'json' };
import { handler } from './handler.ts';
import { judgePolicy } from './policy.ts';

const sum = (text: string): string => createHash('sha256').update(text).digest('hex');
const NOT_IN_LIST = (name: string): string =>
  `Enable failed: Validation of script '${name}' against policy-allowlist failed: item is not in the allowlist.`;

const policyOf = (rules: object): ExtensionPolicy => ({
  file: '/policy.json',
  rules: new Map(Object.entries(rules)),
});

describe('judgePolicy', () => {
  it.each<[object, readonly string[]]>([
    [{}, []],
    [{ requiresigning: false, filerootcertca: null, allowedscripts: null }, []],
    [{ allowedscripts: [' AB ', 'cd'] }, ['ab', 'cd']],
  ])('%j allows %j', (rules, allowed) => {
    expect([...judgePolicy(policyOf(rules)).allowedScripts]).toEqual(allowed);
  });

  it.each<[object, number, string]>([
    [{ allowedscripts: 'ab' }, 81, "'allowedScripts' must be an array of strings"],
    [{ allowedscripts: ['ab', 1] }, 81, "'allowedScripts' must be an array of strings"],
    [{ requiresigning: 'true' }, 81, "'requireSigning' must be true or false"],
    [{ filerootcertca: 1 }, 81, "'fileRootCertCA' must be a string"],
    [{ requiresigning: true }, 81, "'fileRootCertCA' is not given"],
    [{ requiresigning: true, filerootcertca: ' ' }, 81, "'fileRootCertCA' is not given"],
    [{ requiresigning: true, filerootcertca: '/ca.pem' }, 80, 'requires signed scripts'],
    [{ deniedscripts: [] }, 81, "the rule 'deniedscripts' is not known"],
  ])('%j is refused with code %i: %s', (rules, statusCode, problem) => {
    const judge = () => judgePolicy(policyOf(rules));
    expect(judge).toThrow(expect.objectContaining({ statusCode }));
    expect(judge).toThrow(problem);
    expect(judge).toThrow('/policy.json');
    expect(judge).toThrow('Nothing was downloaded or run');
  });
});

describe('a policy on the VM', () => {
  let machine: TestMachine;
  beforeEach(() => {
    machine = createTestMachine({ extension });
  });
  afterEach(() => machine.remove());

  const folder = (): string => machine.path(`${LIB_FOLDER}/custom-script/download/0`);
  const policyFile = (): string =>
    machine.path(
      join(agentHandlerEnvironment(machine.handlerFolder(), '/var/log').configFolder, RUNTIME_POLICY_FILE),
    );
  const enable = (allowedScripts: readonly string[], settings: object): Promise<OperationOutcome> => {
    writeFileSync(policyFile(), JSON.stringify({ allowedScripts }));
    return machine.enable(handler, { public: { ...settings } });
  };

  it('that cannot be read is an error that names it, and nothing runs', async () => {
    mkdirSync(policyFile());
    const { status, exitCode } = await machine.enable(handler, { public: { commandToExecute: 'true' } });
    expect(status).toMatchObject({ status: 'error', code: 81 });
    expect(status?.message).toContain(RUNTIME_POLICY_FILE);
    expect(exitCode).toBe(1);
    expect(machine.commands).toEqual([]);
  });

  it.each([
    ['', 'is empty'],
    ['{"allowedScripts":[', 'is not valid JSON'],
    ['[]', 'must be an object, but is an array'],
    ['{"allowedScripts":[],"AllowedScripts":["ab"]}', 'AllowedScripts is there twice'],
    ['{"AllowedScript":[]}', "the rule 'allowedscript' is not known"],
  ])('%j is refused, and nothing is downloaded or run', async (text, problem) => {
    writeFileSync(policyFile(), text);
    const { status } = await machine.enable(handler, {
      public: { fileUris: ['http://127.0.0.1:9/never.sh'], commandToExecute: 'true' },
    });
    expect(status).toMatchObject({ status: 'error', code: 81 });
    expect(status?.message).toMatch(
      /^Enable failed: the extension policy \/\S+\.json[: ].*; correct the policy of this extension, or remove it\. Nothing was downloaded or run$/,
    );
    expect(status?.message).toContain(problem);
    expect(machine.commands).toEqual([]);
  });

  it('is read whatever the case of its names, with a byte order mark, too', async () => {
    writeFileSync(policyFile(), `\uFEFF{"ALLOWEDscripts":["${sum('true')}"]}`);
    const { status } = await machine.enable(handler, { public: { commandToExecute: 'true' } });
    expect(status?.status).toBe('success');
  });

  it('with an empty list allows everything', async () => {
    expect((await enable([], { commandToExecute: 'true' })).status?.status).toBe('success');
  });

  it('covers the text of the command', async () => {
    const allowed = [` ${sum('echo yes').toUpperCase()}\n`];
    expect((await enable(allowed, { commandToExecute: 'echo yes' })).status?.status).toBe('success');
    machine.remove();
    machine = createTestMachine({ extension });
    const { status, exitCode } = await enable(allowed, { commandToExecute: 'echo yes ' });
    expect([status?.message, status?.code, exitCode]).toEqual([NOT_IN_LIST('commandToExecute'), 0, 1]);
    expect(status?.substatus).toMatchObject([{ code: 0, message: 'POLICY_BLOCKED' }]);
    expect(machine.commands).toEqual([]);
  });

  it('covers an inline script as it runs, and removes one that is blocked', async () => {
    const script = Buffer.from('#!/bin/sh\r\necho yes\r\n').toString('base64');
    const allowed = await enable([sum('#!/bin/sh\necho yes\n')], { script });
    expect(allowed.status?.message).toContain('yes');
    machine.remove();
    machine = createTestMachine({ extension });
    const { status } = await enable([sum('other')], { script });
    expect(status?.message).toBe(NOT_IN_LIST('script.sh'));
    expect(readdirSync(folder())).toEqual([]);
    expect(machine.commands).toEqual([]);
  });

  it('covers downloaded files as they run, and removes the one that is blocked', async () => {
    const server = createServer((request, response) => response.end(`#!/bin/sh\r\necho ${request.url}\r\n`));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const settings = { fileUris: [`${base}/a.sh`, `${base}/b.sh`], commandToExecute: './b.sh' };
      const allowed = [sum('#!/bin/sh\necho /a.sh\n'), sum('./b.sh')];
      const { status } = await enable(allowed, settings);
      expect(status?.message).toBe(NOT_IN_LIST('b.sh'));
      expect([existsSync(join(folder(), 'a.sh')), existsSync(join(folder(), 'b.sh'))]).toEqual([true, false]);
      expect(machine.commands).toEqual([]);
      machine.remove();
      machine = createTestMachine({ extension });
      const second = await enable([...allowed, sum('#!/bin/sh\necho /b.sh\n')], settings);
      expect(second.status?.message).toContain('\n/b.sh\n');
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});
