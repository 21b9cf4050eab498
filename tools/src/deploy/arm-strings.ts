/**
 * Literal JSON inside a template of Azure Resource Manager: text from `[` to `]` is an expression there, in values and in
 * names of properties, unless it begins with `[[`. Source: docs-and-reliability 1.9, rule 6; learn.microsoft.com,
 * "Syntax and expressions in ARM templates", escape characters.
 */

/** The same value with every text in it marked as no expression. Nothing else changes. */
export function escapeTemplate(value: unknown): unknown {
  if (typeof value === 'string') return escapeText(value);
  if (Array.isArray(value)) return value.map(escapeTemplate);
  return typeof value === 'object' && value !== null ? escapeMembers(value) : value;
}

/** The same for the members of an object. */
export function escapeMembers(value: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [escapeText(key), escapeTemplate(item)]),
  );
}

function escapeText(text: string): string {
  return text.startsWith('[') && text.endsWith(']') ? `[${text}` : text;
}
