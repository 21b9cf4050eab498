/**
 * Rules about the commands of the manifest: each is one text for a shell, put behind the handler's folder.
 * Source: agent-contract 1.3, 6.1, 6.2.
 */
import {
  COMMAND_KEYS,
  HANDLER_MANIFEST_KEY,
  type HandlerManifest,
  OPERATIONS,
} from '@handlerkit/sdk/contract';
import type { FileFacts } from './file-facts.ts';
import { type Finding, findingFor } from './rule.ts';

const SHELL = 'WALinuxAgent 2.15 ga/exthandlers.py launch_command';

export const COMMAND_RULES = {
  'command-file': {
    severity: 'error',
    reason:
      "The agent puts the handler's folder in front of the command, so its first word has to be a file of the package.",
    source: SHELL,
    fix: 'Name a file of the package first; to use a program of the machine, call it from a script.',
  },
  'command-slash': {
    severity: 'warning',
    reason: 'The agent takes the first slash away: the command is not absolute, although it looks so.',
    source: SHELL,
    fix: 'Write the command without the slash.',
  },
  'command-shell': {
    severity: 'warning',
    reason:
      'The command is a text for the shell, and under systemd-run only its first part runs in the scope of the agent.',
    source: 'WALinuxAgent 2.15 ga/cgroupapi.py start_extension_command; systemd-run(1)',
    fix: 'Move pipes, redirections, variables and quotes into a script.',
  },
  'command-first-word': {
    severity: 'error',
    reason:
      'A blank, a quote or a special character in the path of the program is read by the shell, which then starts something else.',
    source: SHELL,
    fix: 'Name the program with letters, digits, ".", "_", "-" and "/" only.',
  },
  'command-mode': {
    severity: 'warning',
    reason:
      'The bit is lost or was never there. The agent of Azure VMs sets it for the owner; other agents that run the same zip may not.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py initialize',
    fix: 'Make the file executable (chmod +x) and pack it on Linux or with a program that keeps modes.',
  },
  'command-program': {
    severity: 'warning',
    reason:
      'The file is no ELF program and has no "#!", so it only starts where a shell takes pity on it, and not under systemd-run.',
    source: 'WALinuxAgent 2.15 ga/cgroupapi.py start_extension_command; execve(2)',
    fix: 'Begin the script with #!/bin/sh.',
  },
} as const;

/** Checks each command of `manifest`, which stands in `file`, against the files of the package. */
export function checkCommandTargets(
  manifest: HandlerManifest,
  file: string,
  facts: readonly FileFacts[],
): readonly Finding[] {
  const targets = new Map<string, FileFacts>();
  for (const one of facts) if (one.file.kind !== 'folder') targets.set(one.file.path, one);
  const judged = new Set<string>();
  return OPERATIONS.flatMap((operation) => {
    const command = manifest.commands[operation];
    if (command === undefined || command.trim() === '') return [];
    const path = `[0].${HANDLER_MANIFEST_KEY}.${COMMAND_KEYS[operation]}`;
    const found = checkText(command, file, path);
    const target = programOf(command);
    const known = targets.get(target);
    if (known === undefined) {
      return [
        ...found,
        ...(isPlain(target)
          ? [
              finding(
                'command-file',
                file,
                `names ${JSON.stringify(target)}, which is not in the package.`,
                path,
              ),
            ]
          : []),
      ];
    }
    if (judged.has(target)) return found;
    judged.add(target);
    return [...found, ...checkTarget(known)];
  });
}

/** The path inside the package of the program that a command starts. */
export function programOf(command: string): string {
  const [word = ''] = command.replace(/^\/+/, '').split(/[ \t\n]/, 1);
  return word
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

const finding = findingFor(COMMAND_RULES);

function isPlain(word: string): boolean {
  return /^[A-Za-z0-9._/+@%=,:-]+$/.test(word);
}

function checkText(command: string, file: string, path: string): Finding[] {
  const found: Finding[] = [];
  if (command.startsWith('/')) found.push(finding('command-slash', file, 'begins with a slash.', path));
  const target = programOf(command);
  if (!isPlain(target)) {
    found.push(finding('command-first-word', file, `begins with ${JSON.stringify(target)}.`, path));
  }
  const rest = command.slice(command.search(/[ \t\n]|$/));
  if (/[|&;<>()$`\\"'*?[\]#~!{}\n]/.test(rest)) {
    found.push(finding('command-shell', file, 'holds characters that the shell reads.', path));
  }
  return found;
}

function checkTarget({ file, head, elf }: FileFacts): Finding[] {
  const found: Finding[] = [];
  if (file.mode === undefined || (file.mode & 0o100) === 0) {
    const mode = file.mode === undefined ? 'no mode' : `the mode ${file.mode.toString(8)}`;
    found.push(finding('command-mode', file.name, `is started by a command and has ${mode}.`));
  }
  const isScript =
    head?.subarray(0, 3).equals(MARK) === true || head?.subarray(0, 2).toString('latin1') === '#!';
  if (head !== undefined && elf === undefined && !isScript) {
    found.push(
      finding('command-program', file.name, 'is started by a command and is neither a program nor a script.'),
    );
  }
  return found;
}

/** A script behind a byte order mark has a rule of its own. */
const MARK = Buffer.from([0xef, 0xbb, 0xbf]);
