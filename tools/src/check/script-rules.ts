/**
 * Rules about scripts: what the kernel needs to start one.
 * Source: execve(2); sdk-anchors 5 (exit 127 from CRLF, issue 1002 of the agent); agent-contract 6.1, 6.2.
 */
import type { FileFacts } from './file-facts.ts';
import { type Finding, findingFor } from './rule.ts';

export const SCRIPT_RULES = {
  'script-crlf': {
    severity: 'error',
    reason:
      'With CRLF the kernel looks for an interpreter whose name ends in a carriage return, and a shell reads one at each end of line: exit code 127.',
    source: 'execve(2)',
    fix: 'Store the script with LF line ends (in git: *.sh text eol=lf).',
  },
  'script-bom': {
    severity: 'error',
    reason:
      'Before a byte order mark the kernel does not see the "#!", so the script runs in the wrong interpreter or not at all.',
    source: 'execve(2)',
    fix: 'Store the script as UTF-8 without a byte order mark.',
  },
  'script-interpreter': {
    severity: 'warning',
    reason: 'Not every image has this interpreter; without it the command fails with exit code 126 or 127.',
    source: 'execve(2); learn.microsoft.com/azure/virtual-machines/extensions/features-linux',
    fix: 'Use #!/bin/sh, look for the interpreter there, and exit with 51 or 52 and a clear message without it.',
  },
} as const;

/** Checks every script: what begins with "#!" or has a script's name. */
export function checkScripts(facts: readonly FileFacts[]): readonly Finding[] {
  return facts.flatMap(({ file, head }) =>
    head === undefined || file.kind !== 'file' ? [] : checkScript(file.name, head),
  );
}

const finding = findingFor(SCRIPT_RULES);
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
/** On all distributions that the agent supports; the agent itself needs Python 3. */
const KNOWN = /^(\/usr)?\/bin\/(sh|bash|dash|env +(-S +)?(sh|bash|python3)|python3)( |$)/;

function checkScript(name: string, head: Buffer): Finding[] {
  const hasMark = head.subarray(0, 3).equals(BYTE_ORDER_MARK);
  const text = head.toString('latin1', hasMark ? 3 : 0);
  const isMarked = text.startsWith('#!');
  if (!isMarked && !/\.(sh|bash|py)$/i.test(name)) return [];
  const found: Finding[] = [];
  if (hasMark && isMarked) found.push(finding('script-bom', name, 'begins with a byte order mark.'));
  const [line = ''] = text.split('\n', 1);
  const isPython = /\.py$/i.test(name) || /python/.test(line);
  if (
    isMarked
      ? line.endsWith('\r') || (!isPython && text.includes('\r\n'))
      : !isPython && text.includes('\r\n')
  ) {
    found.push(finding('script-crlf', name, 'has CRLF line ends.'));
  }
  const interpreter = line.slice(2).trim();
  if (isMarked && !KNOWN.test(interpreter)) {
    found.push(
      finding('script-interpreter', name, `asks for the interpreter ${JSON.stringify(interpreter)}.`),
    );
  }
  return found;
}
