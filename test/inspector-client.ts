/**
 * A debugger for tests: a client of Node's inspector, over a WebSocket of its own, because Node 20 has none.
 * Source: RFC 6455 sections 1.3, 5.2, 5.3; Chrome DevTools Protocol (messages with `id`, `method`, `params`).
 */
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import type { Socket } from 'node:net';

export interface InspectorEvent {
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
}

export interface Inspector {
  /** Sends a command; gives its result. Rejects with the inspector's own words. */
  send(method: string, params?: object): Promise<Readonly<Record<string, unknown>>>;
  /** The first event of that name that `matches` and was not given yet, or the next that comes. */
  next(
    method: string,
    matches?: (params: InspectorEvent['params']) => boolean,
  ): Promise<InspectorEvent['params']>;
  close(): void;
}

/** Connects to the address that the tool prints, `ws://…`. */
export async function connectInspector(address: string): Promise<Inspector> {
  const socket = await upgrade(address);
  const answers = new Map<number, { resolve(value: object): void; reject(error: Error): void }>();
  const events: InspectorEvent[] = [];
  let wake = (): void => {};
  let isClosed = false;
  let id = 0;
  const onMessage = (text: string): void => {
    const message = JSON.parse(text);
    if (message.id === undefined) events.push(message);
    else if (message.error === undefined) answers.get(message.id)?.resolve(message.result);
    else answers.get(message.id)?.reject(new Error(message.error.message));
    wake();
  };
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (let frame = readFrame(rest); frame !== undefined; frame = readFrame(rest)) {
      rest = rest.subarray(frame.length);
      if (frame.opcode === TEXT) onMessage(frame.payload.toString('utf8'));
    }
  });
  socket.on('error', () => {});
  socket.once('close', () => {
    isClosed = true;
    for (const { reject } of answers.values()) reject(new Error('the inspector has closed the connection'));
    wake();
  });
  return {
    send(method, params = {}) {
      if (isClosed) return Promise.reject(new Error('the inspector has closed the connection'));
      id++;
      const answer = new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
        answers.set(id, { resolve: (value) => resolve({ ...value }), reject });
      });
      socket.write(formatFrame(JSON.stringify({ id, method, params })));
      return answer;
    },
    async next(method, matches = () => true) {
      for (;;) {
        const at = events.findIndex((event) => event.method === method && matches(event.params));
        const found = events[at];
        if (found !== undefined) {
          events.splice(at, 1);
          return found.params;
        }
        if (isClosed) throw new Error(`no ${method} came before the inspector closed the connection`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    close: () => socket.destroy(),
  };
}

const TEXT = 1;

function upgrade(address: string): Promise<Socket> {
  const { host, hostname, port, pathname } = new URL(address);
  const key = randomBytes(16).toString('base64');
  const headers = {
    host,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': key,
  };
  return new Promise((resolve, reject) => {
    const asking = request({ hostname, port, path: pathname, headers });
    asking.once('upgrade', (_response, socket: Socket) => resolve(socket));
    asking.once('response', ({ statusCode }) => reject(new Error(`no WebSocket: status ${statusCode}`)));
    asking.once('error', reject);
    asking.end();
  });
}

/** One whole frame at the beginning; `undefined` while it has not all come. */
function readFrame(
  bytes: Buffer,
): { readonly opcode: number; readonly payload: Buffer; readonly length: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes.readUInt8(1) & 0x7f;
  const head = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < head) return undefined;
  const size =
    short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  if (bytes.length < head + size) return undefined;
  return {
    opcode: bytes.readUInt8(0) & 0x0f,
    payload: bytes.subarray(head, head + size),
    length: head + size,
  };
}

/** A client's frames are masked. The messages of these tests are short. */
function formatFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  const mask = randomBytes(4);
  const masked = payload.map((byte, index) => byte ^ mask.readUInt8(index % 4));
  const head =
    payload.length < 126
      ? Buffer.from([0x80 | TEXT, 0x80 | payload.length])
      : Buffer.from([0x80 | TEXT, 0x80 | 126, payload.length >> 8, payload.length & 0xff]);
  return Buffer.concat([head, mask, masked]);
}
