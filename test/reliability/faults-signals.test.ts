/**
 * Signals to a packed handler, and enables that come at once or again: one final status for each sequence, one run at most, no process that
 * is left, whatever comes when.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatSequenceFile, STATUS_FOLDER } from '@handlerkit/sdk/contract';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { LaidOutHandler, StartedOperation, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';
import { fewAtATime } from './tried-download.ts';

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

  const quiet = (): Promise<true> =>
    until('the end of all processes', () => handler.processes().length === 0 || undefined);
  /** An enable whose child does not heed the signals that ask it to end; the child's pid. */
  const startStubborn = async (
    sequence: number,
  ): Promise<{ operation: StartedOperation; worker: number }> => {
    const ready = join(handler.libFolder, `ready-${sequence}`);
    const script = `trap '' TERM INT HUP; echo begun; echo >${ready}; while :; do sleep 0.1; done`;
    handler.writeSettings(sequence, {
      public: { steps: [{ do: 'exec', argv: ['/bin/sh', '-c', script], graceMs: 300 }] },
    });
    const operation = handler.start('enable', { sequence });
    await until('the child', () => existsSync(ready) || undefined);
    return { operation, worker: handler.trace().at(-1)?.pid ?? 0 };
  };
  const left = (): string[] =>
    [handler.folder(), join(handler.folder(), STATUS_FOLDER), handler.dataFolder].flatMap((folder) =>
      readdirSync(folder).filter((name) => name.endsWith('.tmp') || name.startsWith('.lock')),
    );
  const counts = (): number[] => {
    const found = new Map<number | undefined, number>();
    for (const { sequence } of handler.trace()) found.set(sequence, (found.get(sequence) ?? 0) + 1);
    return [...found.values()];
  };

  it('A3: ends by SIGTERM, SIGINT or SIGHUP with a child that heeds none: it is killed, its output kept, and 1 the exit code', async () => {
    for (const [sequence, name] of (['SIGTERM', 'SIGINT', 'SIGHUP'] as const).entries()) {
      const { operation, worker } = await startStubborn(sequence);
      process.kill(worker, name);
      expect((await operation.ended).exitCode).toBe(1);
      expect(handler.readStatus(sequence)).toMatchObject({ status: 'error', code: 3 });
      expect(handler.readStatus(sequence)?.message).toBe(
        `Enable failed: the run was ended by ${name} before it finished\n[stdout]\nbegun\n\n[stderr]\n`,
      );
      await quiet();
    }
  });

  it('A3: by a signal to the whole group, or by a hundred, ends as by one', async () => {
    const group = await startStubborn(0);
    group.operation.signalGroup('SIGTERM');
    // The agent's shell is in the group, and goes at once.
    await group.operation.ended;
    await quiet();
    const many = await startStubborn(1);
    for (let n = 0; n < 100; n++) process.kill(many.worker, n % 2 === 0 ? 'SIGTERM' : 'SIGINT');
    expect((await many.operation.ended).exitCode).toBe(1);
    for (const sequence of [0, 1]) {
      expect(handler.readStatus(sequence)).toMatchObject({ status: 'error', code: 3 });
      expect(handler.readStatus(sequence)?.message).toContain('[stdout]\nbegun\n');
    }
    await quiet();
    expect(counts()).toEqual([1, 1]);
  });

  it('A3: by a signal at any moment leaves one final status, one run at most and no leftovers', async () => {
    const moments = Array.from({ length: 12 }, (_, n) => n * 8);
    for (const [sequence, ms] of moments.entries()) {
      const steps = [
        { do: 'exec', argv: ['true'] },
        { do: 'end', message: 'done' },
      ];
      handler.writeSettings(sequence, { public: { steps } });
      const operation = handler.start('enable', { sequence });
      await Promise.race([operation.ended, new Promise((resolve) => setTimeout(resolve, ms))]);
      try {
        operation.signalGroup(sequence % 2 === 0 ? 'SIGTERM' : 'SIGINT');
      } catch {
        // It was faster.
      }
      await operation.ended;
      await quiet();
      // Before the first line of the program, a signal ends it as any other: the next enable runs.
      await handler.run('enable', { sequence });
      expect([sequence, handler.readStatus(sequence)?.message]).toEqual([
        sequence,
        expect.stringMatching(
          /^Enable (succeeded: [\s\S]*done$|failed: the run (?:was ended by SIG|of sequence \d+ was interrupted: ))/,
        ),
      ]);
    }
    await quiet();
    expect(counts().filter((count) => count > 1)).toEqual([]);
    expect(left()).toEqual([]);
  });

  it('A7: asked for twenty sequences at once, ends with the newest done, every one told, and none run twice', async () => {
    const sequences = Array.from({ length: 20 }, (_, n) => n);
    const newest = sequences.length - 1;
    for (const sequence of sequences) {
      handler.writeSettings(sequence, { public: { steps: [{ do: 'end', message: `did ${sequence}` }] } });
    }
    // In no order: 7 has no common divisor with 20.
    const mixed = sequences.map((n) => (n * 7 + 3) % sequences.length);
    const results = await Promise.all(mixed.map((sequence) => handler.run('enable', { sequence })));
    expect(results.filter(({ exitCode }) => exitCode !== 0 && exitCode !== 1)).toEqual([]);
    expect(handler.readStatus(newest)?.message).toBe(`Enable succeeded: did ${newest}`);
    const verdict = (sequence: number) => {
      const { status, message = '' } = handler.readStatus(sequence) ?? {};
      const isTold = /did \d+$|newer settings arrived|is older than/.test(message);
      return isTold && (status === 'success' || status === 'error') ? 'told' : message;
    };
    expect(sequences.map(verdict)).toEqual(sequences.map(() => 'told'));
    expect(counts().filter((count) => count > 1)).toEqual([]);
    expect(readFileSync(join(handler.folder(), formatSequenceFile()), 'utf8').trim()).toBe(`${newest}`);
    // What came too late for an older one changes nothing of it.
    const before = sequences.map((sequence) => readFileSync(handler.statusFile(sequence), 'utf8'));
    await Promise.all([0, 5, 11, 18, 19].map((sequence) => handler.run('enable', { sequence })));
    expect(sequences.map((sequence) => readFileSync(handler.statusFile(sequence), 'utf8'))).toEqual(before);
    expect(left()).toEqual([]);
  });

  it('A8: asked again and again, while it works and afterwards, shows no step back in its status', async () => {
    const gate = join(handler.libFolder, 'go');
    handler.writeSettings(0, {
      public: {
        steps: [
          { do: 'report', message: 'halfway' },
          { do: 'wait-for-file', path: gate },
        ],
      },
    });
    const first = handler.start('enable');
    await until('the progress', () => handler.readStatus(0)?.message.includes('halfway') || undefined);
    const seen: string[] = [];
    const watch = setInterval(() => {
      const { status = 'none', message = '' } = handler.readStatus(0) ?? {};
      if (seen.at(-1) !== `${status} ${message}`) seen.push(`${status} ${message}`);
    }, 1);
    const again = () => fewAtATime(Array.from({ length: 4 }), () => handler.run('enable'));
    const results = await again();
    writeFileSync(gate, '');
    results.push(await first.ended, ...(await again()));
    clearInterval(watch);
    expect(results.filter(({ exitCode }) => exitCode !== 0)).toEqual([]);
    expect(seen).toEqual(['transitioning Enable in progress: halfway', 'success Enable succeeded']);
    expect(counts()).toEqual([1]);
  });
});
