/**
 * Blobs with difficult names, and signatures (SAS) that have expired or only seem so, downloaded by the packed Custom Script from a server
 * that keeps what it was asked for to the byte.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import type { LaidOutHandler, UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';
import type { RawServer } from './raw-server.ts';
import { head, say, startRawServer } from './raw-server.ts';
import { CANARY } from './tried-download.ts';

describe('the packed Custom Script', () => {
  let unpacked: UnpackedPackage;
  let server: RawServer;
  beforeAll(async () => {
    unpacked = unpackPackage(inject('customScriptZip'));
    server = await startRawServer();
  });
  afterAll(async () => {
    await server.close();
    unpacked.remove();
  });

  /** Downloads all on a machine of its own; `look` sees it before it is removed. */
  const download = async <T>(
    fileUris: readonly string[],
    look: (handler: LaidOutHandler, folder: string) => T,
  ) => {
    const handler = layOutHandler(unpacked);
    try {
      handler.writeSettings(0, { protected: { fileUris, commandToExecute: 'true' } });
      const { exitCode, stderr } = await handler.run('enable');
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      const status = await until('the end of the run', () => {
        const found = handler.readStatus(0);
        return found?.status === 'transitioning' ? undefined : found;
      });
      return { status, seen: look(handler, join(handler.libFolder, 'custom-script', 'download', '0')) };
    } finally {
      handler.remove();
    }
  };

  it('A28: asks for a blob of any name as its URL writes it, with its signature to the byte, and gives the file its name', async () => {
    const rows = [
      ['with%20space.sh', 'with space.sh'],
      ['with space too.sh', 'with space too.sh'],
      ['folder%2Fin%2Fname.sh', 'name.sh'],
      ['question%3Fmark.sh', 'question?mark.sh'],
      ['hash%23mark.sh', 'hash#mark.sh'],
      ['per%25cent.sh', 'per%cent.sh'],
      ['per%252Fcent.sh', 'per%2Fcent.sh'],
      ['plus+sign.sh', 'plus+sign.sh'],
      ['%C3%BCml%C3%A4ut.sh', 'ümläut.sh'],
      ['日本語.sh', '日本語.sh'],
      ['%F0%9F%9A%80.sh', '🚀.sh'],
      ["quote'and&semi;colon.sh", "quote'and&semi;colon.sh"],
      ['$(id)`id`.sh', '$(id)`id`.sh'],
      ['-rf', '-rf'],
      ['.hidden', '.hidden'],
      [`${'n'.repeat(252)}.sh`, `${'n'.repeat(252)}.sh`],
    ] as const;
    const query = `?sv=2018-03-28&se=2999-01-01T00%3A00%3A00Z&sig=a%2Bb%2F${CANARY}%3D`;
    const uris = rows.map(([path], index) => {
      server.url(`container-${index}`, say(head('HTTP/1.1 200 OK', 'content-length: 3'), '123'));
      return `${server.origin}/container-${index}/${path}${query}#fragment`;
    });
    const { status, seen } = await download(uris, (_, folder) => {
      const names = readdirSync(folder).filter((name) => !/^std(?:out|err)$/.test(name));
      return names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]);
    });
    expect(status.message).toMatch(/^Enable succeeded/);
    expect(new Map(seen as [string, string][])).toEqual(new Map(rows.map(([, name]) => [name, '123'])));
    // What the URL parser must encode is encoded, and nothing is decoded.
    const asked = rows.map(([path], index) => {
      const [line = ''] = server.heads(`container-${index}`)[0]?.split('\r\n') ?? [];
      return [path, line];
    });
    const written = (path: string): string => path.replaceAll(/[ `]|[^\x20-\x7e]/gu, encodeURIComponent);
    expect(asked).toEqual(
      rows.map(([path], index) => [path, `GET /container-${index}/${written(path)}${query} HTTP/1.1`]),
    );
  });

  it('A28: tells an expired signature by the clock of the service, with its time and nothing else of it', async () => {
    const minutes = (count: number): string =>
      `${new Date(Date.now() + count * 60_000).toISOString().slice(0, 19)}Z`;
    const refuse = (name: string, words: string, date: Date) =>
      server.url(
        name,
        say(head('HTTP/1.1 403 No', `content-length: ${words.length}`, `date: ${date.toUTCString()}`), words),
      );
    const hour = 3_600_000;
    const expiry = minutes(-5);
    const said = `<AuthenticationErrorDetail>Signed expiry time [x] must be after signed start time [y]</AuthenticationErrorDetail>`;
    const rows = [
      // The VM's clock is right, and both agree.
      [refuse('over', '', new Date()), expiry, 51],
      // The VM's clock is an hour behind that of the service.
      [refuse('behind', '', new Date(Date.now() + hour)), minutes(30), 51],
      // The VM's clock is ahead: to the service the signature is fine, so something else is wrong.
      [refuse('ahead', '', new Date(Date.now() - hour)), minutes(-30), 54],
      // The service's words count more than any clock.
      [refuse('words', said, new Date(Date.now() - hour)), minutes(30), 51],
    ] as const;
    for (const [url, se, code] of rows) {
      const { status, seen } = await download(
        [`${url}/blob.sh?se=${encodeURIComponent(se)}&sig=${CANARY}`],
        (handler, folder) => ({
          left: existsSync(folder) ? readdirSync(folder) : [],
          log: readFileSync(join(handler.logFolder, 'handler.log'), 'utf8'),
        }),
      );
      expect(status).toMatchObject({ status: 'error', substatus: [{ code }] });
      if (code === 51) expect(status.message).toContain(`expired at ${se}; make a URL with a new one`);
      else expect(status.message).not.toContain('expired');
      expect(JSON.stringify({ status, seen })).not.toContain(CANARY);
      expect(seen.left).toEqual([]);
    }
  });
});
