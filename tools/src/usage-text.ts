/** What is wrong with a command line, in words that help: "did you mean", and which help to read. */
import { editDistance, nearestName } from '@handlerkit/sdk';

/** What stands in a help above the options that every command has. */
export const COMMON_OPTIONS = 'Options of every command:';

/** A help in which the options of the command itself come before those of every command; yargs knows only the order in which it was told. */
export function putOwnOptionsFirst(help: string): string {
  const sections = help.split('\n\n');
  const common = sections.findIndex((one) => one.startsWith(`${COMMON_OPTIONS}\n`));
  const own = sections.findIndex((one) => one.startsWith('Options:\n'));
  if (common === -1 || own < common) return help;
  return sections
    .toSpliced(own + 1, 0, ...sections.slice(common, common + 1))
    .toSpliced(common, 1)
    .join('\n\n');
}

/**
 * Sentence and hint for what yargs says about a command line. `current` is what yargs gives to `fail`, `argv` what the
 * user wrote.
 */
export function explainUsage(message: string, current: unknown, argv: readonly string[]): [string, string] {
  const { commands, options, operands, places } = readHelp(current);
  const help = ['handlerkit', ...commands, '--help'].join(' ');
  const recommended = /^Did you mean (.+)\?$/.exec(message)?.[1];
  if (recommended !== undefined) {
    const words = argv.filter((one) => !one.startsWith('-'));
    const word =
      words.toSorted((a, b) => editDistance(a, recommended) - editDistance(b, recommended))[0] ?? '';
    return [`There is no command "${word}". Did you mean "${recommended}"?`, help];
  }
  const unknown = /^Unknown arguments?: (.+)$/.exec(message)?.[1]?.split(', ');
  if (unknown !== undefined) return [explainUnknown(unknown, options, argv), help];
  if (message.startsWith('Not enough non-option arguments')) {
    return [
      `${operands.length === 0 ? 'Something' : operands.join(' ')} is missing after the command.`,
      help,
    ];
  }
  const valueless = /^Not enough arguments following: (.+)$/.exec(message)?.[1];
  if (valueless !== undefined) return [`The option --${valueless} needs a value.`, help];
  const missing = /^Missing required arguments?: (.+)$/m.exec(message)?.[1]?.split(', ');
  if (missing !== undefined) {
    const names = missing.map((name) => `--${name}`).join(', ');
    return [`The option${missing.length === 1 ? '' : 's'} ${names} must be given.`, help];
  }
  const refused = /^Invalid values:\s+Argument: (\S+), Given: (.+?), Choices: (.+)$/s.exec(message);
  if (refused !== null) return explainChoice(refused[1] ?? '', refused[2] ?? '', refused[3] ?? '', places);
  const exclusive = /^Arguments (\S+) and (\S+) are mutually exclusive$/.exec(message);
  if (exclusive !== null) return [`--${exclusive[1]} and --${exclusive[2]} exclude each other.`, help];
  const sentence = message.replaceAll(/\s+/g, ' ').trim();
  return [sentence.endsWith('.') ? sentence : `${sentence}.`, help];
}

/** An option that a command line names twice, as it is spelt there; the parser would take the last one silently. */
export function findRepeated(argv: readonly string[]): string | undefined {
  const end = argv.indexOf('--');
  const words = (end === -1 ? argv : argv.slice(0, end)).filter((word) => /^--[a-z]/i.test(word));
  // The parser takes an option in camel case, too.
  const names = words.map((word) => nameOf(word).replaceAll('-', '').toLowerCase());
  const at = names.findIndex((name, index) => names.indexOf(name) !== index);
  const word = words[at];
  return word === undefined ? undefined : `--${nameOf(word)}`;
}

/** `given` and `choices` are lists of quoted words. */
function explainChoice(
  name: string,
  given: string,
  choices: string,
  places: readonly string[],
): [string, string] {
  const words = [...(choices.split('\n', 1)[0]?.matchAll(/"([^"]*)"/g) ?? [])].map(([, word = '']) => word);
  const isOperand = places.includes(name);
  const guess = nearestName(given.replaceAll('"', ''), words);
  const what = isOperand ? name : `--${name}`;
  return [
    `${given} is no value for ${what}.${guess === undefined ? '' : ` Did you mean "${guess}"?`}`,
    `One of: ${words.join(', ')}`,
  ];
}

function explainUnknown(
  unknown: readonly string[],
  known: readonly string[],
  argv: readonly string[],
): string {
  // yargs names an option twice, as it was written and in camel case.
  const name = unknown.find((one) => argv.some((word) => nameOf(word) === one)) ?? unknown[0] ?? '';
  if (!argv.some((word) => word.startsWith('-') && nameOf(word) === name)) {
    return `"${name}" is one word too many, or no command.`;
  }
  const guess = nearestName(name, known);
  const option = name.length === 1 ? `-${name}` : `--${name}`;
  return `There is no option ${option} here.${guess === undefined ? '' : ` Did you mean --${guess}?`}`;
}

function nameOf(word: string): string {
  return word.replace(/^-+/, '').replace(/=.*$/s, '');
}

/**
 * The command at hand, its options and what it has to be given, read from its help text: what yargs gives to `fail` can print help, and says it
 * nowhere else. Without the text the errors are only less helpful.
 */
function readHelp(current: unknown): {
  commands: string[];
  options: string[];
  operands: string[];
  places: string[];
} {
  const help: unknown =
    typeof current === 'object' && current !== null ? Reflect.get(current, 'help') : undefined;
  const text: unknown = typeof help === 'function' ? Reflect.apply(help, current, []) : undefined;
  if (typeof text !== 'string') return { commands: [], options: [], operands: [], places: [] };
  const words = (text.split('\n', 1)[0] ?? '').split(' ').slice(1);
  const end = words.findIndex((word) => !/^[a-z-]+$/.test(word));
  return {
    commands: end === -1 ? words : words.slice(0, end),
    operands: words.filter((word) => /^<.+>$/.test(word)),
    places: words.filter((word) => /^[<[]/.test(word)).map((word) => word.slice(1, -1)),
    options: [...text.matchAll(/--([a-z][a-z-]*)/g)].map((match) => match[1] ?? ''),
  };
}
