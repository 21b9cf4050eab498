/**
 * JSON values as the agent, a Python program, writes, prints and looks into them. Its files have Python's separators,
 * its messages show Python's text of a value, and its `key in value` also accepts texts and arrays, which decides
 * whether a malformed file is reported or breaks the report.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` validate_has_key, update_settings, create_handler_env.
 */

/**
 * JSON as Python's `json.dumps` writes it: one line, `", "` and `": "` between the parts, everything but printable
 * ASCII escaped. Numbers are JavaScript's: a float without fraction comes out as a whole number.
 */
export function formatPythonJson(value: unknown): string {
  // A line break cannot stand inside a JSON text, so each one that is found is a separator.
  const lines = JSON.stringify(value, null, 1);
  const text = lines.replace(/,\n */g, ', ').replace(/\n */g, '');
  return text.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** What Python's `str` gives for a JSON value, at most `characters` long. Never throws. */
export function formatPythonValue(value: unknown, characters: number): string {
  const text = typeof value === 'string' ? value : pythonRepr(value, 0);
  return text.slice(0, characters).toWellFormed();
}

/**
 * What Python's `key in value`, followed by `value[key]`, does: `crash` stands for an exception, which a text or an
 * array that holds the key causes too, because neither can be asked for a member.
 */
export function pythonLookup(value: unknown, key: string): 'found' | 'not-found' | 'crash' {
  if (typeof value === 'string' || Array.isArray(value)) return value.includes(key) ? 'crash' : 'not-found';
  if (typeof value !== 'object' || value === null) return 'crash';
  return Object.hasOwn(value, key) ? 'found' : 'not-found';
}

/** Python's name of the type of a JSON value. */
export function pythonTypeName(value: unknown): string {
  if (value === null || value === undefined) return 'NoneType';
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'object') return 'dict';
  if (typeof value === 'string') return 'str';
  if (typeof value === 'boolean') return 'bool';
  return Number.isInteger(value) ? 'int' : 'float';
}

const DEEPEST_SHOWN = 20;

function pythonRepr(value: unknown, depth: number): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string') return quote(value);
  if (typeof value !== 'object') return String(value);
  if (depth === DEEPEST_SHOWN) return '...';
  if (Array.isArray(value)) return `[${value.map((item) => pythonRepr(item, depth + 1)).join(', ')}]`;
  const members = Object.entries(value).map(
    ([key, member]) => `${quote(key)}: ${pythonRepr(member, depth + 1)}`,
  );
  return `{${members.join(', ')}}`;
}

function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = text
    .replaceAll('\\', '\\\\')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t');
  return `${mark}${mark === "'" ? body.replaceAll("'", "\\'") : body}${mark}`;
}
