import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ZipFile } from 'yazl';
import { parsePackageFile, parsePublisherManifest, readPackageIdentity } from './package-identity.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'handlerkit-identity-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const MANIFEST =
  '<?xml version="1.0"?><ExtensionImage><!-- <Type>No</Type> --><ProviderNameSpace>Contoso.Samples</ProviderNameSpace><Type a="b"> Greeter </Type><Version>1.2.3</Version></ExtensionImage>';
const IDENTITY = { publisher: 'Contoso.Samples', type: 'Greeter', version: '1.2.3' };

async function writeZip(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const zip = new ZipFile();
  for (const [path, text] of Object.entries(files)) zip.addBuffer(Buffer.from(text), path);
  zip.end();
  const chunks: Buffer[] = [];
  for await (const chunk of zip.outputStream) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  await writeFile(join(folder, name), Buffer.concat(chunks));
  return join(folder, name);
}

describe('which extension a package is', () => {
  it('is read from its manifest.xml, whatever the file is called', async () => {
    const file = await writeZip('Other.Name-9.9.9.zip', { 'manifest.xml': MANIFEST, 'bin/handler': 'x' });
    expect(await readPackageIdentity(file, {})).toEqual(IDENTITY);
  });

  it.each([
    ['"true"', true, 'the text that the agent takes for true'],
    ['true', true, 'true'],
    ['false', false, 'false'],
    ['1', false, 'no boolean'],
  ])(
    'comes with what its handler manifest says of several configurations: %s, %s',
    async (value, expected) => {
      const handler = `[{"version": 1.0, "handlerManifest": {"supportsMultipleExtensions": ${value}}}]`;
      const files = { 'manifest.xml': MANIFEST, 'HandlerManifest.json': handler };
      const identity = await readPackageIdentity(await writeZip('a.zip', files), {});
      expect(identity).toEqual(expected ? { ...IDENTITY, supportsMultiple: true } : IDENTITY);
    },
  );

  it('does not depend on a handler manifest that nobody can read', async () => {
    const files = { 'manifest.xml': MANIFEST, 'HandlerManifest.json': 'no JSON' };
    expect(await readPackageIdentity(await writeZip('a.zip', files), {})).toEqual(IDENTITY);
  });

  it('is what the user says, where the user says it', async () => {
    const file = await writeZip('a.zip', { 'manifest.xml': MANIFEST });
    expect(await readPackageIdentity(file, { version: '2.0' })).toEqual({ ...IDENTITY, version: '2.0' });
    const bare = await writeZip('b.zip', { x: 'x' });
    expect(await readPackageIdentity(bare, IDENTITY)).toEqual(IDENTITY);
  });

  it('is read as the agent reads the package, which merely trims a name that climbs', async () => {
    const file = await writeZip('a.zip', { 'xx/xx/climbs': 'x', 'xx/manifest.xml': MANIFEST });
    const bytes = await readFile(file, 'latin1');
    await writeFile(file, bytes.replaceAll('xx/', '../'), 'latin1');
    expect(await readPackageIdentity(file, {})).toMatchObject(IDENTITY);
  });

  it('is the file name where there is no manifest.xml', async () => {
    const file = await writeZip('Contoso.Samples.Greeter-1.2.3.zip', { x: 'x' });
    expect(await readPackageIdentity(file, {})).toEqual(IDENTITY);
  });

  it.each([
    ['nothing says it', 'a.zip', { x: 'x' }, {}, 'PACKAGE_UNNAMED'],
    ['its manifest.xml has no version', 'a.zip', { 'manifest.xml': '<Type>x</Type>' }, {}, 'PACKAGE_UNNAMED'],
    ['the manifest.xml is in a folder', 'a.zip', { 'x/manifest.xml': MANIFEST }, {}, 'PACKAGE_UNNAMED'],
    ['the name would be a path', 'a.zip', { x: 'x' }, { ...IDENTITY, type: '../x' }, 'WRONG_USAGE'],
    ['the name has a dash', 'a.zip', { x: 'x' }, { ...IDENTITY, type: 'a-1' }, 'WRONG_USAGE'],
    ['the version is none', 'a.zip', { x: 'x' }, { ...IDENTITY, version: 'latest' }, 'WRONG_USAGE'],
  ])('is an error when %s', async (_, name, files, stated, code) => {
    const file = await writeZip(name, files);
    await expect(readPackageIdentity(file, stated)).rejects.toMatchObject({ code, hint: expect.any(String) });
  });

  it('is an error for a file that is no zip, or none', async () => {
    const text = join(folder, 'a.zip');
    await writeFile(text, 'this is no zip');
    await expect(readPackageIdentity(text, {})).rejects.toMatchObject({ code: 'NOT_A_PACKAGE', file: text });
    await expect(readPackageIdentity(join(folder, 'no.zip'), {})).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each([
    ['Contoso.Greeter-1.0.zip', { publisher: 'Contoso', type: 'Greeter', version: '1.0' }],
    ['Contoso.A.B-1.2.3.ZIP', { publisher: 'Contoso.A', type: 'B', version: '1.2.3' }],
    ['Greeter-1.0.zip', undefined],
    ['Contoso.Greeter.zip', undefined],
    ['Contoso.Greeter-1.0.tar', undefined],
    ['.Greeter-1.0.zip', undefined],
  ])('reads the file name %s', (name, identity) => {
    expect(parsePackageFile(name)).toEqual(identity);
  });

  it('reads entities and prefixes in a manifest.xml', () => {
    const text = '<e:ProviderNameSpace>A&amp;B</e:ProviderNameSpace><Type>T</Type><Version>1</Version>';
    expect(parsePublisherManifest(text)).toEqual({ publisher: 'A&B', type: 'T', version: '1' });
  });
});
