/**
 * What a packed handler leaves for the agent: statuses that it reports word for word, telemetry events that it collects,
 * logs in its folder, and messages on stderr. Each status is judged by the rules of the agent.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AGENT_OUTPUT_SHARE_CHARACTERS,
  AGENT_STATUS_LIMIT_CHARACTERS,
  CUT_MARK,
  ERROR_CLARIFICATION,
  EVENT_LIMITS,
  EXIT_CODES,
  HANDLER_ENVIRONMENT_FILE,
  isEventFile,
  OPERATIONS,
  parseEventFile,
  STATUS_TARGET_BYTES,
} from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';

describe('a packed handler', () => {
  let unpacked: UnpackedPackage;
  let handler: LaidOutHandler;
  beforeAll(() => {
    unpacked = unpackPackage(inject('probeZip'));
  });
  afterAll(() => unpacked.remove());
  beforeEach(() => {
    handler = layOutHandler(unpacked);
  });
  afterEach(() => handler.remove());

  const enable = (...steps: unknown[]) => handler.enable(0, { public: { steps } });
  const gate = (): string => join(handler.libFolder, 'go');
  /** The agent reports just what the file says. */
  const expectReported = (): void => {
    const { explanation, silencesVm, reported } = handler.judge(0);
    expect({ explanation, silencesVm }).toEqual({ explanation: undefined, silencesVm: false });
    const status = handler.readStatus(0);
    expect(reported).toMatchObject({ status: status?.status, code: status?.code, message: status?.message });
  };

  describe('reports', () => {
    it('its progress with substatuses while it works, and success at the end', async () => {
      const substatus = [
        { name: 'download', status: 'success', code: 0, message: '3 files' },
        { name: 'install', status: 'transitioning', code: 7, message: 'package 1 of 2' },
      ];
      handler.writeSettings(0, {
        public: {
          steps: [
            { do: 'report', message: 'installing', substatus },
            { do: 'wait-for-file', path: gate() },
            { do: 'end', message: 'installed', substatus: [{ ...substatus[1], status: 'success' }] },
          ],
        },
      });
      const operation = handler.start('enable');
      await until('the progress', () => handler.readStatus(0)?.message.includes('installing'));
      expect(handler.readStatus(0)).toMatchObject({
        operation: 'Enable',
        status: 'transitioning',
        message: 'Enable in progress: installing',
        substatus,
      });
      expectReported();
      writeFileSync(gate(), '');
      await operation.ended;
      expect(handler.readStatus(0)).toMatchObject({
        status: 'success',
        code: 0,
        message: 'Enable succeeded: installed',
        substatus: [{ name: 'install', status: 'success', code: 7 }],
      });
      expectReported();
    });

    it('a warning with its code, and exits 0', async () => {
      const end = { do: 'end', status: 'warning', code: 12, message: 'half of it' };
      const { exitCode, status } = await enable(end);
      expect(exitCode).toBe(0);
      expect(status).toMatchObject({ status: 'warning', code: 12, message: 'Enable succeeded: half of it' });
      expectReported();
    });

    it(`an error with its code in the status and in a substatus ${ERROR_CLARIFICATION}`, async () => {
      const fail = {
        do: 'fail',
        code: 'NO_DISK',
        message: 'no disk; attach one',
        statusCode: 42,
        exitCode: 9,
      };
      const { exitCode, status, stderr } = await enable(fail);
      expect(exitCode).toBe(9);
      expect(status).toMatchObject({
        status: 'error',
        code: 42,
        message: 'Enable failed: no disk; attach one',
        substatus: [{ name: ERROR_CLARIFICATION, status: 'error', code: 42, message: 'NO_DISK' }],
      });
      expect(stderr).toBe('Enable failed: NO_DISK: no disk; attach one\n');
      expectReported();
    });

    it('the parts of an error behind its code', async () => {
      const substatus = [
        { name: 'user', status: 'warning', code: 0, message: 'taken back' },
        { name: 'disk', status: 'error', code: 42, message: 'no disk' },
      ];
      const { status } = await enable({
        do: 'fail',
        code: 'NO_DISK',
        message: 'no disk',
        statusCode: 42,
        substatus,
      });
      expect(status.substatus).toEqual([
        { name: ERROR_CLARIFICATION, status: 'error', code: 42, message: 'NO_DISK' },
        ...substatus,
      ]);
      expectReported();
    });

    it('the output of a command that failed, and its exit code', async () => {
      const { status } = await enable({
        do: 'exec',
        argv: ['/bin/sh', '-c', 'echo out; echo err >&2; exit 3'],
      });
      expect(status).toMatchObject({ status: 'error', code: 3 });
      expect(status.message).toBe('Enable failed: /bin/sh ended with 3\n[stdout]\nout\n\n[stderr]\nerr\n');
    });

    it('never success for an exit code 0 that an error asks for', async () => {
      const { exitCode, status } = await enable({ do: 'fail', code: 'ODD', message: 'odd', exitCode: 0 });
      expect(exitCode).toBe(EXIT_CODES.handlerError);
      expect(status.status).toBe('error');
    });
  });

  describe('keeps its status under the limit of the agent', () => {
    const size = (): number => statSync(handler.statusFile(0)).size;

    it('with a message of ten million characters, cut with a mark so that the agent does not cut it', async () => {
      const { status } = await enable({ do: 'end', message: 'lines of output\n', times: 625_000 });
      expect(size()).toBeLessThan(STATUS_TARGET_BYTES);
      expect(status.message).toContain(CUT_MARK);
      expect(status.message).toMatch(/^Enable succeeded: lines of output\n/);
      expect(status.message).toMatch(/lines of output\n$/);
      expectReported();
    });

    it('with characters that JSON writes in six, in as many substatuses as one likes', async () => {
      const one = {
        name: '\u0001'.repeat(300),
        status: 'error',
        code: 1,
        message: '\u0002"\\😀'.repeat(2_000),
      };
      await enable({ do: 'end', message: '\u0003', times: 100_000, substatus: Array(40).fill(one) });
      expect(size()).toBeLessThan(AGENT_STATUS_LIMIT_CHARACTERS);
      expectReported();
    });

    it('with a command that prints a hundred million bytes without a line break', async () => {
      const { status } = await enable({
        do: 'exec',
        argv: ['/bin/sh', '-c', "head -c 100000000 /dev/zero | tr '\\0' x; echo the end"],
      });
      expect(status.status).toBe('success');
      expect(status.message).toContain('xthe end\n');
      expect(size()).toBeLessThan(STATUS_TARGET_BYTES);
      expectReported();
    });
  });

  it('writes valid text whatever a command prints: no UTF-8, control characters, half a character', async () => {
    const octal = '\\377\\376 \\000 \\033[31mred\\033[0m \\303\\251t\\303\\251 \\360\\237\\230';
    const { status } = await enable({ do: 'exec', argv: ['printf', octal] });
    expect(status.message).toBe('Enable succeeded: [stdout]\n�� � �[31mred�[0m été �\n[stderr]\n');
    const bytes = readFileSync(handler.statusFile(0));
    expect(Buffer.from(bytes.toString('utf8')).equals(bytes)).toBe(true);
    expectReported();
  });

  it('writes each status whole: who reads all the time never sees half of one', async () => {
    const reports = Array.from({ length: 200 }, (_, n) => ({ do: 'report', message: `${n} `.repeat(2_000) }));
    handler.writeSettings(0, { public: { steps: reports } });
    const operation = handler.start('enable');
    let isOver = false;
    void operation.ended.then(() => {
      isOver = true;
    });
    const seen = new Set<string>();
    while (!isOver) {
      const status = handler.readStatus(0);
      if (status !== undefined) seen.add(status.message);
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Parsing throws at half a status, so to have come here is the proof; this says that there was something to see.
    expect(seen.size).toBeGreaterThan(3);
    expect(readdirSync(join(handler.folder(), 'status'))).toEqual(['0.status']);
  });

  it('writes no status for install, update, disable and uninstall, also when they fail', async () => {
    const before = await enable({ do: 'end', message: 'the result of enable' });
    const text = readFileSync(handler.statusFile(0), 'utf8');
    const variables = { updatingFromVersion: '1.0.0', targetVersion: '1.0.0' };
    for (const operation of OPERATIONS.filter((one) => one !== 'enable')) {
      mkdirSync(handler.dataFolder, { recursive: true });
      writeFileSync(
        join(handler.dataFolder, `plan-${operation}.json`),
        JSON.stringify([{ do: 'throw', message: `no ${operation}` }]),
      );
      const failed = await handler.run(operation, { variables });
      expect([operation, failed.exitCode]).toEqual([operation, 1]);
      expect(failed.stderr).toMatch(new RegExp(`^\\w+ failed: HANDLER_FAILED: no ${operation}\n$`));
      const done = await handler.run(operation, { variables });
      expect([operation, done.exitCode, done.stderr]).toEqual([operation, 0, '']);
    }
    expect(before.status.message).toBe('Enable succeeded: the result of enable');
    expect(readFileSync(handler.statusFile(0), 'utf8')).toBe(text);
    expect(handler.readStatus(1)).toBeUndefined();
  });

  it('stays on stderr within what the agent shows, and on stdout silent', async () => {
    const { exitCode, stderr, stdout } = await enable({
      do: 'fail',
      code: 'LONG',
      message: `begin ${'ünd '.repeat(5_000)} end`,
    });
    expect(exitCode).toBe(1);
    expect([...stderr].length).toBeLessThan(AGENT_OUTPUT_SHARE_CHARACTERS);
    expect(stderr).toMatch(/^Enable failed: LONG: begin ünd /);
    expect(stderr).toMatch(/ end\n$/);
    expect(stdout).toBe('');
  });

  it.each([
    ['unsupported system', 'UNSUPPORTED_SYSTEM', EXIT_CODES.unsupportedSystem, 51],
    ['missing dependency', 'DEPENDENCY_MISSING', EXIT_CODES.dependencyMissing, 52],
    ['wrong settings', 'SETTINGS_INVALID', EXIT_CODES.configurationError, 10],
    ['locked package manager', 'PACKAGE_MANAGER_LOCKED', EXIT_CODES.packageManagerLocked, 56],
  ])('exits with the code of its own kind: %s', async (_, code, exitCode, statusCode) => {
    const ended = await enable({ do: 'fail', code, message: 'so it is' });
    expect(ended).toMatchObject({ exitCode, status: { status: 'error', code: statusCode } });
  });

  it('refuses another word than an operation with 2, and says which there are', async () => {
    const { exitCode, stderr } = await handler.run('enable', {
      wrapper: ['/bin/sh', '-c', `exec ${handler.folder()}/bin/handler resetState`],
    });
    expect(exitCode).toBe(EXIT_CODES.wrongUsage);
    expect(stderr).toBe(
      'Handler failed: WRONG_USAGE: say one operation: install, enable, disable, update, uninstall\n',
    );
  });

  describe('sends telemetry events', () => {
    const collect = () =>
      readdirSync(handler.eventsFolder).map((name) => {
        expect(isEventFile(name)).toBe(true);
        const file = join(handler.eventsFolder, name);
        return parseEventFile(readFileSync(file, 'utf8'), file);
      });

    it('that the agent collects, with all eight fields and linked by operation', async () => {
      await enable({ do: 'event', message: 'seen', count: 3 });
      const collected = collect();
      expect(collected.flatMap(({ dropped }) => dropped)).toEqual([]);
      const events = collected.flatMap((one) => one.events);
      const own = events.filter(({ taskName }) => taskName === 'probe');
      expect(own.map(({ message }) => message).sort()).toEqual(['seen 0', 'seen 1', 'seen 2']);
      expect(own[0]).toMatchObject({ level: 'Informational', version: '1.0.0' });
      expect(own[0]?.pid).toBe(String(handler.trace()[0]?.pid));
      expect(new Set(events.map(({ operationId }) => operationId)).size).toBe(1);
      expect(events).toContainEqual(expect.objectContaining({ taskName: 'enable', level: 'Informational' }));
    });

    it('no more than the agent takes in a period, nothing but events, and counts the rest in the log', async () => {
      const { status } = await enable({ do: 'event', message: 'many', count: 400 });
      expect(status.status).toBe('success');
      expect(collect().flatMap(({ events }) => events)).toHaveLength(EVENT_LIMITS.eventsPerPeriod);
      const log = readFileSync(join(handler.logFolder, 'handler.log'), 'utf8');
      expect(log).toContain('"dropped":40');
    });

    it('cut to what the agent takes', async () => {
      await enable({ do: 'event', message: 'é"\n'.repeat(4_000) });
      const [event] = collect().flatMap(({ events }) =>
        events.filter(({ taskName }) => taskName === 'probe'),
      );
      expect(event?.message.length).toBeLessThanOrEqual(EVENT_LIMITS.messageCharacters);
      expect(event?.message).toMatch(/^é"\né"\n/);
      expect(collect().flatMap(({ dropped }) => dropped)).toEqual([]);
    });
  });

  describe('logs', () => {
    const lines = (): Record<string, unknown>[] =>
      readFileSync(join(handler.logFolder, 'handler.log'), 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line));

    it('one JSON object a line with level, time, version and operation, whatever the message holds', async () => {
      await enable(
        { do: 'log', level: 'debug', message: 'two\nlines', fields: { count: 3, deep: { list: [1] } } },
        { do: 'log', level: 'warn', message: 'bell \u0007' },
      );
      const [debug, warning] = lines().filter(({ level }) => level !== 'info');
      expect(debug).toMatchObject({
        level: 'debug',
        version: '1.0.0',
        operation: 'enable',
        sequence: 0,
        message: 'two\nlines',
        count: 3,
        deep: { list: [1] },
      });
      expect(Date.parse(String(debug?.time))).toBeGreaterThan(Date.now() - 600_000);
      expect(warning).toMatchObject({ level: 'warn', message: 'bell \uFFFD' });
    });

    it('into one file for all versions and processes, and two at once do not mix their lines', async () => {
      handler.addVersion('1.1.0');
      const steps = Array.from({ length: 300 }, (_, n) => ({
        do: 'log',
        level: 'info',
        message: `line ${n}`,
      }));
      handler.writeSettings(0, { public: { steps } });
      handler.writeSettings(0, { public: { steps } }, { version: '1.1.0' });
      await Promise.all([
        handler.run('enable'),
        handler.run('enable', { version: '1.1.0' }),
        handler.run('disable'),
      ]);
      const count = (version: string): number =>
        lines().filter((line) => line.version === version && String(line.message).startsWith('line ')).length;
      expect([count('1.0.0'), count('1.1.0')]).toEqual([300, 300]);
    });

    it('or nowhere, when the folders of log and events cannot be written; nothing fails by that', async () => {
      const file = join(handler.libFolder, 'no-folder');
      writeFileSync(file, '');
      const environment = join(handler.folder(), HANDLER_ENVIRONMENT_FILE);
      writeFileSync(environment, readFileSync(environment, 'utf8').replaceAll(handler.logFolder, file));
      // The probe's own trace is in that folder, so these settings end before they come to it.
      const { exitCode, status } = await handler.enable(0, { public: { unknown: 1 } });
      expect(exitCode).toBe(EXIT_CODES.configurationError);
      expect(status).toMatchObject({ status: 'error', code: 10 });
    });
  });
});
