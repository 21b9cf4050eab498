/**
 * Custom Script, VM Access and the SDK's probes, packed, under the real Azure Linux Agent: what the embedded agent shows of them holds
 * there, too. Not all cases, as each operation costs the real agent two seconds; those in which it has a part.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extension } from '@handlerkit/custom-script';
import { formatHandlerName } from '@handlerkit/sdk/contract';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { InstanceView, LocalVm } from '../local-vm.ts';
import { createLocalVm, whyNoRealAgent } from '../local-vm.ts';
import { writePackageVersion } from '../newer-package.ts';
import { brief, readTrace } from '../probe-trace.ts';

const reason = whyNoRealAgent();
const title = `packed handlers under the real agent${reason === undefined ? '' : ` (${reason})`}`;

/** The real agent unpacks five packages of fifty megabytes side by side, and pauses for seconds after each operation. */
const timeout = 300_000;

describe.runIf(reason === undefined)(title, { concurrent: true, timeout }, () => {
  describe('Custom Script', () => {
    const { vm, apply, run } = useVm(() => inject('customScriptZip'));

    describe('one after the other', { concurrent: false, sequential: true }, () => {
      it('runs a protected command, which it decrypts with the key that the agent has put down', async () => {
        const { statuses } = await apply({ protected: { commandToExecute: 'echo out; echo err >&2' } });
        expect(statuses[0]).toMatchObject({
          code: 'ProvisioningState/succeeded',
          message: 'Enable succeeded: \n[stdout]\nout\n\n[stderr]\nerr\n',
        });
      });

      it('fails with the exit code and the clarification of a command that fails', async () => {
        const { statuses, substatuses } = await apply({ public: { commandToExecute: 'exit 3' } });
        expect(statuses[0]?.code).toBe('ProvisioningState/failed/3');
        expect(substatuses?.map(({ code }) => code)).toEqual(['ComponentStatus/ErrorClarification/failed/2']);
      });

      it('runs a sequence once, also when the agent has been restarted', async () => {
        const file = `/var/lib/waagent/${extension.dataFolder}/runs`;
        const settings = { public: { commandToExecute: `echo run >>${file}; cat ${file}` } };
        const [once, again] = [await apply(settings), await apply(settings)];
        const { stdout } = await run(['reboot']);
        const [restarted] = JSON.parse(stdout) as InstanceView[];
        for (const view of [once, again, restarted]) {
          expect(view?.statuses[0]?.message).toBe('Enable succeeded: \n[stdout]\nrun\n\n[stderr]\n');
        }
      });

      it('answers with a placeholder, and its end is in the view', async () => {
        const settings = {
          public: { commandToExecute: 'until [ -e /run/go ]; do sleep 0.1; done; echo went' },
        };
        const begun = await apply(settings, ['--no-wait']);
        expect(begun.statuses[0]?.code).toBe('ProvisioningState/transitioning');
        expect((await run(['exec', '--', 'touch', '/run/go'])).exitCode).toBe(0);
        const ended = await apply(settings);
        expect(ended.statuses[0]?.message).toBe('Enable succeeded: \n[stdout]\nwent\n\n[stderr]\n');
      });

      it('leaves nothing of its own when it is deleted', async () => {
        await vm().delete();
        const handler = formatHandlerName(extension.publisher, extension.type);
        const own = [handler, extension.dataFolder];
        // The agent keeps a copy of the version manifest, which is a file of its own.
        const left = readdirSync(vm().agentFolder(), { withFileTypes: true })
          .filter((entry) => entry.isDirectory() && own.some((one) => entry.name.startsWith(one)))
          .map((entry) => entry.name);
        expect(left).toEqual([]);
      });
    });
  });

  describe('VM Access', () => {
    const { vm, apply, run } = useVm(() => inject('vmAccessZip'));
    const inVm = async (script: string): Promise<string> => {
      const { stdout, stderr } = await run(['exec', '--', 'sh', '-c', script]);
      const ended: unknown = stdout === '' ? undefined : JSON.parse(stdout);
      if (Reflect.get(Object(ended), 'exitCode') !== 0) throw new Error(`${script}: ${stdout}${stderr}`);
      return String(Reflect.get(Object(ended), 'stdout'));
    };

    describe('one after the other', { concurrent: false, sequential: true }, () => {
      it('shows each step of a failed run in the view, behind the code of the error', async () => {
        const { statuses, substatuses } = await apply({
          protected: { username: 'ALL', ssh_key: 'ssh-ed25519 AAAAcanary' },
        });
        expect(statuses[0]?.code).toMatch(/^ProvisioningState\/failed\/\d+$/);
        expect(statuses[0]?.message).toMatch(/^Enable failed: .*\nNothing was changed\.$/s);
        expect(JSON.stringify(statuses)).not.toContain('canary');
        const codes = substatuses?.map(({ code }) => code.replace(/\/-?\d+$/, ''));
        expect(codes?.[0]).toBe('ComponentStatus/ErrorClarification/failed');
        expect(codes?.slice(1).map((code) => code.split('/')[1])).toEqual(['account', 'sudo', 'ssh key']);
        expect(codes?.[1]).toBe('ComponentStatus/account/failed');
      });

      it('removes a user, and says so in the view', async () => {
        await inVm('useradd -m bob && touch ~bob/file');
        const { statuses, substatuses } = await apply({ protected: { remove_user: 'bob' } });
        expect(statuses[0]?.code).toBe('ProvisioningState/succeeded');
        expect(substatuses?.map(({ code }) => code)).toEqual(['ComponentStatus/account/succeeded']);
        expect(await inVm('getent passwd bob; ls -d /home/bob 2>/dev/null; true')).toBe('');
      });

      it('goes with its data', async () => {
        await vm().delete('VMAccess');
        expect(existsSync(join(vm().agentFolder(), 'vm-access'))).toBe(false);
      });
    });
  });

  describe('a probe', () => {
    const { vm, apply, run } = useVm(() => inject('probeZip'));
    const lines = (): string[] => readTrace(join(vm().logFolder(), 'Handlerkit.Tests.Probe')).map(brief);

    describe('one after the other', { concurrent: false, sequential: true }, () => {
      it('has its settings, and keeps state and data through an update and a downgrade', async () => {
        const folder = mkdtempSync(join(tmpdir(), 'handlerkit-versions-'));
        try {
          const first = await apply({ public: { steps: [{ do: 'end', message: 'first' }] } });
          expect(first.statuses[0]?.message).toBe('Enable succeeded: first');
          expect(lines()).toEqual(['install 1.0.0', 'enable 1.0.0']);
          const newer = join(folder, '1.1.0.zip');
          writePackageVersion(inject('probeZip'), newer, '1.1.0');
          const updated = await vm().set(newer, {}, ['--keep-settings']);
          expect(updated.exitCode).toBe(0);
          // Enable has nothing to do: the sequence was carried over.
          expect(lines().slice(2)).toEqual(['disable 1.0.0', 'update 1.1.0', 'install 1.1.0']);
          const older = await apply({}, ['--keep-settings']);
          expect(lines().slice(5)).toEqual(['disable 1.1.0', 'update 1.1.0', 'install 1.0.0']);
          expect(older.statuses[0]?.message).toBe('Enable succeeded: first');
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
      });

      it('is refused with its reason, which is in the view', async () => {
        const { statuses } = await apply({
          public: { steps: [{ do: 'fail', code: 'DEPENDENCY_MISSING', message: 'no tar' }] },
        });
        expect(statuses[0]?.code).toBe('ProvisioningState/failed/1009');
        expect(statuses[0]?.message).toContain('Enable failed: DEPENDENCY_MISSING: no tar');
      });

      it('goes with its data', async () => {
        expect((await run(['delete', 'Probe'])).exitCode).toBe(0);
        expect(existsSync(join(vm().agentFolder(), 'Handlerkit.Tests.Probe.data'))).toBe(false);
      });
    });
  });

  describe('a daemon', () => {
    const { apply, run } = useVm(() => inject('daemonProbeZip'));

    it.sequential('is ready by its heartbeat, also after a restart', async () => {
      const steps = [
        { do: 'ready', message: 'collecting' },
        { do: 'wait-for-abort', finish: true },
      ];
      const up = await apply({ public: { steps } });
      expect(up.statuses[0]).toMatchObject({
        code: 'ProvisioningState/succeeded',
        message: 'Enable succeeded: collecting',
      });
      const { stdout, stderr } = await run(['reboot']);
      const [again] = JSON.parse(stdout) as InstanceView[];
      expect(again?.statuses[0]?.message).toBe('Enable succeeded: collecting');
      expect(stderr).not.toContain('heartbeat');
    });
  });
});

/** A VM with the real agent for the tests of the describe that calls this, and a package that they apply. */
function useVm(zip: () => string) {
  let opened: LocalVm | undefined;
  beforeAll(async () => {
    opened = await createLocalVm('overlay', { agent: 'waagent', network: 'loopback' });
  });
  afterAll(async () => await opened?.remove());
  const vm = (): LocalVm => {
    if (opened === undefined) throw new Error('the VM is opened before the tests');
    return opened;
  };
  return {
    vm,
    run: (words: readonly string[]) => vm().run(words),
    apply: async (
      settings: { readonly public?: unknown; readonly protected?: unknown },
      more: readonly string[] = [],
    ) => {
      const { stdout, stderr } = await vm().set(zip(), settings, more);
      const [view] = stdout.startsWith('[') ? (JSON.parse(stdout) as InstanceView[]) : [];
      if (view === undefined) throw new Error(`handlerkit vm set said no view: ${stdout}${stderr}`);
      return view;
    },
  };
}
