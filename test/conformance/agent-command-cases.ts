/** How the agent unpacks a package, what it lays out, and how it runs a command. Source: agent-contract 1.3, 3 to 6. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { CaseGroup } from './agent-cases.ts';
import { modeOf } from './agent-vm.ts';
import { planned, writeStatusText } from './observer-package.ts';
import type { ObservedCommand } from './observer-record.ts';
import { contractVariables } from './observer-record.ts';

const TYPE = 'Commands';
const HANDLER = `Observer.${TYPE}`;
const SYMLINK = 0o120777;

export const describeCommands: CaseGroup = (vm) => {
  let zip = '';
  let install: ObservedCommand | undefined;
  let enable: ObservedCommand | undefined;
  /** The agent's folder as the handler sees it: another one in a relocated VM. */
  const lib = (): string =>
    vm().agent === 'embedded, relocated' ? vm().vm.agentFolder() : '/var/lib/waagent';
  const base = (): string => `${lib()}/${HANDLER}-1.0.0`;
  const logs = (): string =>
    vm().agent === 'embedded, relocated' ? `${vm().vm.logFolder()}/${HANDLER}` : `/var/log/azure/${HANDLER}`;

  it('installs and enables; a variable of the contract in the tool’s own environment reaches nobody (trap 7)', async () => {
    zip = vm().pack({
      type: TYPE,
      version: '1.0.0',
      manifest: {
        // A slash in front does not lead out of the folder; the rest is the shell's.
        installCommand: '/bin/observe install',
        enableCommand: 'bin/observe enable "two words" $((40 + 2)) $ConfigSequenceNumber',
      },
      entries: [
        { name: 'private', text: 'x', mode: 0o100600 },
        { name: 'tool', text: '#!/bin/sh\n', mode: 0o100777 },
        { name: 'folder/deep/file', text: 'x' },
        { name: 'link', text: 'private', mode: SYMLINK },
        { name: '../../escaped', text: 'x' },
        { name: '/absolute', text: 'x' },
        { name: 'sub/../../../dotted', text: 'x' },
      ],
    });
    process.env.ConfigSequenceNumber = '99';
    const first = await vm()
      .apply(zip, { public: { text: 'größer "x"', list: [1, null, true] } })
      .finally(() => delete process.env.ConfigSequenceNumber);
    expect(first.exitCode).toBe(0);
    expect(first.brief).toEqual(['install 1.0.0', 'enable 1.0.0']);
    [install, enable] = first.commands;
    expect(first.status).toMatchObject({ code: 'ProvisioningState/succeeded', message: 'enabled' });
  });

  it('gives every file of a package to its owner to execute, and takes no other mode, link or place from the zip (trap 8)', () => {
    const files = install?.files;
    for (const name of [
      'bin/observe',
      'private',
      'tool',
      'folder/deep/file',
      'link',
      'HandlerManifest.json',
    ]) {
      expect([name, files?.get(name)]).toEqual([name, { kind: 'f', mode: '744' }]);
    }
    for (const name of ['escaped', 'absolute', 'sub/dotted']) expect(files?.get(name)?.kind).toBe('f');
    for (const name of ['', 'bin', 'folder', 'folder/deep']) {
      expect([name, files?.get(name)]).toEqual([name, { kind: 'd', mode: '755' }]);
    }
  });

  it('lays out folders, settings and environment before the first command', () => {
    const files = install?.files;
    expect(files?.get('config')).toEqual({ kind: 'd', mode: '700' });
    expect(files?.get('status')).toEqual({ kind: 'd', mode: '700' });
    expect(files?.get('HandlerEnvironment.json')).toEqual({ kind: 'f', mode: '644' });
    expect(files?.get('config/0.settings')).toEqual({ kind: 'f', mode: '644' });
    expect(files?.get('config/HandlerState')).toEqual({ kind: 'f', mode: '744' });
    expect(modeOf(vm().path(TYPE, '1.0.0', 'config', 'HandlerStatus'))).toBe('644');
    const logFolder = join(vm().vm.logFolder(), HANDLER);
    expect([modeOf(logFolder), modeOf(join(logFolder, 'events'))]).toEqual(['755', '700']);
  });

  it('writes no status of its own before enable (trap 2)', () => {
    for (const command of [install, enable]) {
      expect([...(command?.files.keys() ?? [])].filter((name) => name.startsWith('status/'))).toEqual([]);
    }
  });

  it('describes the folders in HandlerEnvironment.json', () => {
    expect(install?.handlerEnvironment).toBe(
      `[{"name": "${HANDLER}", "version": 1.0, "handlerEnvironment": {` +
        `"logFolder": "${logs()}", "configFolder": "${base()}/config", "statusFolder": "${base()}/status", ` +
        `"heartbeatFile": "${base()}/heartbeat.log", "eventsFolder": "${logs()}/events", ` +
        `"eventsFolder_preview": "${logs()}/events"}}]`,
    );
  });

  it('writes settings in one line, in ASCII, with null for what is absent', () => {
    expect(enable?.settings).toBe(
      '{"runtimeSettings": [{"handlerSettings": {"publicSettings": {"text": "gr\\u00f6\\u00dfer \\"x\\"", ' +
        '"list": [1, null, true]}, "protectedSettings": null, "protectedSettingsCertThumbprint": null}}]}',
    );
  });

  it('gives install and enable their variables, and no home', () => {
    const expected = {
      AZURE_GUEST_AGENT_EXTENSION_PATH: base(),
      AZURE_GUEST_AGENT_EXTENSION_VERSION: '1.0.0',
      AZURE_GUEST_AGENT_WIRE_PROTOCOL_ADDRESS: '168.63.129.16',
      AZURE_GUEST_AGENT_EXTENSION_SUPPORTED_FEATURES:
        '[{"Key": "ExtensionTelemetryPipeline", "Value": "1.0"}]',
      AZURE_GUEST_AGENT_UNINSTALL_CMD_EXIT_CODE: 'NOT_RUN',
      ConfigSequenceNumber: '0',
    };
    for (const command of [install, enable]) {
      if (command === undefined) throw new Error('a command did not run');
      expect(contractVariables(command)).toEqual(expected);
      expect(command.environment.HOME).toBeUndefined();
      expect(command.environment.PATH).toMatch(/\/usr\/bin/);
    }
  });

  it('runs a command line through the shell, in the folder of the version, in a session of its own', () => {
    expect(install?.arguments).toEqual(['install']);
    expect(enable?.arguments).toEqual(['enable', 'two words', '42', '0']);
    for (const command of [install, enable]) {
      expect(command?.folder).toBe(base());
      expect(command?.umask).toMatch(/^0?022$/);
      expect(command?.user).toBe(process.getuid?.());
      expect(command?.process.group).toBe(command?.process.session);
      expect(command?.stdin).toBe('/dev/null');
      // Files without a name, so a child that stays does not hold up the agent.
      for (const stream of [command?.stdout, command?.stderr]) expect(stream).toMatch(/ \(deleted\)$/);
      expect(command?.ignoredSignals).toMatch(/^0+$/);
    }
    expect(install?.process.session).not.toBe(enable?.process.session);
  });

  it('runs enable again for a new goal state with the same number, and writes the settings again (trap 1)', async () => {
    const file = vm().path(TYPE, '1.0.0', 'config', '0.settings');
    const before = statSync(file).mtimeMs;
    const again = await vm().apply(zip, {}, ['--keep-settings']);
    expect(again.brief).toEqual(['enable 1.0.0']);
    expect(again.commands[0]?.environment.ConfigSequenceNumber).toBe('0');
    expect(statSync(file).mtimeMs).toBeGreaterThan(before);
  });

  it('gives a new number for other settings, and keeps the files of the old one', async () => {
    const next = await vm().apply(zip, { public: { text: 'other' } });
    expect(next.brief).toEqual(['enable 1.0.0']);
    expect(next.commands[0]?.environment.ConfigSequenceNumber).toBe('1');
    expect(readdirSync(vm().path(TYPE, '1.0.0', 'config')).toSorted()).toEqual(
      expect.arrayContaining(['0.settings', '1.settings']),
    );
    expect(readdirSync(vm().path(TYPE, '1.0.0', 'status')).toSorted()).toEqual(['0.status', '1.status']);
  });

  it('leaves protected settings to the handler, with certificate and key after lines of text (trap 11)', async () => {
    const next = await vm().apply(zip, { public: {}, protected: { password: 'geheim' } });
    const settings = next.commands[0]?.settings ?? '';
    const thumbprint = /"protectedSettingsCertThumbprint": "([0-9A-F]{40})"/.exec(settings)?.[1] ?? '';
    const envelope = /"protectedSettings": "([A-Za-z0-9+/=]+)"/.exec(settings)?.[1] ?? '';
    const [certificate, key] = ['crt', 'prv'].map((suffix) =>
      join(vm().vm.agentFolder(), `${thumbprint}.${suffix}`),
    );
    expect(readFileSync(certificate ?? '', 'utf8')).toMatch(
      /^Bag Attributes[\s\S]+-----BEGIN CERTIFICATE-----/,
    );
    expect(readFileSync(key ?? '', 'utf8')).toMatch(/^Bag Attributes[\s\S]+-----BEGIN PRIVATE KEY-----/);
    const plain = execFileSync('openssl', ['cms', '-decrypt', '-inform', 'DER', '-inkey', key ?? ''], {
      input: Buffer.from(envelope, 'base64'),
    });
    expect(JSON.parse(plain.toString())).toEqual({ password: 'geheim' });
  });

  it('keeps of a failed command’s output the first 3200 bytes of each stream, and of those the ends', async () => {
    const print = `printf '%0100d' 0 | tr 0 a; printf '%04900d' 0 | tr 0 b; printf '%050d' 0 | tr 0 c >&2; fail 3`;
    const failed = await vm().apply(zip, planned(print));
    expect(failed.exitCode).toBe(1);
    const command = `${base()}/bin/observe enable "two words" $((40 + 2)) $ConfigSequenceNumber`;
    expect(vm().handlerStatus(TYPE, '1.0.0')).toEqual({
      status: 'NotReady',
      code: 1009,
      message:
        `[ExtensionOperationError] Non-zero exit code: 3, ${command}\n` +
        `[stdout]\n${'a'.repeat(30)}${'b'.repeat(3100)}\n\n[stderr]\n${'c'.repeat(50)}`,
    });
    expect(failed.status?.code).toBe('ProvisioningState/failed/1009');
  });

  it('says how a command died that a signal ended', async () => {
    const { exitCode } = await vm().apply(zip, planned(`${writeStatusText(SUCCESS)}\nkill -9 $$`));
    expect(exitCode).toBe(1);
    expect(vm().handlerStatus(TYPE, '1.0.0').message).toMatch(
      /^\[ExtensionOperationError\] Non-zero exit code: 137, /,
    );
  });

  it('does not wait for a child that stays, and does not end it', async () => {
    const child =
      '(trap "" HUP; while :; do date +%s%N >"$log/alive.tmp"; mv "$log/alive.tmp" "$log/alive"; sleep 0.2; done) &';
    const answered = await vm().apply(zip, planned(`${child}\n${writeStatusText(SUCCESS)}`));
    expect(answered.status?.code).toBe('ProvisioningState/succeeded');
    const alive = join(vm().vm.logFolder(), HANDLER, 'alive');
    const before = readFileSync(alive, 'utf8');
    await until('the child', () => readFileSync(alive, 'utf8') !== before);
  });
};

const SUCCESS = '[{"status": {"status": "success"}}]';
