import { spawn } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from './fixtures/process-machine.ts';
import { createHost } from './host.ts';
import { LOCK_NAME, LOCK_WAIT_MS, withLock } from './lock.ts';
import { identifyProcess, readBootId } from './process-identity.ts';

const host = createHost();
let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'handlerkit-lock-'));
  path = join(folder, LOCK_NAME);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A process that lives and holds the lock. */
async function startHolder(where = folder): Promise<{ end: () => Promise<void>; pid: number }> {
  mkdirSync(where, { recursive: true });
  const module = fileURLToPath(new URL('./lock.ts', import.meta.url));
  const hostModule = fileURLToPath(new URL('./host.ts', import.meta.url));
  const script = `import { withLock } from ${JSON.stringify(module)}; import { createHost } from ${JSON.stringify(hostModule)};
    await withLock(createHost(), ${JSON.stringify(where)}, () => new Promise((resolve) => setTimeout(resolve, 60_000)));`;
  const child = spawn(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', script],
    { stdio: 'ignore' },
  );
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await until(() => readdirSync(where).includes(LOCK_NAME));
  return {
    pid: child.pid ?? 0,
    end: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

describe('the lock', () => {
  it('lets one in at a time, gives its result, and is gone afterwards', async () => {
    let inside = 0;
    let most = 0;
    const work = async (): Promise<number> => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setTimeout(resolve, 5));
      return inside--;
    };
    expect(await Promise.all(Array.from({ length: 10 }, () => withLock(host, folder, work)))).toEqual(
      Array.from({ length: 10 }, () => 1),
    );
    expect(most).toBe(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is gone, too, when the work throws', async () => {
    const failing = withLock(host, folder, () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('throws the system’s error when its folder is missing', async () => {
    await expect(withLock(host, join(folder, 'missing'), () => 1)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('is refused where something that is no lock has its name, which is left', async () => {
    writeFileSync(path, 'somebody’s');
    const work = async (): Promise<void> => undefined;
    await expect(withLock(host, folder, work)).rejects.toMatchObject({
      code: 'STATE_UNUSABLE',
      message: `${path} is no lock of this extension; move it away and apply the settings again`,
    });
    expect(readFileSync(path, 'utf8')).toBe('somebody’s');
  });

  it('waits for another process that lives, even one that was stopped, and then says LOCKED', async () => {
    const holder = await startHolder();
    process.kill(holder.pid, 'SIGSTOP');
    let elapsed = 0;
    const fast = {
      ...host,
      elapsedMs: () => elapsed,
      sleep: async (ms: number) => {
        elapsed += ms * 10;
      },
    };
    await expect(withLock(fast, folder, () => 1)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining(`process ${holder.pid} holds the lock ${path}`),
    });
    expect(elapsed).toBeGreaterThan(LOCK_WAIT_MS);
    const waiting = withLock(host, folder, () => 'mine');
    await holder.end();
    expect(await waiting).toBe('mine');
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ['4000000:1:@', 'a process that has ended'],
    [`${process.pid}:1:@`, 'a process whose number another one has now'],
    [`${process.pid}:${identifyProcess(host, process.pid)?.startTicks}:earlier`, 'an earlier boot'],
    ['', 'nobody'],
    ['garbage', 'nobody'],
  ])('of %s is taken over at once: %s', async (target) => {
    symlinkSync(target.replace('@', readBootId(host)) || ' ', path);
    const since = performance.now();
    expect(await withLock(host, folder, () => readlinkSync(path))).toContain(`${process.pid}:`);
    expect(performance.now() - since).toBeLessThan(LOCK_WAIT_MS / 2);
    expect(readdirSync(folder)).toEqual([]);
  });

  /** Of the dead holder 4000000, and of his heir in turn: each was killed while he took over. */
  const leaveHeirs = (): void => {
    symlinkSync('4000001:1:gone', `${path}.turn.4000000:1:gone`);
    symlinkSync('4000002:1:gone', `${path}.turn.4000001:1:gone`);
  };

  it('is not taken over while the heir of the dead holder is about to', async () => {
    symlinkSync('4000000:1:gone', path);
    leaveHeirs();
    const heir = await startHolder(join(folder, 'other'));
    const place = `${path}.turn.4000002:1:gone`;
    symlinkSync(readlinkSync(join(folder, 'other', LOCK_NAME)), place);
    const waiting = withLock(host, folder, () => 'mine');
    let polls = 0;
    await until(() => polls++ > 5);
    expect(readlinkSync(path)).toBe('4000000:1:gone');
    await heir.end();
    expect(await waiting).toBe('mine');
    rmSync(join(folder, 'other'), { recursive: true });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('leaves the place of a dead heir when it cannot be taken over, so that nobody else makes it', async () => {
    symlinkSync('4000000:1:gone', path);
    leaveHeirs();
    mkdirSync(`${path}.${process.pid}.tmp`);
    await expect(withLock(host, folder, () => 'mine')).rejects.toThrow();
    rmSync(`${path}.${process.pid}.tmp`, { recursive: true });
    const places = ['.lock', '.lock.turn.4000000:1:gone', '.lock.turn.4000001:1:gone'];
    expect(readdirSync(folder).toSorted()).toEqual(places);
    expect(await withLock(host, folder, () => 'mine')).toBe('mine');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('of a dead holder is taken over by one of many only', async () => {
    for (let round = 0; round < 20; round++) {
      symlinkSync('4000000:1:gone', path);
      if (round % 2 === 0) leaveHeirs();
      let inside = 0;
      const seen = await Promise.all(
        Array.from({ length: 20 }, () =>
          withLock(host, folder, async () => {
            inside++;
            await new Promise((resolve) => setImmediate(resolve));
            return inside--;
          }),
        ),
      );
      expect(new Set(seen)).toEqual(new Set([1]));
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is a link that leads nowhere and names its holder', async () => {
    await withLock(host, folder, () => {
      expect(lstatSync(path).isSymbolicLink()).toBe(true);
      expect(readlinkSync(path)).toMatch(new RegExp(`^${process.pid}:\\d+:[0-9a-f-]{36}$`));
    });
  });
});
