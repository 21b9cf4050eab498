/**
 * What the border rules ask of a module's syntax, read with the TypeScript compiler: its imports, the globals it
 * touches, its default exports.
 */
import ts from 'typescript';
import type { SourceModule } from './repository.ts';

export interface Import {
  /** What is imported; `undefined` when the module computes it. */
  readonly specifier: string | undefined;
  readonly line: number;
  /** `import()`, `require()` and `import.meta.resolve()`: found when the program runs. */
  readonly dynamic: boolean;
  /** Gone when the types are stripped. */
  readonly typeOnly: boolean;
}

export interface Use {
  /** Such as `process.exit` or `new Date()`. */
  readonly name: string;
  readonly line: number;
}

/** Parses a module; nothing is resolved or checked. */
export function parseModule(module: SourceModule): ts.SourceFile {
  return ts.createSourceFile(module.path, module.text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
}

/** All imports of every form: `import`, `export … from`, `import type`, `typeof import()`, `import()`, `require()`. */
export function readImports(source: ts.SourceFile): Import[] {
  const found: Import[] = [];
  visit(source, (node) => {
    const add = (name: ts.Node | undefined, dynamic: boolean, typeOnly: boolean): void => {
      const specifier = name !== undefined && ts.isStringLiteralLike(name) ? name.text : undefined;
      found.push({ specifier, line: lineOf(source, node), dynamic, typeOnly });
    };
    if (ts.isImportDeclaration(node))
      add(node.moduleSpecifier, false, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined)
      add(node.moduleSpecifier, false, node.isTypeOnly);
    if (ts.isImportTypeNode(node))
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, false, true);
    if (ts.isCallExpression(node) && isDynamicImport(node)) add(node.arguments[0], true, false);
  });
  return found;
}

/** Every `object.member` where `object` is one of the given globals, also as `object['member']` and `const { member } = object`. */
export function readGlobalUses(source: ts.SourceFile, objects: readonly string[]): Use[] {
  const found: Use[] = [];
  const isGlobal = (node: ts.Node | undefined): node is ts.Identifier =>
    node !== undefined && ts.isIdentifier(node) && objects.includes(node.text);
  visit(source, (node) => {
    const add = (object: ts.Identifier, member: string): void => {
      found.push({ name: `${object.text}.${member}`, line: lineOf(source, node) });
    };
    if (ts.isPropertyAccessExpression(node) && isGlobal(node.expression))
      add(node.expression, node.name.text);
    if (ts.isElementAccessExpression(node) && isGlobal(node.expression))
      add(
        node.expression,
        ts.isStringLiteralLike(node.argumentExpression) ? node.argumentExpression.text : '?',
      );
    if (
      ts.isVariableDeclaration(node) &&
      ts.isObjectBindingPattern(node.name) &&
      isGlobal(node.initializer)
    ) {
      for (const element of node.name.elements)
        add(node.initializer, (element.propertyName ?? element.name).getText(source));
    }
  });
  return found;
}

/** Names out of `names` that the module uses as values without importing or declaring them. */
export function readFreeNames(source: ts.SourceFile, names: readonly string[]): Use[] {
  const found: Use[] = [];
  visit(source, (node) => {
    if (!ts.isIdentifier(node) || !names.includes(node.text) || !isValue(node)) return;
    found.push({ name: node.text, line: lineOf(source, node) });
  });
  return found;
}

/** Places where the module asks for the time or for chance by the language itself. */
export function readClockUses(source: ts.SourceFile): Use[] {
  const clock = readGlobalUses(source, ['Date', 'Math']).filter(
    ({ name }) => name === 'Date.now' || name === 'Math.random',
  );
  visit(source, (node) => {
    const isDate =
      ts.isNewExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === 'Date';
    if (isDate && (node.arguments ?? []).length === 0)
      clock.push({ name: 'new Date()', line: lineOf(source, node) });
  });
  return clock;
}

/** Lines with a default export. */
export function readDefaultExports(source: ts.SourceFile): number[] {
  const lines: number[] = [];
  visit(source, (node) => {
    const isDefault =
      (ts.isExportAssignment(node) && node.isExportEquals !== true) ||
      (ts.isExportSpecifier(node) && node.name.text === 'default') ||
      (ts.canHaveModifiers(node) &&
        ts.getModifiers(node)?.some((modifier) => modifier.kind === ts.SyntaxKind.DefaultKeyword) === true);
    if (isDefault) lines.push(lineOf(source, node));
  });
  return lines;
}

export function lineOf(source: ts.SourceFile, node: ts.Node): number {
  return source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
}

/** Calls `look` for the node and everything below it. */
export function visit(node: ts.Node, look: (node: ts.Node) => void): void {
  look(node);
  ts.forEachChild(node, (child) => visit(child, look));
}

function isDynamicImport(call: ts.CallExpression): boolean {
  const callee = call.expression;
  if (callee.kind === ts.SyntaxKind.ImportKeyword) return true;
  if (ts.isIdentifier(callee)) return callee.text === 'require';
  if (!ts.isPropertyAccessExpression(callee) || callee.name.text !== 'resolve') return false;
  return (
    ts.isMetaProperty(callee.expression) ||
    (ts.isIdentifier(callee.expression) && callee.expression.text === 'require')
  );
}

/** False for the name of a property, a type, or a thing that is being declared. */
function isValue(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  return !(
    ts.isTypeNode(parent) ||
    ts.isPropertySignature(parent) ||
    ts.isParameter(parent) ||
    ts.isBindingElement(parent) ||
    ts.isVariableDeclaration(parent) ||
    ts.isImportSpecifier(parent) ||
    ts.isMethodDeclaration(parent) ||
    ts.isPropertyDeclaration(parent)
  );
}
