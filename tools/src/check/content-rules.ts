/**
 * Rules about what a package should not hold: secrets, and what belongs to the workshop and not to the VM.
 * Source: sdk-anchors 5 ("no secrets, source maps, test folders, references"); docs-and-reliability 3.2.
 */
import { posix } from 'node:path';
import { formatCertificateFiles } from '@handlerkit/sdk/contract';
import type { FileFacts } from './file-facts.ts';
import type { PackedFile } from './packed-file.ts';
import { type Finding, findingFor } from './rule.ts';

const PAGE = 'Handlerkit docs/packaging.md';

export const CONTENT_RULES = {
  'secret-content': {
    severity: 'error',
    reason: 'A package is public: whoever can use the extension can download it.',
    source: PAGE,
    fix: 'Take it out, renew the secret, and give it in protected settings.',
  },
  'secret-file': {
    severity: 'error',
    reason: 'A file of this name usually holds a secret, and a package is public.',
    source: PAGE,
    fix: 'Leave the file out of the package; if it was published, renew what is in it.',
  },
  'zip-damaged': {
    severity: 'error',
    reason: 'The content does not have the checksum that the zip says, so unpacking fails.',
    source:
      'CPython Lib/zipfile ZipExtFile; WALinuxAgent 2.15 common/protocol/wire.py _try_expand_zip_package',
    fix: 'Pack again; the file is damaged.',
  },
  'zip-short': {
    severity: 'warning',
    reason:
      'The content is shorter than the zip says. Python takes it all the same; other readers refuse it.',
    source: 'CPython Lib/zipfile ZipExtFile',
    fix: 'Pack again; the file was edited.',
  },
  'content-source-map': {
    severity: 'warning',
    reason: 'Source maps carry the sources and the folders of the machine that built them.',
    source: PAGE,
    fix: 'Build without source maps, or leave them out.',
  },
  'content-tests': {
    severity: 'warning',
    reason: 'Tests and their fixtures are of no use on a VM, and a fixture may be taken for the real thing.',
    source: PAGE,
    fix: 'Leave them out of the package.',
  },
  'content-references': {
    severity: 'warning',
    reason: 'A folder of references is working material.',
    source: PAGE,
    fix: 'Leave it out of the package.',
  },
  'content-repository': {
    severity: 'error',
    reason:
      'The folder of a version control system holds all former versions of all files, also those with secrets.',
    source: PAGE,
    fix: 'Leave it out of the package.',
  },
  'content-development-modules': {
    severity: 'warning',
    reason: 'Tools of development make the package large and bring their own weaknesses to the VM.',
    source: PAGE,
    fix: 'Install with npm ci --omit=dev, or bundle the program.',
  },
  'content-junk': {
    severity: 'warning',
    reason: 'Files of a desktop or an editor are of no use on a VM.',
    source: PAGE,
    fix: 'Leave the file out of the package.',
  },
} as const;

/** Checks names and contents of all files. */
export function checkContents(facts: readonly FileFacts[]): readonly Finding[] {
  return facts.flatMap((one) => [...checkFacts(one), ...checkName(one.file)]);
}

const finding = findingFor(CONTENT_RULES);

function checkFacts({ file, damage, secrets, hasInlineSourceMap }: FileFacts): Finding[] {
  const found = secrets.map((what) => finding('secret-content', file.name, `holds ${what}.`));
  if (damage !== undefined) {
    found.push(finding(damage.isFatal ? 'zip-damaged' : 'zip-short', file.name, `${damage.message}.`));
  }
  if (hasInlineSourceMap && /\.[cm]?js$/.test(file.path)) {
    found.push(finding('content-source-map', file.name, 'holds a source map.'));
  }
  return found;
}

type ContentRule = keyof typeof CONTENT_RULES;

/** The first row that matches counts. */
const NAME_ROWS: readonly (readonly [ContentRule, RegExp])[] = [
  ['content-repository', /(^|\/)\.(git|hg|svn)(\/|$)/],
  ['content-references', /(^|\/)references\//i],
  ['content-tests', /(^|\/)(tests?|__tests__|spec|fixtures|coverage)\/|\.(test|spec)\.[cm]?[jt]s$/i],
  [
    'content-development-modules',
    /(^|\/)node_modules\/(typescript|vitest|jest|mocha|eslint|prettier|webpack|@types|@biomejs|tsx|esbuild|nyc)\//,
  ],
  ['content-source-map', /\.(js|mjs|cjs|css)\.map$/],
  [
    'content-junk',
    /(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini|__MACOSX\/|\._[^/]*|\.idea\/|\.vscode\/|[^/]*~|[^/]*\.sw[op])|\.pyc$|(^|\/)npm-debug\.log/i,
  ],
];

const SECRET_FILES: readonly RegExp[] = [
  /^\.env(\.(?!example$|sample$|template$).*)?$/i,
  /\.(pfx|p12|jks|keystore|ppk)$/i,
  /^id_(rsa|dsa|ecdsa|ed25519)$/,
  /^\.(netrc|pgpass|htpasswd)$/,
  new RegExp(`${formatCertificateFiles('').privateKey.replace('.', '\\.')}$`, 'i'),
];

function checkName({ name, path, kind }: PackedFile): Finding[] {
  if (kind === 'folder') return [];
  const base = posix.basename(path);
  if (SECRET_FILES.some((expression) => expression.test(base))) {
    return [finding('secret-file', name, 'has a name that stands for a secret.')];
  }
  // What an installed module carries along is the module's business, but for the modules themselves.
  const isOfModule = path.includes('node_modules/');
  const row = NAME_ROWS.find(
    ([rule, expression]) => !(isOfModule && rule === 'content-tests') && expression.test(path),
  );
  return row === undefined ? [] : [finding(row[0], name, WORDS[row[0]] ?? 'does not belong into a package.')];
}

const WORDS: Readonly<Partial<Record<ContentRule, string>>> = {
  'content-source-map': 'is a source map.',
  'content-tests': 'belongs to tests.',
  'content-repository': 'belongs to a repository.',
  'content-development-modules': 'belongs to a tool of development.',
};
