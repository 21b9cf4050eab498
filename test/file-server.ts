/** An HTTP server on loopback, at a free port, that serves texts by path and remembers what was asked of it. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FileServer {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  readonly url: string;
  /** Paths that were asked for, in order. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

/** Serves `files` (path with its slash → content); anything else is 404. */
export async function startFileServer(files: Readonly<Record<string, string | Buffer>>): Promise<FileServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    requests.push(request.url ?? '');
    const content = Object.hasOwn(files, pathname) ? files[pathname] : undefined;
    response.writeHead(content === undefined ? 404 : 200, { 'content-type': 'application/octet-stream' });
    response.end(content ?? 'not found\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
