/**
 * `sbom.cdx.json`: the bill of materials of a package, which names the extension, its runtime and every bundled npm package.
 * It holds no time and no random number, so the same package has the same one.
 * Source: CycloneDX 1.6 (ECMA-424) JSON; package-url "npm"; SPDX 2.3 annex D (licence expressions).
 */
import { createHash } from 'node:crypto';
import type { Architecture, ExtensionDescription, Runtime } from '@handlerkit/sdk';
import { formatHandlerName } from '@handlerkit/sdk/contract';
import type { BundledPackage } from './licenses.ts';
import { PINNED_RUNTIMES } from './pinned-runtimes.ts';

/** The bill's place in the package. */
export const SBOM_FILE = 'sbom.cdx.json';

export interface SbomPackage extends Pick<BundledPackage, 'name' | 'version' | 'license'> {
  /** One or more `<algorithm>-<base64>` from the lock file, of the package's tarball. */
  readonly integrity: string | undefined;
}

export interface SbomContent {
  readonly description: ExtensionDescription;
  readonly runtime: Runtime;
  readonly architectures: readonly Architecture[];
  readonly packages: readonly SbomPackage[];
}

/** The bill's text, which ends in a newline. Two copies of one package, in different places, are one component. */
export function formatSbom(content: SbomContent): string {
  const { description, runtime, architectures } = content;
  const { publisher, type, version } = description;
  const extension = {
    type: 'application',
    'bom-ref': `${formatHandlerName(publisher, type)}@${version}`,
    ...(description.company === undefined ? {} : { supplier: { name: description.company } }),
    group: publisher,
    name: type,
    version,
    description: description.description,
  };
  const runtimes = architectures.map((architecture) => describeRuntime(runtime, architecture));
  // A reference names one component only: a package that is also the runtime is the runtime.
  const packages = new Map(content.packages.map((one) => [purlOf(one), describePackage(one)]));
  for (const one of runtimes) packages.delete(one['bom-ref']);
  const components = [...runtimes, ...packages.values()];
  const bill = {
    version: 1,
    metadata: {
      lifecycles: [{ phase: 'build' }],
      tools: { components: [{ type: 'application', name: 'handlerkit' }] },
      component: extension,
    },
    components,
    dependencies: [
      { ref: extension['bom-ref'], dependsOn: components.map((component) => component['bom-ref']) },
    ],
  };
  const head = { $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json', bomFormat: 'CycloneDX' };
  const serialNumber = `urn:uuid:${uuidOf(JSON.stringify(bill))}`;
  return `${JSON.stringify({ ...head, specVersion: '1.6', serialNumber, ...bill }, null, 2)}\n`;
}

/** As the package in the registry; the executable's own hash and architecture are properties. */
function describeRuntime(runtime: Runtime, architecture: Architecture) {
  const pinned = PINNED_RUNTIMES[runtime][architecture];
  const { packageName: name, version, integrity, sha256 } = pinned;
  return {
    ...describePackage({ name, version, integrity, license: 'MIT' }),
    type: 'platform',
    ...(runtime === 'node' ? { cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*` } : {}),
    properties: [
      { name: 'handlerkit:runtime', value: runtime },
      { name: 'handlerkit:architecture', value: architecture },
      { name: 'handlerkit:executable:sha256', value: sha256 },
    ],
  };
}

function describePackage(one: SbomPackage) {
  const purl = purlOf(one);
  const hashes = hashesOf(one.integrity);
  const [scope, bare] = one.name.startsWith('@') ? one.name.split('/', 2) : [undefined, one.name];
  return {
    type: 'library',
    'bom-ref': purl,
    ...(scope === undefined ? {} : { group: scope }),
    name: bare ?? one.name,
    version: one.version,
    ...(hashes.length === 0 ? {} : { hashes }),
    ...(one.license === undefined ? {} : { licenses: [describeLicense(one.license)] }),
    purl,
  };
}

/** One word or a term of an SPDX expression; what is none, such as `SEE LICENSE IN`, is a name. */
const EXPRESSION = /^\(*[A-Za-z0-9.+:-]+\)*(?: (?:AND|OR|WITH) \(*[A-Za-z0-9.+:-]+\)*)*$/;

function describeLicense(license: string) {
  const isExpression = EXPRESSION.test(license) && license !== 'UNLICENSED';
  return isExpression
    ? { expression: license, acknowledgement: 'declared' }
    : { license: { name: license, acknowledgement: 'declared' } };
}

function purlOf({ name, version }: Pick<SbomPackage, 'name' | 'version'>): string {
  const path = name.split('/').map(encodeURIComponent).join('/');
  return `pkg:npm/${path}@${encodeURIComponent(version)}`;
}

/** The algorithm's name and the bytes of its hash. Another length is a damaged hash, and no hash at all. */
const ALGORITHMS: Readonly<Record<string, { readonly alg: string; readonly length: number }>> = {
  sha512: { alg: 'SHA-512', length: 64 },
  sha384: { alg: 'SHA-384', length: 48 },
  sha256: { alg: 'SHA-256', length: 32 },
  sha1: { alg: 'SHA-1', length: 20 },
};

function hashesOf(integrity: string | undefined) {
  return (integrity ?? '').split(/\s+/).flatMap((word) => {
    const [name = '', digest = ''] = word.split('?', 1)[0]?.split(/-(.*)/) ?? [];
    const algorithm = ALGORITHMS[name];
    const content = Buffer.from(digest, 'base64');
    if (algorithm?.length !== content.length) return [];
    return [{ alg: algorithm.alg, content: content.toString('hex') }];
  });
}

/** A name-based UUID of version 8. Source: RFC 9562 5.8. */
function uuidOf(text: string): string {
  const bytes = createHash('sha256').update(text).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
