/**
 * Which extension waits for which, and the levels that the platform makes of it for the agent, which knows levels only.
 * Source: docs-and-reliability 1.6 (rules of `provisionAfterExtensions`); agent-contract 7.6.
 */
import { ToolError } from '../errors.ts';

/** An extension as far as its place in the order goes. */
export interface Ordered {
  readonly name: string;
  /** Names of the extensions that have to succeed before this one starts, in any case. */
  readonly provisionAfter?: readonly string[] | undefined;
  /** `null`: it has no settings, and the agent does not wait for it. */
  readonly settings: object | null;
}

/**
 * The level of each extension by name: 0 for one that waits for none, else one more than the highest that it waits for.
 * Names that are not there count for nothing. The extensions must be free of cycles, see {@link checkOrder}.
 */
export function dependencyLevels(extensions: readonly Ordered[]): ReadonlyMap<string, number> {
  const levels = new Map<string, number>();
  const levelOf = (extension: Ordered): number => {
    const known = levels.get(extension.name);
    if (known !== undefined) return known;
    // A circle, which no command can make, must not be an endless loop.
    levels.set(extension.name, 0);
    const below = predecessorsOf(extension, extensions).map(levelOf);
    const level = below.length === 0 ? 0 : 1 + Math.max(...below);
    levels.set(extension.name, level);
    return level;
  };
  extensions.forEach(levelOf);
  return levels;
}

/**
 * Refuses what Azure refuses of `extension` among the others: `DEPENDENCY_UNKNOWN` for a name that is not there,
 * `DEPENDENCY_WITHOUT_SETTINGS` for one that the agent could not wait for, `DEPENDENCY_CYCLE` for a circle.
 */
export function checkOrder(extension: Ordered, extensions: readonly Ordered[]): void {
  for (const name of extension.provisionAfter ?? []) {
    const found = extensions.find((one) => sameName(one.name, name));
    if (found === undefined) {
      throw new ToolError(
        'DEPENDENCY_UNKNOWN',
        `"${extension.name}" is to wait for "${name}", which is not on this VM.`,
        {
          hint: `Set "${name}" first, or correct the name after --provision-after.`,
        },
      );
    }
    if (found.settings === null) {
      throw new ToolError(
        'DEPENDENCY_WITHOUT_SETTINGS',
        `"${extension.name}" is to wait for "${found.name}", which has no settings, so the agent would not wait for it.`,
        { hint: `Set "${found.name}" with --settings '{}' first.` },
      );
    }
  }
  const circle = findCircle(extension, extensions, []);
  if (circle !== undefined) {
    throw new ToolError(
      'DEPENDENCY_CYCLE',
      `Extensions would wait for each other: ${circle.join(' after ')}.`,
      {
        hint: 'Leave one of them out of --provision-after.',
      },
    );
  }
}

/** Refuses to take away what others wait for, as Azure does. Throws `DEPENDENCY_IN_USE`. */
export function checkRemoval(name: string, extensions: readonly Ordered[]): void {
  const waiting = extensions.filter(
    (one) => !sameName(one.name, name) && (one.provisionAfter ?? []).some((other) => sameName(other, name)),
  );
  if (waiting.length === 0) return;
  const names = waiting.map((one) => `"${one.name}"`).join(', ');
  throw new ToolError('DEPENDENCY_IN_USE', `"${name}" cannot go as long as ${names} waits for it.`, {
    hint: `Delete ${names} first, or set it again without --provision-after.`,
  });
}

function findCircle(
  extension: Ordered,
  extensions: readonly Ordered[],
  path: readonly string[],
): readonly string[] | undefined {
  if (path.includes(extension.name)) return [...path.slice(path.indexOf(extension.name)), extension.name];
  for (const one of predecessorsOf(extension, extensions)) {
    const circle = findCircle(one, extensions, [...path, extension.name]);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

function predecessorsOf(extension: Ordered, extensions: readonly Ordered[]): readonly Ordered[] {
  const names = extension.provisionAfter ?? [];
  return extensions.filter((one) => names.some((name) => sameName(name, one.name)));
}

function sameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
