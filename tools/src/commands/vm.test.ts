import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CliOptions, CliResult } from '../fixtures/run-cli.ts';
import { runCli } from '../fixtures/run-cli.ts';
import type { ScriptExtension } from '../fixtures/script-extension.ts';
import { writeScriptExtension } from '../fixtures/script-extension.ts';
import { useVmFolder } from '../fixtures/vm-folder.ts';
import type { ExtensionInstanceView } from '../vm/instance-view.ts';

let folder: string;
useVmFolder((made) => {
  folder = made;
});

const vm = (words: readonly string[], options: CliOptions = {}): Promise<CliResult> =>
  runCli(['vm', ...words], { cwd: folder, ...options });

/** Sets the extension on a VM that only relocates the agent's folders, so that no test needs root. */
async function set(
  extension: ScriptExtension,
  words: readonly string[] = [],
  options: CliOptions = {},
): Promise<CliResult> {
  const zip = await writeScriptExtension(folder, extension);
  return await vm(['set', zip, '--isolation', 'relocated', ...words], options);
}

const settings = (value: unknown): string[] => ['--settings', JSON.stringify(value)];

function viewOf(result: CliResult): ExtensionInstanceView['statuses'][number] | undefined {
  const views: ExtensionInstanceView[] = JSON.parse(result.stdout);
  return views[0]?.statuses[0];
}

/** The operations that the agent ran, in order, as stderr shows them. */
function operationsOf(result: CliResult): string[] {
  return [
    ...result.stderr.matchAll(/^ {2}(\w+) +bin\/handler \1 {3}(exit \d+) {3}[\d.]+ s {3}([\d.]+)$/gm),
  ].map((match) => `${match[1]} ${match[3]} ${match[2]}`);
}

async function sequence(): Promise<number> {
  return JSON.parse((await vm(['show', 'Greeter', '--json'])).stdout).sequenceNumber;
}

function filesWith(secret: string, root = folder): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => readFileSync(file).includes(secret));
}

describe('vm set', () => {
  it('installs and enables, shows each operation, and prints the instance view as az does', async () => {
    const result = await set({ version: '1.0.0' }, settings({ mode: 'ok' }));
    expect(result.exitCode).toBe(0);
    expect(operationsOf(result)).toEqual(['install 1.0.0 exit 0', 'enable 1.0.0 exit 0']);
    expect(JSON.parse(result.stdout)).toEqual([
      {
        name: 'Greeter',
        statuses: [
          {
            code: 'ProvisioningState/succeeded',
            displayStatus: 'Provisioning succeeded',
            level: 'Info',
            message: 'sequence 0, protected bytes: none',
            time: null,
          },
        ],
        substatuses: null,
        type: 'Contoso.Greeter',
        typeHandlerVersion: '1.0.0',
      },
    ]);
    expect(result.stderr).toContain("Only the agent's own folders are separate");
  });

  it('enables again at the same sequence number when the settings are the same, and raises it when they are not', async () => {
    const secret = ['--protected-settings', '{"password":"S3CRET"}'];
    await set({ version: '1.0.0' }, [...settings({ a: 1, b: 2 }), ...secret]);
    const same = await set({ version: '1.0.0' }, [...settings({ b: 2, a: 1 }), ...secret]);
    expect(operationsOf(same)).toEqual(['enable 1.0.0 exit 0']);
    expect(viewOf(same)?.message).toBe('sequence 0, protected bytes: 21');
    const other = await set({ version: '1.0.0' }, [...settings({ a: 2, b: 2 }), ...secret]);
    expect(viewOf(other)?.message).toBe('sequence 1, protected bytes: 21');
    const changed = ['--protected-settings', '{"password":"0THER!"}'];
    expect(
      viewOf(await set({ version: '1.0.0' }, [...settings({ a: 2, b: 2 }), ...changed]))?.message,
    ).toMatch(/^sequence 2/);
    const forced = await set({ version: '1.0.0' }, ['--keep-settings', '--force-update-tag', 'now']);
    expect(viewOf(forced)?.message).toBe('sequence 3, protected bytes: 21');
  });

  it('encrypts protected settings to the VM, and leaves no file with them in clear', async () => {
    await writeFile(join(folder, 'protected.json'), '{"password":"S3CRET"}');
    const result = await set({ version: '1.0.0' }, ['--protected-settings', '@protected.json']);
    await rm(join(folder, 'protected.json'));
    expect(viewOf(result)?.message).toBe('sequence 0, protected bytes: 21');
    expect(filesWith('S3CRET')).toEqual([]);
    expect(result.stderr + result.stdout).not.toContain('S3CRET');
    const keys = filesWith('PRIVATE KEY');
    expect(keys).toHaveLength(1);
    expect(keys[0]).toMatch(/\/var\/lib\/waagent\/[0-9A-F]{40}\.prv$/);
    expect(statSync(keys[0] ?? '').mode & 0o777).toBe(0o600);
  });

  it('updates to a newer version with the settings that it has', async () => {
    await set({ version: '1.0.0' }, [...settings({ mode: 'ok' }), '--protected-settings', '{"x":1}']);
    const update = await set({ version: '1.1.0' }, ['--keep-settings']);
    expect(operationsOf(update)).toEqual([
      'disable 1.0.0 exit 0',
      'update 1.1.0 exit 0',
      'uninstall 1.0.0 exit 0',
      'install 1.1.0 exit 0',
      'enable 1.1.0 exit 0',
    ]);
    expect(update.stderr).toContain('Contoso.Greeter 1.0.0 to 1.1.0, sequence number 0');
    expect(viewOf(update)?.message).toBe('sequence 0, protected bytes: 7');
  });

  it('says that settings which are not given again are gone, as with az', async () => {
    await set({ version: '1.0.0' }, settings({ mode: 'ok' }));
    const result = await set({ version: '1.0.0' });
    expect(result.stderr).toContain('they are gone, as with az');
    expect(await sequence()).toBe(1);
    expect(JSON.parse((await vm(['show', 'greeter'])).stdout).settings).toBeNull();
  });

  it('installs another build of the same version anew, and says so', async () => {
    await set({ version: '1.0.0' }, settings({ mode: 'ok' }));
    const result = await set({ version: '1.0.0', build: 'second' }, ['--keep-settings']);
    expect(result.stderr).toContain('installed from another build');
    expect(operationsOf(result)).toEqual([
      'disable 1.0.0 exit 0',
      'uninstall 1.0.0 exit 0',
      'install 1.0.0 exit 0',
      'enable 1.0.0 exit 0',
    ]);
    expect(JSON.parse((await vm(['show', 'Greeter'])).stdout).settings).toEqual({ mode: 'ok' });
  });

  it('exits 1 with the failed instance view when the extension reports an error', async () => {
    const result = await set({ version: '1.0.0' }, settings({ mode: 'fail' }));
    expect(result.exitCode).toBe(1);
    expect(viewOf(result)).toMatchObject({
      code: 'ProvisioningState/failed/7',
      level: 'Error',
      displayStatus: 'Provisioning failed',
      message: 'did not work',
    });
    expect(result.stderr).toContain(
      'error EXTENSION_FAILED: "Greeter" failed: did not work\nTry: Look into its logs: handlerkit vm logs Greeter\n',
    );
  });

  it("shows the agent's own message when enable exits non-zero", async () => {
    const result = await set({ version: '1.0.0' }, [...settings({ mode: 'crash' }), '--json']);
    expect(result.exitCode).toBe(1);
    expect(viewOf(result)?.code).toBe('ProvisioningState/failed/1009');
    expect(viewOf(result)?.message).toMatch(/^\[ExtensionOperationError\] Non-zero exit code: 3, .*no luck/s);
    expect(result.stderr).toMatch(/error EXTENSION_FAILED: /);
  });

  it('waits for an extension that goes on in the background', async () => {
    const until = join(folder, 'go');
    const pending = set({ version: '1.0.0' }, settings({ mode: 'slow', until }), {
      interruptWhen: (_, stderr) => {
        // No interruption: the progress line is what the handler waits for.
        if (stderr.includes('Transitioning: working')) void writeFile(until, '');
        return false;
      },
    });
    const result = await pending;
    expect(result.exitCode).toBe(0);
    expect(viewOf(result)?.message).toBe('late');
  });

  it('does not wait with --no-wait, and gives up at the time limit', async () => {
    const slow = settings({ mode: 'slow', until: join(folder, 'never') });
    const started = await set({ version: '1.0.0' }, [...slow, '--no-wait']);
    expect(started.exitCode).toBe(0);
    expect(viewOf(started)).toMatchObject({ code: 'ProvisioningState/transitioning', message: 'working' });
    const late = await set({ version: '1.0.0' }, [...slow, '--timeout-minutes', '0.001']);
    expect(late.exitCode).toBe(1);
    expect(late.stderr).toContain('error TIMED_OUT: ');
    expect(viewOf(late)?.code).toBe('ProvisioningState/transitioning');
  });

  it('ends the running command and exits 130 on Ctrl-C', async () => {
    const result = await set({ version: '1.0.0' }, [...settings({ mode: 'stuck' }), '--verbose'], {
      interruptWhen: (_, stderr) => /enable +bin\/handler enable {3}…/.test(stderr),
    });
    expect(result.exitCode).toBe(130);
    expect(result.stderr).toContain('error INTERRUPTED: ');
    expect(result.stdout).toBe('');
  });

  it('leaves an extension that goes on in the background to itself on Ctrl-C, and says so', async () => {
    const slow = settings({ mode: 'slow', until: join(folder, 'never') });
    const result = await set({ version: '1.0.0' }, slow, {
      interruptWhen: (_, stderr) => stderr.includes('Transitioning: working'),
    });
    expect(result.exitCode).toBe(130);
    expect(result.stderr).toContain('Try: "Greeter" goes on in the VM.');
    expect(viewOf(await vm(['instance-view']))?.message).toBe('working');
  });

  it('says that the goal state has it already when Ctrl-C ends the unpacking', async () => {
    const result = await set({ version: '1.0.0' }, settings({}), {
      interruptWhen: (_, stderr) => stderr.includes('sequence number 0'),
    });
    expect(result.exitCode).toBe(130);
    expect(result.stderr).toContain('Try: "Greeter" is in the goal state already: ');
    expect(JSON.parse((await vm(['list', '--json'])).stdout)).toHaveLength(1);
  });

  it.each([['../evil'], ['a b'], [''], ['..'], ['x'.repeat(81)]])(
    'refuses the name %j, as Azure does, and makes no VM',
    async (name) => {
      const result = await set({ version: '1.0.0' }, ['--name', name]);
      expect(result.exitCode).toBe(2);
      expect(result.stderr).toContain(`error WRONG_USAGE: --name ${JSON.stringify(name)} cannot be`);
      expect(existsSync(join(folder, '.handlerkit'))).toBe(false);
    },
  );

  it('refuses the same handler under a second name', async () => {
    await set({ version: '1.0.0' }, settings({}));
    const result = await set({ version: '1.0.0' }, [...settings({}), '--name', 'second', '--json']);
    expect(result.exitCode).toBe(1);
    expect(JSON.parse(result.stdout).error.code).toBe('ALREADY_SET');
  });

  it.each([
    ['a file that is no zip', 'a.zip', 'NOT_A_PACKAGE'],
    ['a folder that is no project', '.', 'PROJECT_NOT_FOUND'],
    ['a path that does not exist', 'none.zip', 'ENOENT'],
  ])('makes no VM for %s', async (_, path, code) => {
    await writeFile(join(folder, 'a.zip'), 'no zip');
    const result = await vm(['set', path, '--json']);
    expect(result.exitCode).toBe(1);
    expect(JSON.parse(result.stdout).error).toMatchObject({ code, hint: expect.any(String) });
    expect(readdirSync(folder)).toEqual(['a.zip']);
  });

  it('lets two commands change one VM at the same time, one after the other', async () => {
    const results = await Promise.all([
      set({ version: '1.0.0' }, [...settings({ a: 1 }), '--no-wait']),
      set({ version: '1.0.0' }, [...settings({ a: 2 }), '--no-wait']),
    ]);
    expect(results.map((result) => result.exitCode)).toEqual([0, 0]);
    expect(await sequence()).toBe(1);
  });
});

describe('the other commands of the VM', () => {
  it('list and instance-view show nothing, and make nothing, where there is no VM', async () => {
    expect(await vm(['list'])).toEqual({ exitCode: 0, stdout: 'No extensions.\n', stderr: '' });
    expect(await vm(['instance-view', '--json'])).toEqual({ exitCode: 0, stdout: '[]\n', stderr: '' });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('list says what the VM is made of with --verbose, and logs that there is none', async () => {
    expect(JSON.parse((await vm(['logs', '--json'])).stdout).error).toMatchObject({ code: 'NOT_FOUND' });
    await set({ version: '1.0.0' });
    const { stdout, stderr } = await vm(['list', '--verbose']);
    expect(stderr).toMatch(/Agent +embedded\nIsolation +relocated\nNetwork +host\n/);
    expect(stdout).toMatch(/^Name /);
  });

  it.each([['show'], ['delete'], ['logs']])('%s says which extensions there are', async (command) => {
    const result = await vm([command, 'Nobody', '--json']);
    expect(result.exitCode).toBe(1);
    expect(JSON.parse(result.stdout).error).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('list and show give the resource without its protected settings', async () => {
    await set({ version: '1.0.0' }, [
      ...settings({ a: 1 }),
      '--protected-settings',
      '{"b":2}',
      '--name',
      'mine',
    ]);
    expect((await vm(['list'])).stdout).toBe(
      'Name  Publisher  Type     Version  ProvisioningState  Sequence\nmine  Contoso    Greeter  1.0.0    Succeeded          0\n',
    );
    const resource = {
      autoUpgradeMinorVersion: false,
      enableAutomaticUpgrade: false,
      forceUpdateTag: null,
      id: null,
      instanceView: null,
      location: null,
      name: 'mine',
      protectedSettings: null,
      protectedSettingsFromKeyVault: null,
      provisionAfterExtensions: null,
      provisioningState: 'Succeeded',
      publisher: 'Contoso',
      resourceGroup: null,
      sequenceNumber: 0,
      settings: { a: 1 },
      suppressFailures: false,
      tags: null,
      type: 'Microsoft.Compute/virtualMachines/extensions',
      typeHandlerVersion: '1.0.0',
      typePropertiesType: 'Greeter',
    };
    const { stdout } = await vm(['show', 'mine']);
    expect(JSON.parse(stdout)).toEqual(resource);
    expect(Object.keys(JSON.parse(stdout))).toEqual(Object.keys(resource));
    expect(JSON.parse((await vm(['list', '--json'])).stdout)).toEqual([resource]);
  });

  it('instance-view explains why there is no status for an extension without settings', async () => {
    await set({ version: '1.0.0' });
    const result = await vm(['instance-view']);
    expect(result.stderr).toContain('it has no settings, so the agent reads no status file');
    expect(viewOf(result)?.code).toBe('ProvisioningState/succeeded');
  });

  it('logs prints the record of the commands, and follows until Ctrl-C', async () => {
    await set({ version: '1.0.0' }, settings({}));
    const { exitCode, stdout } = await vm(['logs', 'Greeter']);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^==> .*\/Contoso\.Greeter\/CommandExecution\.log <==\n/);
    expect(stdout).toContain('enabling 0');

    const all = (await vm(['logs'])).stdout;
    expect(all).toMatch(
      /^==> .*\/waagent\.log <==\n[\s\S]*ProcessExtensionsGoalState started[\s\S]*\nenabling 0/,
    );

    let change: ReturnType<typeof set> | undefined;
    const followed = await vm(['logs', 'Greeter', '--follow'], {
      interruptWhen: (output) => {
        if (output.includes('enabling 0')) change ??= set({ version: '1.0.0' }, settings({ again: true }));
        return output.includes('enabling 1');
      },
    });
    // It may still write the VM's state when its log has been seen.
    expect((await change)?.exitCode).toBe(0);
    expect(followed.exitCode).toBe(130);
    expect(followed.stdout.match(/enabling 0/g)).toHaveLength(1);
  });

  it('delete disables and uninstalls, and the extension is gone', async () => {
    await set({ version: '1.0.0' }, settings({}));
    const result = await vm(['delete', 'GREETER']);
    expect(result).toMatchObject({ exitCode: 0, stdout: 'Deleted Greeter.\n' });
    expect(operationsOf(result)).toEqual(['disable 1.0.0 exit 0', 'uninstall 1.0.0 exit 0']);
    expect(JSON.parse((await vm(['list', '--json'])).stdout)).toEqual([]);
    expect(existsSync(join(folder, '.handlerkit/vm/root/var/lib/waagent/Contoso.Greeter-1.0.0'))).toBe(false);
  });

  it('delete keeps an extension whose disable fails, as the agent does', async () => {
    await set({ version: '1.0.0', fails: 'disable' }, settings({}));
    const result = await vm(['delete', 'Greeter']);
    expect(result.exitCode).toBe(1);
    expect(operationsOf(result)).toEqual(['disable 1.0.0 exit 4']);
    expect(result.stderr).toMatch(/error DELETE_FAILED: .*\n/);
    expect(await sequence()).toBe(0);
  });

  it('delete removes an extension whose update had failed, with what the failed version left', async () => {
    await set({ version: '1.0.0' }, settings({}));
    const failed = await set({ version: '1.1.0', fails: 'update' }, settings({}));
    expect(operationsOf(failed)).toEqual(['disable 1.0.0 exit 0', 'update 1.1.0 exit 4']);
    const result = await vm(['delete', 'Greeter']);
    expect(result).toMatchObject({ exitCode: 0, stdout: 'Deleted Greeter.\n' });
    expect(operationsOf(result)).toEqual(['uninstall 1.0.0 exit 0']);
    expect(readdirSync(join(folder, '.handlerkit/vm/root/var/lib/waagent')).join(' ')).not.toContain(
      'Greeter',
    );
  });

  it('reset leaves nothing, twice', async () => {
    const zip = await writeScriptExtension(folder, { version: '1.0.0' });
    await vm([
      'set',
      zip,
      '--isolation',
      'relocated',
      ...settings({ mode: 'slow', until: '/x' }),
      '--no-wait',
    ]);
    await rm(zip);
    expect((await vm(['reset'])).exitCode).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
    expect((await vm(['reset'])).exitCode).toBe(0);
  });

  it('says where the file lies that keeps a VM from being reset', async () => {
    await set({ version: '1.0.0' }, settings({}));
    const home = join(folder, '.handlerkit/vm');
    const mark = readFileSync(join(home, 'vm.json'));
    await writeFile(join(home, 'vm.json'), 'damaged');
    for (const words of [['reset'], ['list']]) {
      const result = await vm(words);
      expect(result.exitCode).toBe(1);
      expect(result.stderr).toContain(`error VM_FOLDER_DAMAGED: ${join(home, 'vm.json')} is damaged`);
      expect(result.stderr).toContain(`rm -r ${home}`);
    }
    await writeFile(join(home, 'vm.json'), mark);
  });

  it('names the path that cannot be a VM, also in the JSON document', async () => {
    await writeFile(join(folder, 'file'), 'x');
    const result = await vm(['list', '--json', '--vm', 'file']);
    expect(result.exitCode).toBe(1);
    expect(JSON.parse(result.stdout).error).toMatchObject({
      code: 'ENOTDIR',
      file: expect.stringContaining(join(folder, 'file')),
    });
  });

  it('never touches a folder that is no VM', async () => {
    await writeFile(join(folder, 'precious.txt'), 'x');
    for (const words of [['reset'], ['set', await writeScriptExtension(folder, { version: '1.0.0' })]]) {
      const result = await vm([...words, '--vm', '.']);
      expect(result.exitCode).toBe(1);
      expect(result.stderr).toContain('error VM_FOLDER_NOT_OURS: ');
      expect(result.stderr).toContain('Try: Name an empty folder, or one that does not exist: --vm DIR');
    }
    expect(readFileSync(join(folder, 'precious.txt'), 'utf8')).toBe('x');
  });
});
