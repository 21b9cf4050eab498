/**
 * The words of the agent contract that only `sdk/src/contract` may spell, and the reader that finds them in product
 * code: in strings, templates and regular expressions, as names of properties, and as numbers. Comments may name them.
 *
 * A word is shared when the SDK's own types have it too (`publicSettings`): then the property is ours, the compiler checks
 * it, and only the spelled-out text is refused.
 */
import ts from 'typescript';
import { lineOf, parseModule, visit } from './module-syntax.ts';
import type { SourceModule } from './repository.ts';

/** Refused anywhere in a text: file names, folders, variables, addresses. */
export const TEXTS = [
  'HandlerManifest.json',
  'HandlerEnvironment.json',
  'heartbeat.log',
  'mrseq',
  'manifest.xml',
  'CommandExecution',
  'package_validated',
  'waagent_runtime_policy.json',
  '/var/lib/waagent',
  '/var/log/azure',
  'waagent.log',
  'WALinuxAgent-',
  'AZURE_GUEST_AGENT_',
  'ConfigSequenceNumber',
  'ConfigExtensionName',
  'ExtensionTelemetryPipeline',
  '168.63.129.16',
] as const;

/** JSON keys that only the contract reads and writes: refused as a property and in a text. */
export const KEYS = [
  'runtimeSettings',
  'handlerSettings',
  'protectedSettingsCertThumbprint',
  'formattedMessage',
  'timestampUTC',
  'configurationAppliedTime',
  'installCommand',
  'enableCommand',
  'disableCommand',
  'updateCommand',
  'uninstallCommand',
  'eventsFolder_preview',
  'supports_multi_config',
  'extension_status',
  'TaskName',
  'EventLevel',
  'EventPid',
  'EventTid',
  'OperationId',
  'VERSION',
] as const;

/** Words that are also names of ours: refused as a whole word in a text. */
export const SHARED_KEYS = [
  'publicSettings',
  'protectedSettings',
  'handlerManifest',
  'handlerEnvironment',
  'logFolder',
  'configFolder',
  'statusFolder',
  'heartbeatFile',
  'eventsFolder',
  'HandlerState',
  'HandlerStatus',
  'NOT_RUN',
  'updateMode',
  'reportHeartbeat',
  'continueOnUpdateFailure',
  'supportsMultipleExtensions',
  'UpdateWithInstall',
  'UpdateWithoutInstall',
] as const;

/** Keys that are also words of plain sentences: refused as a whole text, and in quotes inside one. */
export const PROSE_WORDS = ['substatus'] as const;

/** Limits and codes, also as products. Those that mean other things too (300, 600, 1000, 3072, 4 MiB) are not here. */
export const NUMBERS = [131_072, 3200, 1590, 6144, 1007, 1008, 1009, 1010, 1011, 1012] as const;

/** File suffixes, where a file name can end in them: `${sequence}.settings`, `'.status'`, `/\.crt$/`, `*.prv`. */
export const SUFFIXES = ['settings', 'status', 'crt', 'prv'] as const;

/** Folders of a handler, where a path is made of them. */
export const FOLDERS = ['config', 'status', 'events'] as const;

export interface Exception {
  readonly file: string;
  readonly words: readonly string[];
  readonly reason: string;
}

/** One sentence for each word of the contract that the module spells. */
export function findContractWords(module: SourceModule, exceptions: readonly Exception[]): string[] {
  const source = parseModule(module);
  const allowed = exceptions.filter(({ file }) => file === module.path).flatMap(({ words }) => words);
  const found: string[] = [];
  visit(source, (node) => {
    for (const word of wordsOf(node)) {
      if (!allowed.includes(word)) found.push(`${module.path}:${lineOf(source, node)} spells ${word}`);
    }
  });
  return found;
}

function wordsOf(node: ts.Node): readonly string[] {
  if (ts.isStringLiteralLike(node))
    return isCheckedName(node) ? [] : [...wordsOfText(node.text), ...folderOf(node)];
  if (ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) return wordsOfText(node.text);
  if (ts.isRegularExpressionLiteral(node)) return wordsOfText(node.text.replace(/\\(.)/g, '$1'));
  if (ts.isIdentifier(node)) return isPropertyName(node) ? KEYS.filter((word) => word === node.text) : [];
  const number = numberOf(node);
  const isInner = numberOf(node.parent) !== undefined;
  return number === undefined || isInner ? [] : NUMBERS.filter((one) => one === number).map(String);
}

function wordsOfText(text: string): string[] {
  const found: string[] = TEXTS.filter((word) => text.includes(word));
  const keys = [...KEYS, ...SHARED_KEYS].filter((word) => isWordIn(word, text));
  const prose = PROSE_WORDS.filter((word) => text === word || new RegExp(`["'.]${word}["':\\]]`).test(text));
  const suffixes = SUFFIXES.filter((suffix) =>
    new RegExp(`(^|[*+)\\]}$/0-9])\\.${suffix}(?![A-Za-z0-9_([])`).test(text),
  );
  const folders = FOLDERS.filter((folder) => new RegExp(`(^|/)${folder}/`).test(text));
  found.push(...keys, ...prose, ...suffixes.map((suffix) => `.${suffix}`));
  found.push(...folders.map((folder) => `${folder}/`));
  return found;
}

/** A folder of the handler as an argument of a function that makes a path: `join(base, 'config')`. */
function folderOf(node: ts.StringLiteralLike): string[] {
  if (!ts.isCallExpression(node.parent)) return [];
  const callee = node.parent.expression;
  const name = ts.isPropertyAccessExpression(callee) ? callee.name.text : callee.getText();
  if (!/^(join|resolve|.*[pP]ath.*)$/.test(name)) return [];
  return FOLDERS.filter((folder) => folder === node.text).map((folder) => `${folder}/`);
}

function isWordIn(word: string, text: string): boolean {
  return new RegExp(`(?<![A-Za-z0-9_])${word}(?![A-Za-z0-9_])`).test(text);
}

function isPropertyName(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isBindingElement(parent)) return node === (parent.propertyName ?? parent.name);
  return (
    (ts.isPropertyAccessExpression(parent) ||
      ts.isPropertyAssignment(parent) ||
      ts.isShorthandPropertyAssignment(parent) ||
      ts.isPropertySignature(parent) ||
      ts.isMethodDeclaration(parent) ||
      ts.isPropertyDeclaration(parent)) &&
    parent.name === node
  );
}

/** The number that a literal, or a product of literals, stands for. */
function numberOf(node: ts.Node | undefined): number | undefined {
  if (node === undefined) return undefined;
  if (ts.isNumericLiteral(node)) return Number(node.text);
  if (!ts.isBinaryExpression(node)) return undefined;
  const left = numberOf(node.left);
  const right = numberOf(node.right);
  if (left === undefined || right === undefined) return undefined;
  if (node.operatorToken.kind === ts.SyntaxKind.AsteriskToken) return left * right;
  if (node.operatorToken.kind === ts.SyntaxKind.AsteriskAsteriskToken) return left ** right;
  return node.operatorToken.kind === ts.SyntaxKind.LessThanLessThanToken ? left << right : undefined;
}

/** A module's name, and a type such as `Status['substatus']`: the compiler holds these. */
function isCheckedName(node: ts.Node): boolean {
  return (
    ts.isImportDeclaration(node.parent) ||
    ts.isExportDeclaration(node.parent) ||
    ts.isLiteralTypeNode(node.parent)
  );
}
