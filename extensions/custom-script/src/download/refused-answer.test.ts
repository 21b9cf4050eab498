import { createServer } from 'node:http';
import { createHost } from '@handlerkit/sdk';
import { describe, expect, it } from 'vitest';
import { isSasExpired, sasExpiry, watchRefusals } from './refused-answer.ts';

const url = (query: string): URL => new URL(`https://a.blob.core.windows.net/c/b?${query}`);

describe('the expiry of a SAS', () => {
  it.each<[string, string]>([
    ['se=2026-01-02T03:04:05Z&sig=x', '2026-01-02T03:04:05.000Z'],
    ['se=2026-01-02T03%3A04%3A05Z&sig=x', '2026-01-02T03:04:05.000Z'],
    ['se=2026-01-02T03:04:05.1234567Z&sig=x', '2026-01-02T03:04:05.123Z'],
    ['se=2026-01-02T03:04Z&sig=x', '2026-01-02T03:04:00.000Z'],
    ['se=2026-01-02T03:04:05&sig=x', '2026-01-02T03:04:05.000Z'],
    ['se=2026-01-02&sig=x', '2026-01-02T00:00:00.000Z'],
  ])('in %s is %s', (query, expected) => {
    expect(sasExpiry(url(query))?.toISOString()).toBe(expected);
  });

  it.each<[string, string]>([
    ['se=2026-01-02', 'no signature'],
    ['sig=x', 'a stored policy holds it'],
    ['se=soon&sig=x', 'no time'],
    ['se=2026-13-40&sig=x', 'no such day'],
  ])('is not in %s: %s', (query) => expect(sasExpiry(url(query))).toBeUndefined());
});

describe('a SAS has expired', () => {
  const signed = url('se=2026-06-01T12:00:00Z&sig=x');
  const [before, after] = [new Date('2026-06-01T11:00:00Z'), new Date('2026-06-01T13:00:00Z')];
  const unknown = { dateMs: Number.NaN, saysExpired: false };
  it.each<[string, Parameters<typeof isSasExpired>, boolean]>([
    ['by the clock of the VM, when the service has none', [signed, unknown, after], true],
    ['not before', [signed, unknown, before], false],
    ['by the clock of the service', [signed, { ...unknown, dateMs: after.getTime() }, before], true],
    ['not by a wrong clock of the VM', [signed, { ...unknown, dateMs: before.getTime() }, after], false],
    ['when the service says so', [signed, { dateMs: before.getTime(), saysExpired: true }, before], true],
    ['never without one', [url('a=b'), { dateMs: after.getTime(), saysExpired: true }, after], false],
  ])('%s', (_, input, expected) => expect(isSasExpired(...input)).toBe(expected));
});

describe('an answer that refuses', () => {
  const detail = (text: string): string =>
    `<?xml version="1.0"?><Error><Code>AuthenticationFailed</Code><AuthenticationErrorDetail>${text}</AuthenticationErrorDetail></Error>`;
  it.each<[string, boolean]>([
    [
      detail(
        'Signed expiry time [Thu, 01 Jan 2026 00:00:00 GMT] must be after signed start time [Fri, 02 Jan 2026 00:00:00 GMT]',
      ),
      true,
    ],
    [
      detail(
        'Signature not valid in the specified time frame: Start [Wed, 31 Dec 2025 00:00:00 GMT] - Expiry [Thu, 01 Jan 2026 00:00:00 GMT] - Current [Fri, 02 Jan 2026 00:00:00 GMT]',
      ),
      true,
    ],
    [
      detail(
        'Signature not valid in the specified time frame: Start [Sat, 03 Jan 2026 00:00:00 GMT] - Expiry [Sun, 04 Jan 2026 00:00:00 GMT] - Current [Fri, 02 Jan 2026 00:00:00 GMT]',
      ),
      false,
    ],
    [detail('Signature did not match. String to sign used was r'), false],
    ['', false],
    ['x'.repeat(1_000_000), false],
  ])('%.160s is about an expired signature: %s', async (body, expected) => {
    const server = createServer((_, response) => response.writeHead(403, 'No').end(body));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const { host, lastRefusal } = watchRefusals(createHost({}));
    const response = await host.fetch(
      `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`,
    );
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect([response.status, response.statusText, await response.text()]).toEqual([403, 'No', '']);
    expect(lastRefusal()?.saysExpired).toBe(expected);
    expect(Math.abs((lastRefusal()?.dateMs ?? 0) - Date.now())).toBeLessThan(10_000);
  });
});
