import type { RequestListener } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HandlerError } from './errors.ts';
import { closeServers, serve, status, whole } from './fixtures/scripted-server.ts';
import type { Host } from './host.ts';
import { createHost } from './host.ts';
import { readInstanceMetadata } from './instance-metadata.ts';

let pauses: number[];
let asked: string[];
beforeEach(() => {
  pauses = [];
  asked = [];
});
afterEach(closeServers);

/** A host on which the service's address leads to `base`. */
function hostWith(base: string): Host {
  return {
    ...createHost({ http_proxy: 'http://127.0.0.1:1' }),
    sleep: async (ms) => void pauses.push(ms),
    fetch: (input, init) => {
      const url = new URL(input instanceof Request ? input.url : input);
      asked.push(url.href);
      return globalThis.fetch(base + url.pathname + url.search, init);
    },
  };
}
const read = async (...answers: RequestListener[]) => {
  const { url, seen } = await serve(...answers);
  const signal = new AbortController().signal;
  return { seen, result: await readInstanceMetadata(hostWith(url), { signal, random: () => 1 }) };
};
const COMPUTE = {
  vmId: '02aab8a4-74ef-476e-8182-f6d2ba4166a6',
  name: 'web-1',
  location: 'westeurope',
  azEnvironment: 'AzurePublicCloud',
  tagsList: [{ name: 'team', value: 'a;b:c' }, { name: 1, value: 'x' }, null],
  vmSize: 7,
};

it('asks the service by its rules, and gives what it tells', async () => {
  const { result, seen } = await read(whole(JSON.stringify(COMPUTE)));
  expect(asked).toEqual(['http://169.254.169.254/metadata/instance/compute?api-version=2021-02-01']);
  expect(seen[0]?.headers.metadata).toBe('true');
  expect(result).toMatchObject({ name: 'web-1', location: 'westeurope', azEnvironment: 'AzurePublicCloud' });
  expect(result.tags).toEqual({ team: 'a;b:c' });
  expect([result.vmSize, result.zone]).toEqual(['', '']);
});

describe('an answer that can heal is asked for again', () => {
  it.each([404, 410, 429, 500, 503])('%i', async (code) => {
    const { result } = await read(status(code), status(code), whole(JSON.stringify(COMPUTE)));
    expect(result.name).toBe('web-1');
    expect(pauses).toEqual([1000, 2000]);
  });

  it('and waits as long as the service asks', async () => {
    await read(status(429, { 'retry-after': '9' }), whole(JSON.stringify(COMPUTE)));
    expect(pauses).toEqual([9000]);
  });

  it('for longer than an update of the service takes', async () => {
    await expect(read(status(410))).rejects.toMatchObject({ code: 'INSTANCE_METADATA_FAILED' });
    expect(pauses.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThan(70_000);
  });
});

describe('a failure names the service and what to check', () => {
  it.each<[string, RequestListener, string, number]>([
    ['another status', status(400), 'at 169.254.169.254 answered 400', 1],
    ['404 for good', status(404), 'answered 404', 3],
    ['a redirect', status(302, { location: 'http://127.0.0.1/canary' }), 'answered 302', 1],
    ['no JSON', whole('<html>canary'), 'is not JSON', 1],
    ['something else', whole('{"name":"canary"}'), 'names no VM', 1],
    ['no object', whole('null'), 'names no VM', 1],
    ['a body without end', whole(`"${'x'.repeat(2 * 1024 * 1024)}"`), 'is not JSON', 1],
  ])('%s', async (_, answer, text, requests) => {
    const failed = read(answer);
    await expect(failed).rejects.toThrow(text);
    await expect(failed).rejects.not.toThrow('canary');
    expect(asked).toHaveLength(requests);
  });

  it('nobody answers', async () => {
    const { url } = await serve(whole(''));
    await closeServers();
    const failed = readInstanceMetadata(hostWith(url), { signal: new AbortController().signal });
    await expect(failed).rejects.toThrow(
      /cannot get the instance metadata from 169\.254\.169\.254: the connection was refused \(ECONNREFUSED\); check/,
    );
    expect(asked).toHaveLength(3);
  });

  it('an abort gives its own reason', async () => {
    const stop = new AbortController();
    const reason = new HandlerError('TIMED_OUT', 'late');
    const { url } = await serve(() => stop.abort(reason));
    await expect(readInstanceMetadata(hostWith(url), { signal: stop.signal })).rejects.toBe(reason);
  });
});
