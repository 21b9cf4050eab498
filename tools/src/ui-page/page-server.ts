/**
 * The server of the page: a handful of routes on loopback. A request has to name this server as its host and bring the
 * session's cookie; one that changes something has to come from the page itself, too. Answers are never kept and run no foreign
 * script. Source: OWASP cheat sheets on CSRF and HTTP headers; the Fetch standard on `Origin`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ToolError, toToolError, usageError } from '../errors.ts';
import type { CommandContext } from '../tool-deps.ts';
import type { VmChoice } from '../vm/local-vm.ts';
import { createEventStreams } from './event-stream.ts';
import { createPageActions, type PageActions } from './page-actions.ts';
import { readAsset } from './page-assets.ts';
import { createRequestGuard, LOOPBACK, type RequestGuard } from './request-guard.ts';
import { watchVm } from './snapshot-watch.ts';
import { createUploads, type Uploads } from './uploads.ts';
import type { Snapshot } from './vm-snapshot.ts';
import { showProblem } from './vm-snapshot.ts';

export interface PageServerOptions {
  readonly vm: VmChoice;
  /** 0: any free port. */
  readonly port: number;
  /** Bytes of an uploaded zip; default: a gibibyte. */
  readonly uploadLimitBytes?: number;
}

export interface PageServer {
  /** With the token, which is good once. */
  readonly url: string;
  /** Gives the running action up, waits for its end, and ends all connections. */
  close(): Promise<void>;
}

/** Listens. Throws `PORT_TAKEN`, or the system's error. Ends with {@link PageServer.close} only. */
export async function servePage(options: PageServerOptions, context: CommandContext): Promise<PageServer> {
  const { vm, port, uploadLimitBytes = GIBIBYTE } = options;
  const closing = new AbortController();
  const forward = (): void => closing.abort(context.signal.reason);
  if (context.signal.aborted) forward();
  context.signal.addEventListener('abort', forward, { once: true });
  const own: CommandContext = { ...context, ui: SILENT, signal: closing.signal };
  const streams = createEventStreams();
  const uploads = createUploads(uploadLimitBytes);
  let latest: Snapshot | undefined;
  const show = (): void => {
    if (latest !== undefined) streams.show({ ...latest.state, actions: actions.list() }, latest.logs);
  };
  const actions = createPageActions(
    {
      vm,
      uploads,
      onChange: () => {
        watch.refresh();
        show();
      },
    },
    own,
  );
  const watch = watchVm(
    {
      folder: vm.folder,
      isWatched: () => streams.count() > 0,
      onSnapshot: (snapshot) => {
        latest = snapshot;
        show();
      },
    },
    own,
  );
  const server = createServer((request, response) => {
    void answer({ request, response, guard, streams, actions, uploads, refresh: watch.refresh });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (thrown) => reject(explainListen(thrown, port)));
    server.listen(port, LOOPBACK, resolve);
  });
  const guard = createRequestGuard((server.address() as AddressInfo).port);
  return {
    url: `http://${guard.authority}/?token=${guard.token}`,
    close: async () => {
      context.signal.removeEventListener('abort', forward);
      closing.abort(new ToolError('PAGE_CLOSED', 'The page was closed.'));
      streams.close();
      await Promise.all([actions.settled(), watch.settled()]);
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      uploads.close();
    },
  };
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly guard: RequestGuard;
  readonly streams: ReturnType<typeof createEventStreams>;
  readonly actions: PageActions;
  readonly uploads: Uploads;
  readonly refresh: () => void;
}

const GIBIBYTE = 1024 ** 3;
/** Settings are the longest part of it. */
const LONGEST_BODY_BYTES = 2 * 1024 * 1024 + 64 * 1024;

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

const SILENT: CommandContext['ui'] = {
  isJson: false,
  progress() {},
  detail() {},
  warning() {},
  result() {},
  json() {},
  error() {},
};

async function answer(exchange: Exchange): Promise<void> {
  const { response } = exchange;
  try {
    await route(exchange);
  } catch (thrown) {
    const error = toToolError(thrown);
    if (response.headersSent) response.destroy();
    else sendJson(exchange, STATUS_OF[error.code] ?? 400, { error: showProblem(error) });
  }
}

const STATUS_OF: Readonly<Record<string, number>> = {
  BUSY: 409,
  INTERNAL: 500,
  REQUEST_TOO_LARGE: 413,
  UPLOAD_TOO_LARGE: 413,
};

async function route(exchange: Exchange): Promise<void> {
  const { request, response, guard, streams, refresh } = exchange;
  const { headers, method = '' } = request;
  if (!guard.isForUs(headers)) return sendText(exchange, 421, `This server is ${guard.authority} only.`);
  const target = `http://${guard.authority}${request.url ?? '/'}`;
  if (!URL.canParse(target)) return sendText(exchange, 400, 'This is no address.');
  const url = new URL(target);
  const isReading = method === 'GET' || method === 'HEAD';
  if (!isReading && !guard.isFromOurPage(headers))
    return sendText(exchange, 403, 'This is no request of the page.');
  if (!guard.hasSession(headers)) {
    const cookie =
      method === 'GET' && url.pathname === '/' ? guard.exchange(url.searchParams.get('token')) : undefined;
    if (cookie === undefined) return sendText(exchange, 403, NO_SESSION);
    // Away from the token, which would stay in the browser's history and bookmarks.
    response.writeHead(303, { ...HEADERS, location: '/', 'set-cookie': cookie }).end();
    return;
  }
  if (method === 'POST') return await change(exchange, url);
  if (!isReading) return sendText(exchange, 405, 'Only GET and POST are known here.');
  if (url.pathname === '/events' && method === 'GET') {
    if (!streams.add(response, HEADERS)) return sendText(exchange, 503, 'Too many windows show this page.');
    refresh();
    return;
  }
  const asset = readAsset(url.pathname);
  if (asset === undefined) return sendText(exchange, 404, 'There is nothing here.');
  response.writeHead(200, { ...HEADERS, 'content-type': asset.type, 'content-length': asset.bytes.length });
  response.end(method === 'HEAD' ? undefined : asset.bytes);
}

const NO_SESSION =
  'This address is not complete, or was opened before: it is good for one browser, once. Start handlerkit vm ui again for another.';

async function change(exchange: Exchange, url: URL): Promise<void> {
  const { request, actions, uploads } = exchange;
  switch (url.pathname) {
    case '/uploads': {
      requireType(request, 'application/zip');
      const { id, name } = await uploads.receive(request, url.searchParams.get('name') ?? '');
      return sendJson(exchange, 201, { upload: id, name });
    }
    case '/actions':
      requireType(request, 'application/json');
      return sendJson(exchange, 202, { id: actions.start(await readJson(request)).id });
    case '/stop':
      actions.stop();
      return sendJson(exchange, 202, {});
    default:
      return sendText(exchange, 404, 'There is nothing here.');
  }
}

function requireType({ headers }: IncomingMessage, type: string): void {
  if (headers['content-type'] === type) return;
  throw usageError(`The request must have the type ${type}.`, 'Load the page anew.');
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > LONGEST_BODY_BYTES) {
      throw new ToolError('REQUEST_TOO_LARGE', 'The settings are too long.', {
        hint: 'Give them on the command line: handlerkit vm set --settings @FILE',
      });
    }
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw usageError('The request is not valid JSON.', 'Load the page anew.');
  }
}

function sendJson({ request, response }: Exchange, status: number, value: unknown): void {
  finish(request, response, status, 'application/json; charset=utf-8', `${JSON.stringify(value)}\n`);
}

function sendText({ request, response }: Exchange, status: number, text: string): void {
  finish(request, response, status, 'text/plain; charset=utf-8', `${text}\n`);
}

/** A body that was not read to its end is not waited for. */
function finish(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  type: string,
  text: string,
): void {
  const rest: Record<string, string> = request.complete ? {} : { connection: 'close' };
  response.writeHead(status, {
    ...HEADERS,
    ...rest,
    'content-type': type,
    'content-length': Buffer.byteLength(text),
  });
  response.end(request.method === 'HEAD' ? undefined : text);
}

function explainListen(thrown: NodeJS.ErrnoException, port: number): unknown {
  if (thrown.code !== 'EADDRINUSE') return thrown;
  return new ToolError('PORT_TAKEN', `Another program listens on port ${port} of ${LOOPBACK}.`, {
    hint: 'Leave out --port for any free one, or name another.',
    cause: thrown,
  });
}
