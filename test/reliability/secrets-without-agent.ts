/**
 * The parts of the secrets campaign that need no agent: every program that a run starts, with its arguments and environment as the
 * kernel gets them; kills; and a handler that dies in a way that makes others write a core dump.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { until } from '../await-condition.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler } from '../unpacked-handler.ts';
import type { BrokenNetwork } from './broken-network.ts';
import { prepareNetwork } from './broken-network.ts';
import type { CustomScriptCases } from './secrets-custom-script.ts';
import { DATA_FOLDER_MODES, HANDLER_FOLDER_MODES, LOG_FOLDER_MODES } from './secrets-holders.ts';
import type { Ledger } from './secrets-ledger.ts';
import type { ProbeCases } from './secrets-probe.ts';
import type { SecretSettings } from './secrets-tool.ts';

/** Whether every start of a program can be seen here. */
export const HAS_STRACE = spawnSync('strace', ['-V'], { stdio: 'ignore' }).status === 0;

/** Runs each under strace to its end. Gives how many programs were started. */
export async function watchPrograms(
  unpacked: UnpackedPackage,
  all: readonly SecretSettings[],
  ledger: Ledger,
): Promise<number> {
  let programs = 0;
  for (const settings of all) {
    await onMachine('programs', unpacked, ledger, async (handler) => {
      const trace = `${dirname(handler.libFolder)}.trace`;
      const limits = [
        '-f',
        '--seccomp-bpf',
        '-v',
        '-s',
        '1000000',
        '-e',
        'trace=execve',
        '-e',
        'signal=none',
        '-o',
        trace,
      ];
      try {
        write(handler, settings);
        await handler.run('enable', { wrapper: ['strace', ...limits] });
        await ended(handler);
        for (const line of readFileSync(trace, 'latin1').split('\n')) {
          const [, program = '', words, environment] =
            /execve\("([^"]*)", (\[.*?\]), (\[.*)/.exec(line) ?? [];
          if (words === undefined || environment === undefined) continue;
          programs++;
          ledger.text(`cmdline ${program}`, words);
          ledger.text(`environ ${program}`, environment);
        }
      } finally {
        rmSync(trace, { force: true });
      }
    });
  }
  return programs;
}

/** Kills a run in its middle, and lets the next enable clean up. */
export async function killInTheMiddle(
  unpacked: UnpackedPackage,
  settings: SecretSettings,
  ledger: Ledger,
  network?: BrokenNetwork,
): Promise<void> {
  await onMachine('kill', unpacked, ledger, async (handler, search) => {
    const prepared = network === undefined ? undefined : prepareNetwork(handler, network);
    try {
      write(handler, settings);
      const run = handler.start('enable', prepared === undefined ? {} : { wrapper: prepared.wrapper });
      await until('a first word of the run', () => {
        const text = logOf(handler);
        return (
          text.includes('try again') ||
          text.includes('tried again') ||
          handler.readStatus(0)?.message.includes(':')
        );
      });
      search();
      for (const pid of handler.processes()) process.kill(pid, 'SIGKILL');
      await run.ended;
      await handler.run('enable', prepared === undefined ? {} : { wrapper: prepared.wrapper });
      await until('the end of the second run', () => isFinal(handler));
    } finally {
      prepared?.end();
    }
  });
}

/** Ends the program by SIGABRT where the system lets it write a core dump. Gives how many there are, and how many may be written. */
export async function countCoreDumps(
  unpacked: UnpackedPackage,
  cases: ProbeCases,
  ledger: Ledger,
): Promise<number> {
  let dumps = 0;
  await onMachine('core dump', unpacked, ledger, async (handler) => {
    write(handler, cases.waiting());
    const allow = ['/bin/bash', '-c', 'ulimit -c unlimited; exec "$@"', 'bash'];
    const run = handler.start('enable', { wrapper: allow });
    await until('the run', () => handler.readStatus(0)?.message.includes('hidden'));
    const programs = handler
      .processes()
      .filter((pid) => /\/bin\/handler-/.test(readlinkSync(`/proc/${pid}/exe`)));
    if (programs.length === 0) throw new Error('the program of the handler was not found');
    for (const pid of programs) {
      const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
      if (!/^Max core file size\s+0\s/m.test(limits)) dumps++;
      process.kill(pid, 'SIGABRT');
    }
    await run.ended;
    const list = execFileSync('find', [dirname(handler.libFolder), '-name', 'core*', '-size', '+64k'], {
      encoding: 'utf8',
    });
    dumps += list.split('\n').length - 1;
  });
  return dumps;
}

/** The whole life of an extension. */
export async function liveWithoutAgent(
  unpacked: UnpackedPackage,
  cases: CustomScriptCases,
  ledger: Ledger,
): Promise<void> {
  await onMachine('life', unpacked, ledger, async (handler, search) => {
    await handler.run('install');
    write(handler, cases.long(1));
    await handler.run('enable');
    handler.addVersion('1.1.0');
    await handler.run('disable');
    const variables = { updatingFromVersion: '1.0.0', targetVersion: '1.1.0', disableExitCode: '0' };
    await handler.run('update', { version: '1.1.0', variables });
    search();
    await handler.run('uninstall');
    await until('the end of the adopted run', () => isFinal(handler, '1.1.0'));
    search();
    await handler.run('disable', { version: '1.1.0' });
    await handler.run('uninstall', { version: '1.1.0' });
  });
}

type Play = (handler: LaidOutHandler, search: () => void) => Promise<void>;

async function onMachine(
  title: string,
  unpacked: UnpackedPackage,
  ledger: Ledger,
  play: Play,
): Promise<void> {
  const handler = layOutHandler(unpacked);
  const root = dirname(handler.libFolder);
  const search = (): void => {
    ledger.tree(`without agent, ${title}`, root);
  };
  try {
    await play(handler, search);
    await ended(handler);
    search();
    for (const entry of readdirSync(handler.libFolder)) {
      if (entry.startsWith(`${unpacked.handlerName}-`))
        ledger.modes(entry, join(handler.libFolder, entry), HANDLER_FOLDER_MODES);
    }
    for (const data of ['custom-script', `${unpacked.handlerName}.data`])
      ledger.modes(data, join(handler.libFolder, data), DATA_FOLDER_MODES);
    ledger.modes('log', handler.logFolder, LOG_FOLDER_MODES);
  } finally {
    handler.remove();
  }
}

function write(handler: LaidOutHandler, { public: open, protected: hidden }: SecretSettings): void {
  handler.writeSettings(0, { ...(open === undefined ? {} : { public: Object(open) }), protected: hidden });
}

function logOf(handler: LaidOutHandler): string {
  const names = readdirSync(handler.logFolder).filter((name) => name.endsWith('.log'));
  return names.map((name) => readFileSync(join(handler.logFolder, name), 'utf8')).join('\n');
}

function isFinal(handler: LaidOutHandler, version = '1.0.0'): boolean {
  const status = handler.readStatus(0, { version });
  return status !== undefined && status.status !== 'transitioning';
}

async function ended(handler: LaidOutHandler): Promise<void> {
  await until('the end of all processes', () => handler.processes().length === 0);
}
