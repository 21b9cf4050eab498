/**
 * Which keys a schema knows, level by level: for hints about misspelt keys and warnings about ignored ones. zod and valibot
 * are read as they are built, which costs nothing at the start of an enable; any other library through Standard JSON Schema.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { followPointer } from './json-pointer.ts';
import { readJsonSchema } from './schema-json.ts';
import type { SettingsPath } from './settings-path.ts';
import { isRecord } from './settings-path.ts';

/** What a schema says about the keys at one place. */
export interface SchemaKeys {
  /** The keys that the schema knows at `path`; none where it cannot tell, or takes any key. */
  at(path: SettingsPath): readonly string[];
  /** Places in `value` whose key the schema neither knows nor leaves open; the first `limit` of them. */
  unknownIn(value: unknown, limit: number): readonly SettingsPath[];
}

/** Reads what `schema` knows. A library that cannot say it gives no keys; nothing is thrown. */
export function readSchemaKeys(schema: StandardSchemaV1): SchemaKeys {
  let seen: { readonly view: View; readonly root: Level } | undefined;
  // Only when somebody asks: a library that makes a JSON Schema for it needs milliseconds.
  const look = (): { readonly view: View; readonly root: Level } => {
    if (seen === undefined) {
      const view = viewOf(schema);
      seen = { view, root: levelOf(view, [view.root]) };
    }
    return seen;
  };
  return {
    at: (path) => {
      const { view, root } = look();
      let level = root;
      for (const step of path) level = levelBelow(view, level, step);
      return level.isOpen ? [] : [...level.properties.keys()];
    },
    unknownIn: (value, limit) => {
      const { view, root } = look();
      const found: SettingsPath[] = [];
      const open: { value: unknown; level: Level; path: SettingsPath }[] = [{ value, level: root, path: [] }];
      for (let next = open.pop(); next !== undefined && found.length < limit; next = open.pop()) {
        const { level, path } = next;
        if (level.isOpen || typeof next.value !== 'object' || next.value === null) continue;
        const isList = Array.isArray(next.value);
        if (isList ? level.items.length === 0 : level.properties.size === 0) continue;
        const members: Iterable<readonly [PropertyKey, unknown]> = Array.isArray(next.value)
          ? next.value.entries()
          : Object.entries(next.value);
        for (const [step, item] of members) {
          if (!isList && !level.properties.has(String(step))) found.push([...path, step]);
          else if (typeof item === 'object' && item !== null)
            open.push({ value: item, level: levelBelow(view, level, step), path: [...path, step] });
          if (found.length >= limit) break;
        }
      }
      return found;
    },
  };
}

/** How one node of a schema looks: the nodes to look through (wrappers, unions), its keys, its items. */
interface NodeView {
  readonly inner?: readonly unknown[];
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly items?: readonly unknown[];
  readonly isOpen?: boolean;
}

interface View {
  readonly root: unknown;
  read(node: unknown): NodeView;
}

/** All alternatives at one place together. */
interface Level {
  readonly properties: ReadonlyMap<string, readonly unknown[]>;
  readonly items: readonly unknown[];
  readonly isOpen: boolean;
  /** Levels below that were looked at before, by key; 0 for the items: a long list has one for all. */
  readonly below: Map<PropertyKey, Level>;
}

/** A schema that refers to itself is looked through no further than this. */
const MOST_NODES = 1000;
const ANYTHING: NodeView = { isOpen: true };

function levelOf(view: View, nodes: readonly unknown[]): Level {
  const properties = new Map<string, unknown[]>();
  const items: unknown[] = [];
  let isOpen = false;
  const open = [...nodes];
  for (let count = 0; open.length > 0; count++) {
    if (count > MOST_NODES) return { properties: new Map(), items: [], isOpen: true, below: new Map() };
    const seen = view.read(open.pop());
    open.push(...(seen.inner ?? []));
    items.push(...(seen.items ?? []));
    isOpen ||= seen.isOpen === true;
    for (const [key, node] of Object.entries(seen.properties ?? {})) {
      const others = properties.get(key);
      if (others === undefined) properties.set(key, [node]);
      else others.push(node);
    }
  }
  return { properties, items, isOpen, below: new Map() };
}

function levelBelow(view: View, level: Level, step: PropertyKey): Level {
  const key = typeof step === 'number' ? 0 : step;
  const known = level.below.get(key);
  if (known !== undefined) return known;
  const nodes = key === 0 ? level.items : (level.properties.get(String(key)) ?? []);
  const made = levelOf(view, nodes);
  level.below.set(key, made);
  return made;
}

function viewOf(schema: StandardSchemaV1): View {
  const { vendor } = schema['~standard'];
  if (vendor === 'zod' && '_zod' in schema) return { root: schema, read: guarded(readZod) };
  if (vendor === 'valibot' && 'kind' in schema) return { root: schema, read: guarded(readValibot) };
  const root = readJsonSchema(schema, 'input');
  return root.schema === undefined
    ? { root: undefined, read: () => ANYTHING }
    : { root: root.schema, read: guarded((node) => readJson(node, root.schema)) };
}

/** Reading the inside of another library must never fail an operation. */
function guarded(read: (node: unknown) => NodeView): (node: unknown) => NodeView {
  return (node) => {
    try {
      return read(node);
    } catch {
      return ANYTHING;
    }
  };
}

function readZod(node: unknown): NodeView {
  const inside = isNode(node) ? node._zod : undefined;
  const def = isNode(inside) ? inside.def : undefined;
  if (!isNode(def)) return ANYTHING;
  switch (def.type) {
    case 'object':
      return { ...propertiesOf(def.shape), isOpen: def.catchall !== undefined && !isZodNever(def.catchall) };
    case 'array':
      return { items: [def.element] };
    case 'union':
      return { inner: listOf(def.options) };
    case 'intersection':
      return { inner: [def.left, def.right] };
    case 'pipe':
      return { inner: [def.in] };
    case 'lazy':
      return typeof def.getter === 'function' ? { inner: [def.getter()] } : ANYTHING;
    case 'any':
    case 'unknown':
    case 'record':
    case 'map':
    case 'custom':
    case 'transform':
      return ANYTHING;
    default:
      return isNode(def.innerType) ? { inner: [def.innerType] } : {};
  }
}

function isZodNever(node: unknown): boolean {
  const inside = isNode(node) ? node._zod : undefined;
  const def = isNode(inside) ? inside.def : undefined;
  return isNode(def) && def.type === 'never';
}

function readValibot(node: unknown): NodeView {
  if (!isNode(node)) return ANYTHING;
  switch (node.type) {
    case 'object':
    case 'strict_object':
      return propertiesOf(node.entries);
    case 'array':
      return { items: [node.item] };
    case 'union':
    case 'variant':
    case 'intersect':
      return { inner: listOf(node.options) };
    case 'lazy':
      return typeof node.getter === 'function' ? { inner: [node.getter(undefined)] } : ANYTHING;
    case 'any':
    case 'unknown':
    case 'record':
    case 'map':
    case 'custom':
    case 'loose_object':
    case 'object_with_rest':
      return ANYTHING;
    default:
      return isNode(node.wrapped) ? { inner: [node.wrapped] } : {};
  }
}

function readJson(node: unknown, root: unknown): NodeView {
  if (!isRecord(node)) return ANYTHING;
  const inner = [node.anyOf, node.oneOf, node.allOf].flatMap(listOf);
  if (typeof node.$ref === 'string') inner.push(followPointer(root, node.$ref));
  const isOpen =
    (node.additionalProperties !== undefined && node.additionalProperties !== false) ||
    node.patternProperties !== undefined ||
    Object.keys(node).every((key) => ANNOTATIONS.has(key));
  return {
    inner,
    isOpen,
    ...propertiesOf(node.properties),
    ...(isRecord(node.items) && { items: [node.items] }),
  };
}

const ANNOTATIONS: ReadonlySet<string> = new Set(['$schema', 'title', 'description', 'default', 'examples']);

function propertiesOf(value: unknown): NodeView {
  return isNode(value) ? { properties: { ...value } } : {};
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Some libraries make their schemas callable. */
function isNode(value: unknown): value is Readonly<Record<string, unknown>> {
  return isRecord(value) || typeof value === 'function';
}
