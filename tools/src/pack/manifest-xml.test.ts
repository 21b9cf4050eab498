import { execFileSync } from 'node:child_process';
import { parseExtensionDescription } from '@handlerkit/sdk';
import { expect, it } from 'vitest';
import { formatPublisherManifest } from './manifest-xml.ts';

const describeExtension = (more: object) =>
  parseExtensionDescription(
    { publisher: 'Contoso', type: 'Greeter', version: '1.2.3', ...more },
    'extension.json',
  );

/** Element names and texts in order, as Python's parser reads them. */
function read(xml: string): unknown {
  const script =
    'import sys,json,xml.etree.ElementTree as E; print(json.dumps([[e.tag.split("}")[1], e.text] for e in E.fromstring(sys.stdin.buffer.read())]))';
  return JSON.parse(execFileSync('python3', ['-c', script], { input: xml, encoding: 'utf8' }));
}

it('puts the elements into the order of the published extensions', () => {
  const xml = formatPublisherManifest(
    describeExtension({
      label: 'Greets',
      company: 'Contoso',
      eula: 'https://contoso.example/eula',
      privacy: 'https://contoso.example/privacy',
      homepage: 'https://contoso.example/?a=1&b=2',
    }),
  );
  expect(read(xml)).toEqual([
    ['ProviderNameSpace', 'Contoso'],
    ['Type', 'Greeter'],
    ['Version', '1.2.3'],
    ['Label', 'Greets'],
    ['HostingResources', 'VmRole'],
    ['MediaLink', null],
    ['Description', 'Greets'],
    ['IsInternalExtension', 'true'],
    ['Eula', 'https://contoso.example/eula'],
    ['PrivacyUri', 'https://contoso.example/privacy'],
    ['HomepageUri', 'https://contoso.example/?a=1&b=2'],
    ['IsJsonExtension', 'true'],
    ['SupportedOS', 'Linux'],
    ['CompanyName', 'Contoso'],
  ]);
});

it('survives any text in label and description', () => {
  const description = '<b>&amp;</b> ]]> "quotes" \u0001\u000b \ud800 caf\u00e9 \u{1f600}';
  const xml = formatPublisherManifest(describeExtension({ description, label: '<' }));
  expect(read(xml)).toEqual(
    expect.arrayContaining([
      ['Label', '<'],
      ['Description', '<b>&amp;</b> ]]> "quotes" \ufffd\ufffd \ufffd caf\u00e9 \u{1f600}'],
    ]),
  );
});
