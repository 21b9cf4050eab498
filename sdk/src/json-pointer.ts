/** References inside a JSON Schema. Source: RFC 6901. */

/** What `#/$defs/x` refers to; `undefined` for a reference out of the document. */
export function followPointer(root: unknown, pointer: string): unknown {
  if (!pointer.startsWith('#')) return undefined;
  let at = root;
  for (const step of pointer.slice(1).split('/').slice(1)) {
    const key = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~');
    at = typeof at === 'object' && at !== null && Object.hasOwn(at, key) ? Reflect.get(at, key) : undefined;
  }
  return at;
}
