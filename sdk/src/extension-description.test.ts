import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { parseExtensionDescription } from './extension-description.ts';

const minimal = { publisher: 'Contoso.Samples', type: 'Greeter', version: '1.0.0' };

it('fills in every default', () => {
  expect(parseExtensionDescription(minimal, 'extension.json')).toEqual({
    ...minimal,
    label: 'Greeter',
    description: 'Greeter',
    entry: 'src/main.ts',
    dataFolder: 'Contoso.Samples.Greeter.data',
    enable: { detached: false, timeoutMinutes: 90, rerun: 'once-per-sequence', onInterrupted: 'fail' },
    manifest: {
      updateMode: 'UpdateWithInstall',
      reportHeartbeat: false,
      continueOnUpdateFailure: false,
      supportsMultipleExtensions: false,
      supportsPolicy: false,
    },
    runtime: 'bun',
    architectures: ['x64', 'arm64'],
    files: [],
    company: undefined,
    eula: undefined,
    privacy: undefined,
    homepage: undefined,
  });
});

it('takes what the file says in place of the defaults', () => {
  const text = {
    ...minimal,
    $schema: './anything',
    label: 'Says hello',
    entry: 'lib/start.ts',
    dataFolder: 'greeter',
    enable: { detached: true, timeoutMinutes: 0.5, rerun: 'always', onInterrupted: 'rerun' },
    manifest: { updateMode: 'UpdateWithoutInstall', reportHeartbeat: true },
    architectures: ['arm64'],
    files: ['resources/**'],
    company: 'Contoso',
    homepage: 'https://contoso.example/greeter',
  };
  expect(parseExtensionDescription(text, 'extension.json')).toMatchObject({
    label: 'Says hello',
    description: 'Says hello',
    entry: 'lib/start.ts',
    dataFolder: 'greeter',
    enable: { detached: true, timeoutMinutes: 0.5, rerun: 'always', onInterrupted: 'rerun' },
    manifest: { updateMode: 'UpdateWithoutInstall', reportHeartbeat: true, supportsPolicy: false },
    architectures: ['arm64'],
    files: ['resources/**'],
    company: 'Contoso',
    homepage: 'https://contoso.example/greeter',
  });
});

it("reads Custom Script's description", async () => {
  const file = new URL('../../extensions/custom-script/extension.json', import.meta.url);
  const description = parseExtensionDescription(JSON.parse(await readFile(file, 'utf8')), 'extension.json');
  expect(description).toMatchObject({ type: 'CustomScript', dataFolder: 'custom-script' });
});

it.each<[unknown, string]>([
  [null, 'must be an object, but is null'],
  [[], 'must be an object, but is an array'],
  [{ ...minimal, publisher: undefined }, 'publisher is missing'],
  [{ ...minimal, publisher: 'Contoso-Samples' }, 'publisher must be letters'],
  [{ ...minimal, publisher: 'Contoso..Samples' }, 'publisher must be letters'],
  [{ ...minimal, type: 'My_Type' }, 'type must be letters'],
  [{ ...minimal, type: '../x' }, 'type must be letters'],
  [{ ...minimal, type: 'A'.repeat(101) }, 'type must be letters'],
  [{ ...minimal, version: 1 }, 'version must be a string, but is a number'],
  [{ ...minimal, version: 'v1' }, 'version must be whole numbers'],
  [{ ...minimal, version: '1.0-beta1' }, 'version must be whole numbers'],
  [{ ...minimal, version: `1.${'0'.repeat(300)}` }, 'version is too long'],
  [{ ...minimal, entry: '/etc/passwd' }, 'entry must be a path inside'],
  [{ ...minimal, entry: 'src/../../main.ts' }, 'entry must be a path inside'],
  [{ ...minimal, files: ['ok/**', '../secrets'] }, 'files[1] must be a path inside'],
  [{ ...minimal, dataFolder: '..' }, 'dataFolder must be one folder name'],
  [{ ...minimal, dataFolder: 'a/b' }, 'dataFolder must be one folder name'],
  [{ ...minimal, dataFolder: 'greeter-1.0' }, 'dataFolder must not look like a handler'],
  [{ ...minimal, enable: true }, 'enable must be an object, but is a boolean'],
  [{ ...minimal, enable: { timeoutMinutes: 0 } }, 'enable.timeoutMinutes must be more than 0'],
  [{ ...minimal, enable: { timeoutMinutes: 40_000 } }, 'enable.timeoutMinutes must be more than 0'],
  [{ ...minimal, enable: { detached: 'true' } }, 'enable.detached must be true or false'],
  [{ ...minimal, enable: { rerun: 'sometimes' } }, 'enable.rerun must be one of once-per-sequence, always'],
  [{ ...minimal, manifest: { updateMode: 'x' } }, 'manifest.updateMode must be one of'],
  [{ ...minimal, manifest: { reportHeartbeat: true } }, 'manifest.reportHeartbeat needs a daemon'],
  [
    { ...minimal, enable: { rerun: 'always' }, manifest: { reportHeartbeat: true } },
    'manifest.reportHeartbeat needs a daemon',
  ],
  [
    {
      ...minimal,
      enable: { detached: true, rerun: 'always' },
      manifest: { reportHeartbeat: true, supportsMultipleExtensions: true },
    },
    'manifest.reportHeartbeat cannot be combined with supportsMultipleExtensions',
  ],
  [{ ...minimal, runtime: 'deno' }, 'runtime must be one of bun, node'],
  [{ ...minimal, architectures: [] }, 'architectures must name at least one'],
  [{ ...minimal, architectures: ['x64', 'x64'] }, 'architectures must name at least one'],
  [{ ...minimal, architectures: ['x86'] }, 'architectures[0] must be one of x64, arm64'],
  [{ ...minimal, homepage: 'javascript:alert(1)' }, 'homepage must be a web address'],
  [{ ...minimal, dataFoldr: 'x' }, 'dataFoldr is not a known key; did you mean "dataFolder"?'],
  [
    { ...minimal, enable: { detatched: true } },
    'enable.detatched is not a known key; did you mean "detached"?',
  ],
  [{ ...minimal, lable: 'x' }, 'lable is not a known key; did you mean "label"?'],
  [{ ...minimal, author: 'me' }, 'author is not a known key; known are $schema, publisher'],
])('refuses %j: %s', (value, reason) => {
  expect(() => parseExtensionDescription(value, 'extension.json')).toThrow(`extension.json: ${reason}`);
});
