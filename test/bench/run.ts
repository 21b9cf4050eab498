/**
 * Program: measures everything that the design has a target for, one subject after the other, and lists the targets that are
 * missed. Run with `npm run bench`, with names (`enable`, `download`, …) for only these. A missed target is no failure: a
 * busy machine misses some. Ends with 1 when a subject could not be measured, with 2 when there is none of such a name.
 */
import { spawn } from 'node:child_process';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { MISSED } from './verdict.ts';

const SUBJECTS = ['enable', 'download', 'vm-set', 'pack', 'vm-access'] as const;

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter((name) => SUBJECTS.every((subject) => subject !== name));
  if (unknown.length > 0) {
    process.stderr.write(
      `nothing is measured by the name ${unknown.join(', ')}; there are ${SUBJECTS.join(', ')}\n`,
    );
    process.exitCode = 2;
    return;
  }
  print(`${new Date().toISOString().slice(0, 10)}, load at the beginning ${loadavg()[0]?.toFixed(1)}`);
  const lines: string[] = [];
  for (const subject of SUBJECTS.filter((one) => names.length === 0 || names.includes(one))) {
    print(`\n${subject}`);
    const { exitCode, stdout } = await measure(subject);
    if (exitCode !== 0) {
      process.exitCode = 1;
      print(`${subject} could not be measured`);
    }
    lines.push(...stdout.split('\n'));
  }
  const missed = lines.filter((line) => line.endsWith(MISSED));
  print(`\nTargets: ${lines.filter((line) => line.endsWith(': met')).length} met, ${missed.length} missed`);
  for (const line of missed) print(`  ${line}`);
}

/** In a process of its own, so that one subject's memory and servers are not in the way of the next. */
async function measure(
  subject: string,
): Promise<{ readonly exitCode: number | null; readonly stdout: string }> {
  const program = fileURLToPath(new URL(`${subject}.ts`, import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    process.stdout.write(chunk);
  });
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { exitCode, stdout };
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main(process.argv.slice(2));
