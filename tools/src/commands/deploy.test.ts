import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCli } from '../fixtures/run-cli.ts';
import { writeScriptExtension } from '../fixtures/script-extension.ts';
import { useTestFolder } from '../fixtures/test-folder.ts';

let folder: string;
let zip: string;
useTestFolder(async (made) => {
  folder = made;
  zip = await writeScriptExtension(folder, { version: '1.2.3' });
});

const deploy = (...words: string[]) => runCli(['deploy', zip, ...words], { cwd: folder });
const AZ = ['--format', 'az', '--vm', 'web1', '--resource-group', 'web'];
const VAULT =
  'https://v.vault.azure.net/secrets/s,/subscriptions/1/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v';

describe('handlerkit deploy', () => {
  it('prints the main file of a format and nothing else on stdout', async () => {
    const { exitCode, stdout, stderr } = await deploy(...AZ, '--settings', '{"a":1}');
    expect(stderr).toBe('');
    expect(stdout).toContain('--settings \'{"a":1}\'');
    expect(stdout.startsWith('#!/bin/sh\n')).toBe(true);
    expect(exitCode).toBe(0);
  });

  it('knows an extension by the folder, too, with the time that it takes', async () => {
    mkdirSync(join(folder, 'project/src'), { recursive: true });
    writeFileSync(join(folder, 'project/src/main.ts'), '');
    const description = { publisher: 'A', type: 'B', version: '2.5.1', enable: { timeoutMinutes: 10 } };
    writeFileSync(join(folder, 'project/extension.json'), JSON.stringify(description));
    const { stdout } = await runCli(['deploy', 'project', '--format', 'terraform'], { cwd: folder });
    expect(stdout).toContain('type_handler_version        = "2.5"');
    expect(stdout).toContain('create = "15m"');
  });

  it('never prints protected settings, and writes them to a file of mode 0600 only', async () => {
    const words = ['--protected-settings', '{"password":"canary"}', '--settings', '{"a":1}'];
    for (const format of ['az', 'powershell', 'arm', 'bicep', 'terraform', 'vmss-arm']) {
      const target = format === 'vmss-arm' ? '--vmss' : '--vm';
      const common = ['--format', format, target, 't', '--resource-group', 'g', ...words];
      const printed = await deploy(...common);
      expect(printed).toMatchObject({ exitCode: 0 });
      expect(printed.stdout + printed.stderr).not.toContain('canary');
      const asJson = await deploy(...common, '--json');
      expect(asJson.stdout).not.toContain('canary');
      expect(JSON.parse(asJson.stdout)).toMatchObject({ format, warnings: [] });

      const out = join(folder, format);
      const { stdout } = await deploy(...common, '--out', format);
      expect(stdout.trim().split('\n').sort()).toEqual(
        readdirSync(out)
          .map((name) => `${format}/${name}`)
          .sort(),
      );
      const holders = readdirSync(out).filter((name) =>
        readFileSync(join(out, name), 'utf8').includes('canary'),
      );
      expect(holders).toHaveLength(1);
      for (const name of readdirSync(out)) {
        const mode = statSync(join(out, name)).mode & 0o777;
        expect(mode).toBe(holders.includes(name) ? 0o600 : name.endsWith('.sh') ? 0o755 : 0o644);
      }
    }
  });

  it('writes one file where --out is named like it, and says that the secret is not in it', async () => {
    const { exitCode, stdout, stderr } = await deploy(
      ...AZ,
      '--protected-settings',
      '{"password":"canary"}',
      '--out',
      'new/set-greeter.sh',
    );
    expect(exitCode).toBe(0);
    expect(stdout).toBe('new/set-greeter.sh\n');
    expect(readdirSync(join(folder, 'new'))).toEqual(['set-greeter.sh']);
    expect(stderr).toContain('protected-settings.json');
  });

  it('warns of a file with protected settings that others can read, and of no other one', async () => {
    writeFileSync(join(folder, 'secret.json'), '{"password":"canary"}', { mode: 0o644 });
    const words = [...AZ, '--protected-settings', '@secret.json'];
    const open = await deploy(...words, '--json');
    expect(JSON.parse(open.stdout).warnings).toEqual([
      expect.stringMatching(/secret\.json .*mode 0644.*chmod 600 \/.*secret\.json$/),
    ]);
    chmodSync(join(folder, 'secret.json'), 0o600);
    const closed = await deploy(...words, '--json');
    expect(JSON.parse(closed.stdout).warnings).toEqual([]);
    expect(closed.stdout).toContain(join(folder, 'secret.json'));
  });

  it('counts a name that the extension is to wait for once', async () => {
    const { stdout } = await deploy('--format', 'arm', '--provision-after', 'B, A ,b,,A');
    expect(JSON.parse(stdout).resources[0].properties.provisionAfterExtensions).toEqual(['B', 'A']);
  });

  it.each<[string, readonly string[], string | undefined]>([
    ['az', ['--vm', 'v', '--resource-group', 'g'], 'sh out/deploy.sh'],
    ['powershell', ['--vm', 'v', '--resource-group', 'g'], 'pwsh -File out/deploy.ps1'],
    ['bicep', [], 'sh out/deploy.sh'],
    ['terraform', [], 'terraform -chdir=out init && terraform -chdir=out apply -var subscription_id=ID'],
    ['shared-extension', [], 'sh out/publish.sh'],
  ])('says what comes next for %s', async (format, words, command) => {
    const { stderr } = await deploy('--format', format, ...words, '--out', 'out/');
    expect(stderr).toContain(`Next: ${command}`);
  });

  it.each<[string, string, readonly string[]]>([
    ['v1.2', 'arm', ['azuredeploy.json', 'azuredeploy.parameters.json', 'deploy.sh']],
    ['conf.d/', 'arm', ['azuredeploy.json', 'azuredeploy.parameters.json', 'deploy.sh']],
    ['greeter-1.2.3', 'vm-application', ['Contoso.Greeter-1.2.3.tar.gz', 'publish.sh', 'settings.json']],
  ])('takes --out %s for a folder', async (out, format, names) => {
    expect((await deploy('--format', format, '--out', out)).exitCode).toBe(0);
    expect(readdirSync(join(folder, out)).sort()).toEqual(names);
  });

  it('leaves a file of another kind alone', async () => {
    writeFileSync(join(folder, 'notes'), 'mine');
    const { exitCode, stderr } = await deploy('--format', 'arm', '--out', 'notes');
    expect(stderr).toContain('is a file already');
    expect(exitCode).toBe(2);
    expect(readFileSync(join(folder, 'notes'), 'utf8')).toBe('mine');
  });

  it('gives the same bytes for the same input', async () => {
    for (const out of ['one', 'two']) {
      await deploy('--format', 'vm-application', '--settings', '{"a":1}', '--out', out);
    }
    const names = readdirSync(join(folder, 'one')).sort();
    expect(names).toEqual(['Contoso.Greeter-1.2.3.tar.gz', 'publish.sh', 'settings.json']);
    expect(readdirSync(join(folder, 'two')).sort()).toEqual(names);
    for (const name of names) {
      expect(readFileSync(join(folder, 'one', name)).equals(readFileSync(join(folder, 'two', name)))).toBe(
        true,
      );
    }
  });

  it('warns of public settings that look like secrets, without their values', async () => {
    const settings = { fileUris: ['https://x/y?sv=1&sig=canary'], storageAccountKey: 'canary', timeout: 'x' };
    const { stderr, exitCode } = await deploy(...AZ, '--settings', JSON.stringify(settings));
    expect(exitCode).toBe(0);
    expect(stderr.match(/warning/g)).toHaveLength(2);
    expect(stderr).toContain('--settings.fileUris[0]');
    expect(stderr).toContain('--settings.storageAccountKey');
    expect(stderr).not.toContain('canary');
  });

  it('reads what a package says of itself for the publisher route', async () => {
    const { stdout } = await deploy('--format', 'shared-extension');
    expect(JSON.parse(stdout).resources[1].name).toBe('Contoso.Greeter/1.2.3');
  });

  it.each<[readonly string[], string]>([
    [['--format', 'chef'], 'One of: az, powershell'],
    [[], 'format'],
    [['--format', 'az', '--resource-group', 'g'], 'needs to know the virtual machine'],
    [['--format', 'powershell', '--vm', 'v'], 'needs to know the resource group'],
    [['--format', 'arm', '--vmss', 'v'], 'is for a virtual machine'],
    [['--format', 'vmss-arm', '--vm', 'v'], 'is for a scale set'],
    [['--format', 'bicep', '--vm', 'v', '--vmss', 'w'], '--vm and --vmss'],
    [
      ['--format', 'vm-application', '--out', 'x', '--protected-settings', '{"a":"canary"}'],
      'cannot carry protected',
    ],
    [
      ['--format', 'vm-application', '--out', 'x', '--force-update-tag', '1'],
      'cannot carry --force-update-tag',
    ],
    [['--format', 'vm-application'], 'archive'],
    [['--format', 'shared-extension', '--settings', '{}'], 'cannot carry settings'],
    [
      ['--format', 'shared-extension', '--protected-settings-from-key-vault', VAULT],
      'cannot carry protected',
    ],
    [['--format', 'arm', '--settings', '[1]'], 'must be a JSON object'],
    [['--format', 'arm', '--settings', '{canary'], 'not valid JSON'],
    [['--format', 'arm', '--settings', '{"a":{"b":"\\ud800"}}'], '--settings.a.b'],
    [
      ['--format', 'arm', '--settings', '{"a":1}', '--protected-settings', '{"a":"canary"}'],
      '"a" is in the settings',
    ],
    [
      ['--format', 'arm', '--protected-settings', '{}', '--protected-settings-from-key-vault', VAULT],
      'at once',
    ],
    [['--format', 'arm', '--protected-settings-from-key-vault', 'canary'], 'has no comma'],
    [
      ['--format', 'arm', '--protected-settings-from-key-vault', 'https://v/canary,/x'],
      "no secret's address",
    ],
    [
      ['--format', 'arm', '--protected-settings-from-key-vault', 'https://v.x/secrets/s,canary'],
      "no vault's",
    ],
    [['--format', 'arm', '--name', 'a/b'], '--name'],
    [['--format', 'arm', '--vm', "x'; rm"], '--vm'],
    [['--format', 'arm', '--resource-group=-x'], '--resource-group'],
    [['--format', 'arm', '--vm'], 'The option --vm needs a value'],
    [['--format', 'arm', '--location', '[x]'], '--location'],
    [['--format', 'arm', '--provision-after', 'a,b c'], '--provision-after'],
    [['--format', 'arm', '--force-update-tag', 'a\nb'], '--force-update-tag'],
    [['--format', 'arm', '--provision-after', 'A,greeter'], '"greeter", which is the extension itself'],
    [['--format', 'arm', '--name', 'One', '--provision-after', 'one'], 'the extension itself'],
    [['--format', 'arm', '--provision-after', ' ,'], 'has no name'],
    [
      ['--format', 'arm', '--settings', '{"a":[{"id":9007199254740993}]}'],
      '--settings holds a number at .a[0].id',
    ],
    [['--format', 'arm', '--protected-settings', '{"a":12345678901234567890}'], 'lose digits'],
    [['--format', 'arm', '--out', 'x.yaml'], 'no .yaml file'],
    [['--format', 'terraform', '--out', 'x.sh'], 'such as --out main.tf'],
    [['--format', 'vm-application', '--out', 'x.sh'], 'with a slash at its end'],
  ])('refuses %j', async (words, message) => {
    const { exitCode, stdout, stderr } = await deploy(...words);
    expect(stderr).toContain(message);
    expect(stderr).toContain('WRONG_USAGE');
    expect(stderr).not.toContain('canary');
    expect(stdout).toBe('');
    expect(exitCode).toBe(2);
    expect(readdirSync(folder)).toEqual(['greeter-1.2.3-first.zip']);
  });

  it.each<[string, readonly string[], string]>([
    ['a file that is no zip', ['--format', 'arm'], 'NOT_A_PACKAGE'],
    [
      'a tag that Terraform has no word for',
      ['--format', 'terraform', '--force-update-tag', '1'],
      'OPTION_NOT_CARRIED',
    ],
  ])('fails for %s', async (title, words, code) => {
    if (title.includes('zip')) writeFileSync(zip, 'x');
    const { exitCode, stdout } = await deploy(...words, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code } });
    expect(exitCode).toBe(1);
  });
});
