import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EVENT_LIMITS, isEventFile, parseEventFile } from './contract/events.ts';
import { agentHandlerEnvironment } from './contract/handler-environment.ts';
import { execCommand } from './exec.ts';
import type { Logger } from './handler.ts';
import { createHost } from './host.ts';
import { HANDLER_LOG_FILE, openLog } from './log.ts';
import { createRedactor } from './redaction.ts';

let folder: string;
let file: string;
let events: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-log-'));
  file = join(folder, 'log', HANDLER_LOG_FILE);
  events = join(folder, 'events');
  mkdirSync(events);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const context = {
  version: '1.0.0',
  operation: 'enable',
  sequence: 3,
  extensionName: undefined,
  operationId: 'operation',
};

function open(secrets: readonly string[] = [], eventsFolder: string | undefined = events): Logger {
  const redactor = createRedactor();
  redactor.addSecrets(secrets);
  const environment = { ...agentHandlerEnvironment(folder, join(folder, 'log')), eventsFolder };
  return openLog(createHost(), environment, redactor, context);
}
const lines = (path = file): Record<string, unknown>[] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('the log', () => {
  it('has one JSON object a line, with what every line says', () => {
    const log = open();
    for (const level of ['debug', 'info', 'warn', 'error'] as const)
      log[level](`a\nb ${level}`, { n: 1, list: ['x'] });
    expect(lines().map(({ level, message }) => [level, message])).toEqual(
      ['debug', 'info', 'warn', 'error'].map((level) => [level, `a\nb ${level}`]),
    );
    expect(lines()[0]).toMatchObject({
      version: '1.0.0',
      operation: 'enable',
      sequence: 3,
      pid: process.pid,
      n: 1,
    });
    expect(lines()[0]?.time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(statSync(file).mode & 0o777).toBe(0o640);
  });

  it('hides secrets at any depth, and stays JSON whatever stands beside them', () => {
    const secret = 'p"ss\\w\u0001rd';
    open([secret]).info(`say "https://a/b?sig=${secret}" and ${secret}\\`, {
      deep: [{ url: 'curl "https://u:p@a/b?sig=1" x', secret }],
      json: JSON.stringify({ secret }),
    });
    expect(lines()[0]).toMatchObject({
      message: 'say "https://a/b?[hidden]" and [hidden]\\',
      deep: [{ url: 'curl "https://[hidden]@a/b?[hidden]" x', secret: '[hidden]' }],
      json: '{"secret":"[hidden]"}',
    });
  });

  it('writes no control characters and no lone surrogates', () => {
    open().info('a\u001b[31m\u0000b\ud800');
    expect(lines()[0]?.message).toBe('a\uFFFD[31m\uFFFDb\uFFFD');
  });

  it('keeps both ends of a message that is too long, and the message where fields have no JSON form', () => {
    const ring: Record<string, unknown> = {};
    ring.self = ring;
    const log = open();
    log.info(`begin ${'x'.repeat(100_000)} end`);
    log.info('with much', { much: 'x'.repeat(100_000) });
    log.info('with a ring', { ring });
    log.info('with a number', { big: 1n });
    const messages = lines().map(({ message }) => String(message));
    expect(messages[0]).toMatch(/^begin x+ \.\.\. \[cut\]\nx+ end$/);
    expect(messages.slice(1)).toEqual(['with much', 'with a ring', 'with a number']);
    expect(statSync(file).size).toBeLessThan(10_000);
  });

  it('becomes handler.log.1 when it is large, and one older file is kept', () => {
    const log = open();
    for (const generation of ['first', 'second']) {
      log.info(generation);
      writeFileSync(file, `${'x'.repeat(1024)}\n`.repeat(11 * 1024), { flag: 'a' });
    }
    log.info('third');
    expect(lines()).toMatchObject([{ message: 'third' }]);
    expect(readFileSync(`${file}.1`, 'utf8').split('\n')[0]).toContain('second');
    expect(readdirSync(join(folder, 'log')).sort()).toEqual(['handler.log', 'handler.log.1']);
  });

  it('of several processes at once has every line whole', async () => {
    const module = (name: string): string => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
    const script = `import { openLog } from ${module('./log.ts')}; import { createHost } from ${module('./host.ts')};
      import { createRedactor } from ${module('./redaction.ts')};
      const log = openLog(createHost(), { logFolder: ${JSON.stringify(join(folder, 'log'))} }, createRedactor(), ${JSON.stringify(context)});
      for (let i = 0; i < 500; i++) log.info('x'.repeat(i * 10), { i });`;
    const argv = [
      process.execPath,
      '--import',
      import.meta.resolve('tsx'),
      '--input-type=module',
      '--eval',
      script,
    ];
    const results = await Promise.all([execCommand(argv), execCommand(argv)]);
    expect(results.map(({ exitCode, stderr }) => [exitCode, stderr])).toEqual([
      [0, ''],
      [0, ''],
    ]);
    expect(lines()).toHaveLength(1_000);
    expect(lines().every(({ message, i }) => String(message).length === Number(i) * 10)).toBe(true);
  });

  it('does not wait for a reader of a pipe, and writes nothing to a device', () => {
    mkdirSync(join(folder, 'log'));
    execFileSync('mkfifo', [file]);
    open().info('nobody reads');
    rmSync(file);
    symlinkSync('/dev/full', file);
    open().info('no room');
    expect(readdirSync(join(folder, 'log'))).toEqual([HANDLER_LOG_FILE]);
  });

  it('that cannot be written fails nobody', () => {
    writeFileSync(join(folder, 'log'), 'no folder');
    expect(() => open().info('into the void')).not.toThrow();
    expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('no folder');
  });
});

describe('an event', () => {
  it('is a file that the agent reads, with its eight fields and no secret', () => {
    open(['s3cret']).event('Informational', 'enable', 'begun with s3cret');
    const [name = '', ...rest] = readdirSync(events);
    expect([isEventFile(name), rest]).toEqual([true, []]);
    const { events: read, dropped } = parseEventFile(readFileSync(join(events, name), 'utf8'), name);
    expect([read.length, dropped]).toEqual([1, []]);
    expect(read[0]).toMatchObject({
      version: '1.0.0',
      taskName: 'enable',
      level: 'Informational',
      message: 'begun with [hidden]',
      pid: String(process.pid),
      operationId: 'operation',
    });
    expect(statSync(join(events, name)).mode & 0o777).toBe(0o600);
  });

  it('has a file of its own, also among many of one moment', () => {
    const log = open();
    for (let i = 0; i < 50; i++) log.event('Verbose', 'task', `event ${i}`);
    expect(readdirSync(events)).toHaveLength(50);
  });

  it('that the agent would not take is dropped and counted in the log', () => {
    for (let i = 0; i < EVENT_LIMITS.eventsPerPeriod - 1; i++) writeFileSync(join(events, `${i}.json`), '{}');
    const log = open();
    log.event('Informational', 'task', 'the last one');
    log.event('Informational', 'task', 'one too many');
    log.event('Informational', 'task', '  ');
    expect(readdirSync(events)).toHaveLength(EVENT_LIMITS.eventsPerPeriod);
    expect(lines()).toMatchObject([{ dropped: 1 }, { dropped: 2 }]);
  });

  it('goes nowhere without an events folder, and leaves nothing behind when the folder is gone', () => {
    rmSync(events, { recursive: true });
    open().event('Informational', 'task', 'message');
    expect(readdirSync(folder)).toEqual(['log']);
    const redactor = createRedactor();
    const environment = {
      ...agentHandlerEnvironment(folder, join(folder, 'other')),
      eventsFolder: undefined,
    };
    openLog(createHost(), environment, redactor, context).event('Informational', 'task', 'message');
    expect(existsSync(join(folder, 'other'))).toBe(false);
  });

  it('is dropped, and fails nothing, where the events folder lies below a file', () => {
    writeFileSync(join(folder, 'a-file'), '');
    open([], join(folder, 'a-file', 'events')).event('Informational', 'task', 'message');
    expect(lines()).toMatchObject([{ dropped: 1 }]);
  });
});
