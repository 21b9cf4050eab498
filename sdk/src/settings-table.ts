/** The Markdown table of an extension's settings, made of their JSON Schema: one row for each key at any depth. */
import { followPointer } from './json-pointer.ts';
import { isRecord } from './settings-path.ts';

type Node = Readonly<Record<string, unknown>>;

/**
 * A table with the columns key, half, type, required, default and description, in the order of the schemas. `root` is the
 * document that references lead into. Keys of a list's elements have `[]`, those of an alternative say when they count.
 */
export function formatSettingsTable(
  root: Node,
  halves: { readonly public: Node; readonly protected: Node },
): string {
  const rows = [...rowsOf(root, halves.public, 'public'), ...rowsOf(root, halves.protected, 'protected')];
  if (rows.length === 0) return 'The settings have no fixed keys.\n';
  const head = ['Key', 'Half', 'Type', 'Required', 'Default', 'Description'];
  return [head, head.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map(escapeCell).join(' | ')} |\n`)
    .join('');
}

/** Where the walk is: how the key is written, and under which condition it counts. */
interface Place {
  readonly key: string;
  readonly when: string;
  /** The references that led here, so that a schema that contains itself ends. */
  readonly through: readonly string[];
}

function rowsOf(root: Node, schema: Node, half: string): string[][] {
  const rows: string[][] = [];
  const walk = (node: unknown, place: Place): void => {
    const { schema: at, through } = resolve(root, node, place.through);
    if (at === undefined) return;
    const inside = { ...place, through };
    const required = Array.isArray(at.required) ? at.required : [];
    for (const [name, property] of Object.entries(isRecord(at.properties) ? at.properties : {})) {
      const key = place.key === '' ? name : `${place.key}.${name}`;
      rows.push(rowOf(root, property, { ...inside, key }, half, required.includes(name)));
      walk(property, { ...inside, key });
    }
    const item = at.items;
    if (isRecord(item)) walk(item, { ...inside, key: `${place.key}[]` });
    if (isRecord(at.additionalProperties)) {
      walk(at.additionalProperties, { ...inside, key: place.key === '' ? '*' : `${place.key}.*` });
    }
    for (const part of listOf(at.allOf)) walk(part, inside);
    const alternatives = alternativesOf(at).filter((one) => isObjectLike(root, one));
    for (const [index, one] of alternatives.entries()) {
      const when = alternatives.length > 1 ? conditionOf(root, one, index, place.key) : '';
      walk(one, { ...inside, when: [place.when, when].filter((text) => text !== '').join(', ') });
    }
  };
  walk(schema, { key: '', when: '', through: [] });
  return rows;
}

function rowOf(root: Node, property: unknown, place: Place, half: string, isRequired: boolean): string[] {
  const node = resolve(root, property, []).schema ?? {};
  const own = isRecord(property) ? { ...node, ...property } : node;
  const required = isRequired ? 'yes' : 'no';
  return [
    code(place.key),
    half,
    typeText(root, property, 0),
    place.when === '' ? required : `${required}, ${isRequired ? '' : 'only '}${place.when}`,
    own.default === undefined ? '' : code(JSON.stringify(own.default)),
    typeof own.description === 'string' ? showTags(own.description) : '',
  ];
}

/** Deeper types are named by their outer form only. */
const DEEPEST_TYPE = 4;

function typeText(root: Node, node: unknown, depth: number): string {
  const { schema: at } = resolve(root, node, []);
  if (at === undefined || depth > DEEPEST_TYPE) return 'any';
  if (at.const !== undefined) return code(JSON.stringify(at.const));
  if (Array.isArray(at.enum)) return joinOr(at.enum.map((value) => code(JSON.stringify(value))));
  const alternatives = alternativesOf(at);
  if (alternatives.length > 0) return joinOr(alternatives.map((one) => typeText(root, one, depth + 1)));
  if (Array.isArray(at.type)) return joinOr(at.type.map((type) => typeText(root, { ...at, type }, depth)));
  if (at.type === 'array') {
    const item = isRecord(at.items) ? typeText(root, at.items, depth + 1) : 'any';
    const of = item === 'any' ? 'list' : `list of ${item.includes(' or ') ? `(${item})` : item}`;
    return `${of}${limitText(at.minItems, at.maxItems, 'elements')}`;
  }
  const type = typeof at.type === 'string' ? at.type : isObjectLike(root, at) ? 'object' : 'any';
  if (type === 'string') return `string${stringText(at)}`;
  if (type === 'number' || type === 'integer') {
    return `${type === 'integer' ? 'whole number' : type}${numberText(at)}`;
  }
  const values = isRecord(at.additionalProperties) && !isRecord(at.properties) ? at.additionalProperties : {};
  const value = Object.keys(values).length > 0 ? typeText(root, values, depth + 1) : 'any';
  return value === 'any' ? type : `${type} of ${value}`;
}

function stringText(at: Node): string {
  // A library gives a format's own pattern too, which nobody wants to read.
  if (typeof at.format === 'string') return ` (${at.format})`;
  const pattern = typeof at.pattern === 'string' ? `, matches ${code(at.pattern)}` : '';
  return `${limitText(at.minLength, at.maxLength, 'characters')}${pattern}`;
}

function numberText(at: Node): string {
  const parts = [
    atLeast(at.minimum, 'from'),
    atLeast(at.exclusiveMinimum, 'above'),
    atLeast(at.maximum, 'to'),
    atLeast(at.exclusiveMaximum, 'below'),
  ].filter((text) => text !== '');
  return parts.length === 0 ? '' : `, ${parts.join(' ')}`;
}

/** The limits of the language are no limits of the setting. */
function atLeast(limit: unknown, word: string): string {
  return typeof limit === 'number' && Math.abs(limit) < Number.MAX_SAFE_INTEGER ? `${word} ${limit}` : '';
}

function limitText(least: unknown, most: unknown, unit: string): string {
  if (typeof least === 'number' && least === most) return `, ${least} ${unit}`;
  if (typeof least === 'number' && typeof most === 'number') return `, ${least} to ${most} ${unit}`;
  if (typeof least === 'number' && least > 0) return `, at least ${least} ${unit}`;
  return typeof most === 'number' ? `, at most ${most} ${unit}` : '';
}

/** Which alternative it is: by the keys that have one fixed value in it, else by its number. */
function conditionOf(root: Node, node: unknown, index: number, parent: string): string {
  const { schema } = resolve(root, node, []);
  const fixed = Object.entries(isRecord(schema?.properties) ? schema.properties : {}).flatMap(
    ([key, property]) => {
      const value = isRecord(property) ? property.const : undefined;
      return value === undefined
        ? []
        : [`${code(parent === '' ? key : `${parent}.${key}`)} is ${code(JSON.stringify(value))}`];
    },
  );
  return fixed.length > 0 ? `if ${fixed.join(' and ')}` : `in form ${index + 1}`;
}

function alternativesOf(node: Node): readonly unknown[] {
  return [...listOf(node.anyOf), ...listOf(node.oneOf)];
}

function isObjectLike(root: Node, node: unknown): boolean {
  const { schema } = resolve(root, node, []);
  return schema !== undefined && (schema.type === 'object' || isRecord(schema.properties));
}

/** The node itself, or what its reference leads to; nothing for one that was followed on the way here. */
function resolve(
  root: Node,
  node: unknown,
  through: readonly string[],
): { readonly schema: Node | undefined; readonly through: readonly string[] } {
  let at = node;
  const followed = [...through];
  while (isRecord(at) && typeof at.$ref === 'string') {
    if (followed.includes(at.$ref)) return { schema: undefined, through: followed };
    followed.push(at.$ref);
    at = followPointer(root, at.$ref);
  }
  return { schema: isRecord(at) ? at : undefined, through: followed };
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function joinOr(texts: readonly string[]): string {
  return [...new Set(texts)].join(' or ');
}

/** A code span, also for a text that holds backticks. Inside a table only `|` has to be escaped. */
function code(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  const fence = '`'.repeat(Math.max(0, ...[...line.matchAll(/`+/g)].map((run) => run[0].length)) + 1);
  const pad = line.startsWith('`') || line.endsWith('`') ? ' ' : '';
  return `${fence}${pad}${line}${pad}${fence}`;
}

/** Text in a cell: on one line, and with no bar that would end the cell. */
function escapeCell(text: string): string {
  return text.replace(/\s+/g, ' ').trim().replaceAll('|', '\\|');
}

/** An author's own Markdown, in which `<name>` is meant to be seen. */
function showTags(text: string): string {
  return text
    .split('`')
    .map((part, index) => (index % 2 === 0 ? part.replaceAll('<', '&lt;') : part))
    .join('`');
}
