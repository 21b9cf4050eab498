/** The generated script in real shells, with a stub `az` on PATH that writes down its words and its standard input. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useTestFolder } from '../fixtures/test-folder.ts';
import { formatArm } from './arm.ts';
import { formatAz } from './az.ts';
import type { Deployment } from './deployment.ts';
import { NASTY_SETTINGS, NASTY_TEXTS, sampleDeployment } from './fixtures/sample-deployment.ts';
import { PROTECTED_FILE } from './protected-file.ts';
import { formatPublisherRoute } from './publisher-route.ts';
import { quoteShell } from './shell-quote.ts';
import { formatVmApplication } from './vm-application.ts';
import { writeDeployFiles } from './write-files.ts';

const works = (...argv: string[]): boolean => spawnSync(argv[0] ?? '', argv.slice(1)).status === 0;
const shells = [['sh'], ['dash'], ['bash'], ['bash', '--posix'], ['busybox', 'sh']].filter((shell) =>
  works(...shell, '-c', 'true'),
);

let folder: string;
useTestFolder((made) => {
  folder = made;
  // One file per call, words ended by NUL; standard input beside it when the last word asks for it.
  writeFileSync(
    join(folder, 'az'),
    `#!/bin/sh
n=0
while [ -e "$AZ_RECORD/call.$n" ]; do n=$((n + 1)); done
for word; do printf '%s\\0' "$word"; done >"$AZ_RECORD/call.$n"
for word; do :; done
case $word in
  @-) cat >"$AZ_RECORD/input.$n" ;;
  tsv) case "$*" in *messag*) printf 'apt is locked\\n' ;; *) echo westeurope ;; esac ;;
esac
case " $* " in
  *" \${AZ_FAILS:-nothing} "*) exit 3 ;;
esac
`,
  );
  chmodSync(join(folder, 'az'), 0o755);
});

interface Call {
  readonly words: readonly string[];
  readonly input: string | undefined;
}

/** Runs a script from another folder than its own and gives the calls of `az`. */
function runScript(shell: readonly string[], script: string, env: Record<string, string> = {}) {
  const record = mkdtempSync(join(folder, 'record-'));
  const [program = '', ...rest] = shell;
  const result = spawnSync(program, [...rest, script], {
    cwd: '/',
    encoding: 'utf8',
    env: { PATH: `${folder}:${process.env.PATH}`, AZ_RECORD: record, HOME: '/expanded', ...env },
  });
  const inputs = readdirSync(record);
  const calls: Call[] = inputs
    .filter((name) => name.startsWith('call.'))
    .sort((a, b) => Number(a.slice(5)) - Number(b.slice(5)))
    .map((name) => ({
      words: readFileSync(join(record, name), 'utf8').split('\0').slice(0, -1),
      input: inputs.includes(name.replace('call', 'input'))
        ? readFileSync(join(record, name.replace('call', 'input')), 'utf8')
        : undefined,
    }));
  return { calls, status: result.status, stderr: result.stderr };
}

function written(deployment: Deployment): string {
  const out = mkdtempSync(join(folder, 'out-'));
  writeDeployFiles(formatAz(deployment, { group: 'web (1)', target: 'web1' }), { kind: 'folder', path: out });
  return out;
}

const option = ({ words }: Call, name: string): string | undefined => words[words.indexOf(name) + 1];
const first = (calls: readonly Call[]): Call => calls[0] ?? { words: [], input: undefined };
const SECRET = { password: 'Tr0ub4dor&3 \'"$x' };

describe.each(shells.map((shell) => ({ shell })))('in $shell', ({ shell }) => {
  it('every text comes out of its quotes as it went in', () => {
    const texts = NASTY_TEXTS.map((text) => text.replaceAll('\0', ''));
    const script = join(folder, 'words.sh');
    writeFileSync(script, `az ${texts.map(quoteShell).join(' ')} end`);
    expect(first(runScript(shell, script).calls).words).toEqual([...texts, 'end']);
  });

  it('az vm extension set gets the settings as they were given', () => {
    const out = written(sampleDeployment({ settings: NASTY_SETTINGS, enableAutomaticUpgrade: true }));
    const { calls, status, stderr } = runScript(shell, join(out, 'deploy.sh'));
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(calls).toHaveLength(1);
    const { words } = first(calls);
    expect(JSON.parse(words[words.indexOf('--settings') + 1] ?? '')).toEqual(NASTY_SETTINGS);
    expect(words.slice(0, -2)).toEqual([
      ...['vm', 'extension', 'set', '--resource-group', 'web (1)', '--vm-name', 'web1'],
      ...['--publisher', 'Contoso', '--name', 'Greeter', '--extension-instance-name', 'Greeter'],
      ...['--version', '1.0', '--no-auto-upgrade-minor-version', 'false', '--enable-auto-upgrade', 'true'],
    ]);
  });

  it('the REST interface gets what az has no option for, and the protected settings through a pipe', () => {
    const out = written(
      sampleDeployment({
        settings: NASTY_SETTINGS,
        protectedSettings: { kind: 'values', values: SECRET, file: undefined },
        forceUpdateTag: "tag 'one' $1",
        provisionAfter: ['A', 'B'],
        suppressFailures: true,
        timeoutMinutes: 10,
      }),
    );
    const { calls, status } = runScript(shell, join(out, 'deploy.sh'));
    expect(status).toBe(0);
    expect(calls.map(({ words }) => words.slice(0, 3).join(' '))).toEqual([
      'vm show --resource-group',
      'rest --method put',
      'vm extension wait',
    ]);
    const [, rest, wait] = calls;
    expect(JSON.parse(rest?.input ?? '')).toEqual({
      location: 'westeurope',
      properties: {
        publisher: 'Contoso',
        type: 'Greeter',
        typeHandlerVersion: '1.0',
        autoUpgradeMinorVersion: true,
        enableAutomaticUpgrade: false,
        suppressFailures: true,
        forceUpdateTag: "tag 'one' $1",
        provisionAfterExtensions: ['A', 'B'],
        settings: NASTY_SETTINGS,
        protectedSettings: SECRET,
      },
    });
    expect(rest && option(rest, '--url')).toBe(
      '/subscriptions/{subscriptionId}/resourceGroups/web%20(1)/providers/Microsoft.Compute/virtualMachines/web1/extensions/Greeter?api-version=2025-04-01',
    );
    expect(wait && option(wait, '--timeout')).toBe('900');
    expect(calls.flatMap(({ words }) => words).join()).not.toContain('Tr0ub4dor');
  });
});

const ODD_NAMES = [
  '@a=b',
  "it's",
  '"$HOME" `id`',
  '\\\\n',
  ' spaces  ',
  'one\ntwo\n',
  '~',
  '-x',
  'h\u00e9llo',
];

describe.each(shells.map((shell) => ({ shell })))('in $shell, protected settings', ({ shell }) => {
  it('reach az from a file whatever its path is, without its byte order mark', () => {
    const keep = join(folder, ...ODD_NAMES);
    mkdirSync(keep, { recursive: true });
    const file = join(keep, 'a=b.json');
    writeFileSync(file, `\ufeff${JSON.stringify({ ...SECRET, mark: 'a\ufeffb' }, null, 2)}`);
    const protectedSettings = { kind: 'values', values: SECRET, file } as const;
    for (const suppressFailures of [false, true]) {
      const out = written(sampleDeployment({ protectedSettings, suppressFailures, location: 'x' }));
      const { calls, status } = runScript(shell, join(out, 'deploy.sh'));
      expect(status).toBe(0);
      const input = JSON.parse(first(calls).input ?? '');
      const found = suppressFailures ? input.properties.protectedSettings : input;
      expect(found).toEqual({ ...SECRET, mark: 'a\ufeffb' });
      expect(calls.flatMap(({ words }) => words).join()).not.toContain(keep);
    }
  });
});

describe('the script for az', () => {
  it('names a file of mode 0600 for protected settings, beside itself or where the user keeps it', () => {
    const values = { kind: 'values', values: SECRET, file: undefined } as const;
    const out = written(sampleDeployment({ protectedSettings: values }));
    expect(statSync(join(out, PROTECTED_FILE)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(join(out, PROTECTED_FILE), 'utf8'))).toEqual(SECRET);
    expect(readFileSync(join(out, 'deploy.sh'), 'utf8')).not.toContain('Tr0ub4dor');
    const secretOf = (folder: string, env = {}): unknown =>
      JSON.parse(first(runScript(['sh'], join(folder, 'deploy.sh'), env).calls).input ?? '');
    expect(secretOf(out)).toEqual(SECRET);

    const file = join(folder, 'own.json');
    writeFileSync(file, '{"own":1}');
    const own = written(sampleDeployment({ protectedSettings: { ...values, file } }));
    expect(readdirSync(own)).toEqual(['deploy.sh']);
    expect(secretOf(own)).toEqual({ own: 1 });
    expect(secretOf(own, { PROTECTED_SETTINGS_FILE: join(out, PROTECTED_FILE) })).toEqual(SECRET);
  });

  it('ends before anything happens when that file is missing', () => {
    const out = written(
      sampleDeployment({ protectedSettings: { kind: 'values', values: SECRET, file: '/nowhere/x.json' } }),
    );
    const { calls, status, stderr } = runScript(['sh'], join(out, 'deploy.sh'));
    expect(calls).toEqual([]);
    expect(status).toBe(2);
    expect(stderr).toContain('/nowhere/x.json');
    const aFolder = runScript(['sh'], join(out, 'deploy.sh'), { PROTECTED_SETTINGS_FILE: folder });
    expect(aFolder).toMatchObject({ calls: [], status: 2 });
  });

  it.each<[string, Partial<Deployment>, string]>([
    ['a machine', {}, '[statuses, substatuses][].message'],
    ['a scale set', { target: { kind: 'scale-set', name: 'web1' } }, "[?name=='Greeter']"],
  ])('says why the extension failed on %s, which the wait does not', (_title, changes, query) => {
    const out = written(sampleDeployment({ suppressFailures: true, ...changes }));
    const { calls, status, stderr } = runScript(['sh'], join(out, 'deploy.sh'), { AZ_FAILS: 'wait' });
    expect(status).toBe(1);
    expect(stderr).toContain('Greeter has not succeeded. Its instance view says:\napt is locked\n');
    const [wait, show] = calls.slice(-2);
    expect(wait?.words).toContain('wait');
    expect(show?.words.join(' ')).toMatch(/^(vm extension show .* --instance-view|vmss get-instance-view) /);
    expect(show && option(show, '--query')).toContain(query);
  });

  it('ends with an error when az refuses the protected settings', () => {
    const values = { kind: 'values', values: SECRET, file: undefined } as const;
    const out = written(sampleDeployment({ protectedSettings: values }));
    expect(runScript(['sh'], join(out, 'deploy.sh'), { AZ_FAILS: 'set' }).status).toBe(3);
  });

  it('refers to a key vault in the request', () => {
    const reference = {
      kind: 'key-vault',
      secretUrl: 'https://v.vault.azure.net/secrets/s',
      vaultId: '/subscriptions/1',
    } as const;
    const out = written(sampleDeployment({ protectedSettings: reference, location: 'northeurope' }));
    const { calls } = runScript(['sh'], join(out, 'deploy.sh'));
    expect(JSON.parse(first(calls).input ?? '')).toMatchObject({
      location: 'northeurope',
      properties: {
        protectedSettingsFromKeyVault: {
          secretUrl: reference.secretUrl,
          sourceVault: { id: reference.vaultId },
        },
      },
    });
  });

  it('sets a scale set and gives its extensions the time that they need', () => {
    const target = { kind: 'scale-set', name: 'web1' } as const;
    const out = written(sampleDeployment({ target, provisionAfter: ['A', 'B'] }));
    const { calls, status } = runScript(['sh'], join(out, 'deploy.sh'));
    expect(status).toBe(0);
    const words = first(calls).words;
    expect(words.slice(0, 3)).toEqual(['vmss', 'extension', 'set']);
    expect(
      words.slice(words.indexOf('--provision-after-extensions') + 1, words.indexOf('--settings')),
    ).toEqual(['A', 'B']);
    expect(calls[1]?.words.slice(-2)).toEqual([
      '--set',
      'virtualMachineProfile.extensionProfile.extensionsTimeBudget=PT95M',
    ]);
    const rest = written(sampleDeployment({ target, suppressFailures: true }));
    const [put] = runScript(['sh'], join(rest, 'deploy.sh')).calls;
    expect(JSON.parse(put?.input ?? '')).toMatchObject({ properties: { suppressFailures: true } });
    expect(put && option(put, '--url')).toContain('/virtualMachineScaleSets/web1/extensions/Greeter?');
  });

  it('sends settings that are too long for an argument through the pipe', () => {
    const settings = { script: 'x'.repeat(200_000) };
    const { calls, status } = runScript(['sh'], join(written(sampleDeployment({ settings })), 'deploy.sh'));
    expect(status).toBe(0);
    expect(JSON.parse(calls[1]?.input ?? '')).toMatchObject({ properties: { settings } });
  });
});

describe.runIf(works('shellcheck', '--version'))('shellcheck finds nothing in', () => {
  const secret = { kind: 'values', values: {}, file: undefined } as const;
  const scaleSet = { kind: 'scale-set', name: undefined } as const;
  const machine = { kind: 'machine', name: undefined } as const;
  const names = { group: 'g', target: 't' };
  const texts = {
    label: 'x',
    description: 'x',
    company: undefined,
    eula: undefined,
    privacy: undefined,
    homepage: undefined,
    architectures: [],
  };
  const unknown = { target: machine, resourceGroup: undefined };
  it.each([
    ['az', formatAz(sampleDeployment({ protectedSettings: secret }), names)],
    ['az rest', formatAz(sampleDeployment({ protectedSettings: secret, suppressFailures: true }), names)],
    ['az vmss', formatAz(sampleDeployment({ target: scaleSet }), names)],
    ['arm', formatArm(sampleDeployment({ ...unknown, protectedSettings: secret }))],
    ['vmss-arm', formatArm(sampleDeployment({ target: scaleSet }))],
    ['vm-application', formatVmApplication(sampleDeployment({ ...unknown, settings: { a: 1 } }))],
    ['vm-application vmss', formatVmApplication(sampleDeployment({ target: scaleSet, location: 'x' }))],
    ['shared-extension', formatPublisherRoute(sampleDeployment(unknown), texts)],
  ])('the script of %s', (_name, files) => {
    const scripts = files.filter(({ name }) => name.endsWith('.sh'));
    expect(scripts).toHaveLength(1);
    for (const { text } of scripts) {
      expect(spawnSync('shellcheck', ['-'], { input: text, encoding: 'utf8' }).stdout).toBe('');
    }
  });
});

describe('the other scripts', () => {
  it('publish a VM Application with commands and addresses in one piece', () => {
    const out = mkdtempSync(join(folder, 'out-'));
    const deployment = sampleDeployment({ settings: { a: 1 }, location: 'westeurope' });
    writeDeployFiles(formatVmApplication(deployment), { kind: 'folder', path: out });
    const link = 'https://x.blob.core.windows.net/c/p.tar.gz?sv=1&sig=a%2Fb';
    const env = { GALLERY: 'g', PACKAGE_LINK: link, CONFIG_LINK: 'https://c' };
    const { calls, status, stderr } = runScript(['sh'], join(out, 'publish.sh'), env);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(calls.map(({ words }) => words.slice(0, 4).join(' '))).toEqual([
      'sig gallery-application create --resource-group',
      'sig gallery-application version create',
      'sig gallery-application version show',
      'vm application set --resource-group',
    ]);
    const version = calls[1] ?? first(calls);
    expect(option(version, '--package-file-link')).toBe(link);
    expect(option(version, '--install-command')).toBe(
      'tar -xzf Contoso.Greeter-1.0.0.tar.gz && sh ./application.sh install',
    );
    expect(option(calls[3] ?? version, '--app-version-ids')).toBe('westeurope');
    expect(runScript(['sh'], join(out, 'publish.sh')).stderr).toContain('GALLERY');
  });

  it.each<[string, string | undefined, Record<string, string>, readonly [string, string]]>([
    ['the machine and the gallery in one group', 'web (1)', {}, ['web (1)', 'web (1)']],
    ['a gallery in another group', 'web', { GALLERY_RESOURCE_GROUP: 'shared' }, ['shared', 'web']],
    ['one group said to the script', undefined, { RESOURCE_GROUP: 'all' }, ['all', 'all']],
    [
      'two groups said to the script',
      undefined,
      { RESOURCE_GROUP: 'web', GALLERY_RESOURCE_GROUP: 'shared' },
      ['shared', 'web'],
    ],
  ])('set a VM Application from %s', (_title, resourceGroup, groups, [gallery, machine]) => {
    const out = mkdtempSync(join(folder, 'out-'));
    const deployment = sampleDeployment({ resourceGroup, location: 'westeurope' });
    writeDeployFiles(formatVmApplication(deployment), { kind: 'folder', path: out });
    const env = { GALLERY: 'g', PACKAGE_LINK: 'https://p', ...groups };
    const { calls, status } = runScript(['sh'], join(out, 'publish.sh'), env);
    expect(status).toBe(0);
    const found = calls.map((call) => option(call, '--resource-group'));
    expect(found).toEqual([gallery, gallery, gallery, machine]);
  });

  it('hand the address of a package to az through a pipe', () => {
    const out = mkdtempSync(join(folder, 'out-'));
    const texts = {
      label: 'Greeter',
      description: '[x]',
      company: 'Contoso',
      eula: undefined,
      privacy: 'https://p',
      homepage: undefined,
      architectures: ['x64' as const],
    };
    const files = formatPublisherRoute(sampleDeployment({}), texts);
    writeDeployFiles(files, { kind: 'folder', path: out });
    const link = 'https://x/p.zip?sig=a%2Fb&x=1';
    const { calls, status } = runScript(['sh'], join(out, 'publish.sh'), { MEDIA_LINK: link });
    expect(status).toBe(0);
    expect(JSON.parse(first(calls).input ?? '')).toEqual({ mediaLink: { value: link } });
    const template = JSON.parse(files[0]?.text ?? '');
    expect(template.resources).toMatchObject([
      {
        type: 'Microsoft.Compute/sharedVMExtensions',
        name: 'Contoso.Greeter',
        properties: {
          identifier: { publisher: 'Contoso', type: 'Greeter' },
          label: 'Greeter',
          description: '[[x]',
          companyName: 'Contoso',
          privacyUri: 'https://p',
        },
      },
      {
        type: 'Microsoft.Compute/sharedVMExtensions/versions',
        name: 'Contoso.Greeter/1.0.0',
        properties: {
          mediaLink: "[parameters('mediaLink')]",
          computeRole: 'IaaS',
          supportedOS: 'Linux',
          supportedArchitectures: ['x64'],
          configuration: { isJsonExtension: true },
        },
      },
    ]);
    expect(template.parameters.mediaLink.type).toBe('securestring');
    expect(template.resources[0].properties).not.toHaveProperty('eula');
  });
});
