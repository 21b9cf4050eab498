/** Which keys a JSON document has, in the words of `docs/json.md`: `[].statuses[].code`. */

/** The paths of all keys in `value`, sorted; below `open` paths (`settings.*`) all keys are one. */
export function keyPaths(value: unknown, open: readonly string[] = []): readonly string[] {
  const found = new Set<string>();
  collect(value, '', open, found);
  return [...found].sort();
}

function collect(value: unknown, path: string, open: readonly string[], found: Set<string>): void {
  if (Array.isArray(value)) {
    for (const one of value) collect(one, `${path}[]`, open, found);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      const any = `${path}.*`;
      const known = open.includes(any);
      const name = path === '' ? key : `${path}.${key}`;
      found.add(known ? any : name);
      if (!known) collect(inner, name, open, found);
    }
  }
}
