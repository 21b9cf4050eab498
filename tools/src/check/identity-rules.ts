/**
 * Rules about publisher, type and version, and about `manifest.xml`, which a publisher registers them with.
 * Source: agent-contract 1.1, 1.5; sdk-anchors 5 (fields and their order).
 */
import {
  compareVersions,
  formatHandlerName,
  formatPackageFile,
  HANDLER_MANIFEST_FILE,
  isVersion,
  PUBLISHER_MANIFEST_FILE,
  SIGNING_INFO_KEY,
  SIGNING_INFO_KEYS,
  SUPPORTS_MULTIPLE_KEY,
} from '@handlerkit/sdk/contract';
import { parsePublisherManifest } from '../vm/package-identity.ts';
import { type Finding, findingFor } from './rule.ts';

const REGISTRATION = 'Azure/azure-linux-extensions docs/handler-registration.md';

export const IDENTITY_RULES = {
  'identity-unknown': {
    severity: 'note',
    reason: 'Nothing in the package says which extension it is, so names and version could not be checked.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py get_full_name',
    fix: 'Name the file Publisher.Type-1.2.3.zip, or add --publisher, --type and --version.',
  },
  'identity-dash': {
    severity: 'error',
    reason:
      'The agent splits the names of folders at "-", so it does not find a handler with one in its name again.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py get_ext_handler_instance_from_path',
    fix: 'Take the "-" out of the name.',
  },
  'identity-characters': {
    severity: 'error',
    reason: 'The names become folders and part of a shell command, and registration refuses "_" in them.',
    source:
      'Azure/azure-linux-extensions docs/handler-registration.md; WALinuxAgent 2.15 ga/exthandlers.py launch_command',
    fix: 'Use letters, digits and single dots, and begin with a letter.',
  },
  'identity-length': {
    severity: 'error',
    reason: 'Registration takes fewer than 256 characters, and the agent could not name the folder.',
    source: REGISTRATION,
    fix: 'Shorten publisher or type.',
  },
  'version-format': {
    severity: 'error',
    reason: 'The agent takes no folder with another form of version for a handler.',
    source: 'WALinuxAgent 2.15 common/utils/flexible_version.py FlexibleVersion',
    fix: 'Use whole numbers with dots between, such as 1.2.3.0.',
  },
  'version-parts': {
    severity: 'warning',
    reason: 'Registration takes versions of three or four numbers.',
    source: REGISTRATION,
    fix: 'Write major.minor.build or major.minor.build.revision.',
  },
  'version-not-raised': {
    severity: 'error',
    reason: 'A version is published once, and the agent never unpacks a version that it has.',
    source:
      'Azure/azure-linux-extensions docs/handler-registration.md; WALinuxAgent 2.15 ga/exthandlers.py decide_version',
    fix: 'Raise the version.',
  },
  'version-other-extension': {
    severity: 'error',
    reason: 'The package that --previous names belongs to another extension.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py get_full_name',
    fix: 'Name an earlier package of the same extension.',
  },
  'publisher-manifest-missing': {
    severity: 'note',
    reason: `Packages of publishers carry ${PUBLISHER_MANIFEST_FILE}; the agent does not need it.`,
    source: REGISTRATION,
    fix: 'Nothing, unless the extension is to be registered.',
  },
  'publisher-manifest-invalid': {
    severity: 'warning',
    reason: 'Registration refuses a document without these fields.',
    source: REGISTRATION,
    fix: 'Add the element with its value.',
  },
  'publisher-manifest-order': {
    severity: 'warning',
    reason: 'The order of the elements matters to registration.',
    source: REGISTRATION,
    fix: 'Bring the elements into the order of the documentation; handlerkit pack writes it.',
  },
  'publisher-manifest-differs': {
    severity: 'warning',
    reason: 'The two manifests of the package say different things, so registration and the agent do, too.',
    source:
      'Azure/azure-linux-extensions docs/handler-registration.md; WALinuxAgent 2.15 ga/exthandlers.py ensure_consistent_data_for_mc',
    fix: 'Make them say the same.',
  },
  'signing-info': {
    severity: 'warning',
    reason:
      'The agent compares these names with those of the handler and does not validate the package when they differ.',
    source: 'WALinuxAgent 2.15 ga/signature_validation_util.py validate_handler_manifest_signing_info',
    fix: 'Write type, publisher and version as they are registered.',
  },
} as const;

/** Which extension a package is; a part that nobody says is missing. */
export interface Identity {
  readonly publisher: string;
  readonly type: string;
  readonly version: string;
}

/** Checks names and version. `previous` is an earlier package. */
export function checkIdentity(
  identity: Identity | undefined,
  file: string,
  previous?: Identity | undefined,
): readonly Finding[] {
  if (identity === undefined)
    return [finding('identity-unknown', '', 'Publisher, type and version are not known.')];
  const { publisher, type, version } = identity;
  const names = [
    ['ProviderNameSpace', publisher],
    ['Type', type],
  ] as const;
  const found = names.flatMap(([path, name]) => checkName(name, file, path));
  if (formatPackageFile(formatHandlerName(publisher, type), version).length > 255) {
    found.push(
      finding('identity-length', file, `has ${publisher.length + type.length} characters of names.`, 'Type'),
    );
  }
  return [...found, ...checkVersion(version, file), ...checkPrevious(identity, file, previous)];
}

/** Checks a `manifest.xml`, alone and beside the handler manifest. */
export function checkPublisherManifest(
  text: string | undefined,
  file: string,
  supportsMultiple: boolean | undefined,
): readonly Finding[] {
  if (text === undefined)
    return [finding('publisher-manifest-missing', '', `There is no ${PUBLISHER_MANIFEST_FILE}.`)];
  const elements = readElements(text);
  const found: Finding[] = [];
  if (parsePublisherManifest(text) === undefined) {
    const missing = REQUIRED.filter((name) => (elements.get(name) ?? '') === '');
    for (const name of missing)
      found.push(finding('publisher-manifest-invalid', file, 'is missing or empty.', name));
  }
  const known = [...elements.keys()].filter((name) => ORDER.includes(name));
  const late = known.find((name, index) => index > 0 && rankOf(name) < rankOf(known[index - 1] ?? ''));
  if (late !== undefined) found.push(finding('publisher-manifest-order', file, 'stands too late.', late));
  const stated = elements.get('SupportsMultipleExtensions');
  if (stated !== undefined && supportsMultiple !== undefined && (stated === 'true') !== supportsMultiple) {
    const message = `is ${JSON.stringify(stated)}, and ${SUPPORTS_MULTIPLE_KEY} in ${HANDLER_MANIFEST_FILE} is ${supportsMultiple}.`;
    found.push(finding('publisher-manifest-differs', file, message, 'SupportsMultipleExtensions'));
  }
  return found;
}

/** Checks what a signed package repeats of its names. */
export function checkSigningInfo(
  element: Readonly<Record<string, unknown>>,
  identity: Identity | undefined,
  file: string,
): readonly Finding[] {
  const info = element[SIGNING_INFO_KEY];
  if (info === undefined) return [];
  return SIGNING_INFO_KEYS.flatMap((key) => {
    const path = `[0].${SIGNING_INFO_KEY}.${key}`;
    const value: unknown = typeof info === 'object' && info !== null ? Reflect.get(info, key) : undefined;
    if (typeof value !== 'string') return [finding('signing-info', file, 'is missing or no text.', path)];
    const registered = identity?.[key];
    if (registered === undefined || value.toLowerCase() === registered.toLowerCase()) return [];
    return [
      finding(
        'signing-info',
        file,
        `is ${JSON.stringify(value)}, and the handler's is ${JSON.stringify(registered)}.`,
        path,
      ),
    ];
  });
}

const finding = findingFor(IDENTITY_RULES);
const REQUIRED = ['ProviderNameSpace', 'Type', 'Version'] as const;

/** The order of the published extensions; two elements stand in either order there. */
const ORDER: readonly string[] = [
  'ProviderNameSpace',
  'Type',
  'Version',
  'Label',
  'HostingResources',
  'MediaLink',
  'Endpoints',
  'Certificate',
  'PublicConfigurationSchema',
  'PrivateConfigurationSchema',
  'Description',
  'LocalResources',
  'BlockRoleUponFailure',
  'IsInternalExtension',
  'Eula',
  'PrivacyUri',
  'HomepageUri',
  'IsJsonExtension',
  'DisallowMajorVersionUpgrade',
  'SupportedOS',
  'CompanyName',
];

function rankOf(name: string): number {
  return ORDER.indexOf(name === 'CompanyName' ? 'SupportedOS' : name);
}

/** Elements directly below the root, in their order, with their text. */
function readElements(text: string): ReadonlyMap<string, string> {
  const body = text.replace(/<!--[\s\S]*?-->|<\?[\s\S]*?\?>/g, '');
  const elements = new Map<string, string>();
  let depth = 0;
  for (const match of body.matchAll(/<(\/?)(?:\w+:)?(\w+)[^>]*?(\/?)>([^<]*)/g)) {
    const [, closes, name = '', isEmpty, content = ''] = match;
    if (closes === '/') {
      depth--;
      continue;
    }
    if (depth === 1) elements.set(name, content.trim());
    if (isEmpty !== '/') depth++;
  }
  return elements;
}

function checkName(name: string, file: string, path: string): Finding[] {
  const found: Finding[] = [];
  if (name.includes('-')) found.push(finding('identity-dash', file, `is ${JSON.stringify(name)}.`, path));
  else if (!/^[A-Za-z][A-Za-z0-9]*(\.[A-Za-z0-9]+)*$/.test(name)) {
    found.push(finding('identity-characters', file, `is ${JSON.stringify(name.slice(0, 80))}.`, path));
  }
  if (name.length >= 256)
    found.push(finding('identity-length', file, `has ${name.length} characters.`, path));
  return found;
}

function checkVersion(version: string, file: string): Finding[] {
  if (!isVersion(version) || !/^[\d.]+$/.test(version)) {
    return [finding('version-format', file, `is ${JSON.stringify(version.slice(0, 80))}.`, 'Version')];
  }
  const parts = version.split('.').length;
  return parts === 3 || parts === 4
    ? []
    : [finding('version-parts', file, `${version} has ${parts} parts.`, 'Version')];
}

function checkPrevious(identity: Identity, file: string, previous: Identity | undefined): Finding[] {
  if (previous === undefined) return [];
  const [now, then] = [identity, previous].map((one) => formatHandlerName(one.publisher, one.type));
  if (now?.toLowerCase() !== then?.toLowerCase()) {
    return [finding('version-other-extension', file, `${now} is not ${then}.`)];
  }
  if (compareVersions(identity.version, previous.version) > 0) return [];
  return [
    finding(
      'version-not-raised',
      file,
      `${identity.version} is not newer than ${previous.version}.`,
      'Version',
    ),
  ];
}
