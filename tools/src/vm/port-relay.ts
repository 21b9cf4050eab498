/**
 * A port of this machine's loopback that leads to the same port on the loopback of a VM with a network of its own. A service of
 * the VM makes the connections in there; this process reaches it by a socket in a folder of its own. The service ends with the
 * first connection that it gets, which this process holds as long as it lives.
 */
import { mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ToolError } from '../errors.ts';
import type { ToolDeps } from '../tool-deps.ts';
import type { VmServices } from './vm-process.ts';

export interface PortRelay {
  close(): Promise<void>;
}

/** The words after the tool's own command line that make it the service; its folder is empty. */
export type RelayWords = (folder: string, port: number) => readonly string[];

/** Takes a port of this machine's loopback; 0: any free one. Throws `PORT_IN_USE`. */
export async function takePort(port: number): Promise<Server> {
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new ToolError('PORT_IN_USE', `Port ${port} of 127.0.0.1 cannot be taken: another program has it.`, {
          hint: 'End that program, or name another port, such as --inspect=9230.',
          cause,
        }),
      ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}

/** The port that the server has. */
export function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Leads what connects to `server` into the VM. Closes the server when it cannot. Throws `RELAY_FAILED`. */
export async function startRelay(
  options: { readonly server: Server; readonly services: VmServices; readonly words: RelayWords },
  deps: Pick<ToolDeps, 'toolCommand' | 'env'>,
): Promise<PortRelay> {
  const { server, services, words } = options;
  const port = portOf(server);
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-relay-'));
  const socket = join(folder, SOCKET_FILE);
  const logFile = join(folder, LOG_FILE);
  const name = `relay-${process.pid}`;
  const connections = new Set<Socket>();
  let holder: Socket | undefined;
  const close = async (): Promise<void> => {
    server.close();
    for (const connection of connections) connection.destroy();
    holder?.destroy();
    await services.stop(name, GRACE_MS);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await services.start({
      name,
      argv: [...deps.toolCommand, ...words(folder, port)],
      env: { PATH: deps.env.PATH ?? '' },
      files: 'machine',
      cwd: folder,
      logFile,
    });
    holder = await connectWhenThere(socket);
    server.on('connection', (connection) => {
      connections.add(connection);
      joinSockets(connection, connect(socket));
      connection.once('close', () => connections.delete(connection));
    });
    return { close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/**
 * The service itself: runs in the network of the VM until the first connection to the socket in `folder` ends, or none comes.
 * Then it deletes the folder, because the tool that made it may have been killed.
 */
export async function serveRelay(folder: string, port: number, signal: AbortSignal): Promise<void> {
  try {
    await serveSocket(join(folder, SOCKET_FILE), port, signal);
  } finally {
    removeFolder(folder);
  }
}

const SOCKET_FILE = 'relay.sock';
const LOG_FILE = 'relay.log';
const START_MS = 20_000;
const GRACE_MS = 1000;
const LOOK_MS = 10;

async function serveSocket(socket: string, port: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const connections = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    const end = (): void => {
      clearTimeout(timer);
      server.close();
      for (const connection of connections) connection.destroy();
      resolve();
    };
    const timer = setTimeout(end, START_MS);
    let isHeld = false;
    server.on('connection', (connection) => {
      connections.add(connection);
      connection.once('close', () => connections.delete(connection));
      if (isHeld) {
        joinSockets(connection, connect(port, '127.0.0.1'));
        return;
      }
      isHeld = true;
      clearTimeout(timer);
      connection.on('error', () => {}).once('close', end);
      connection.once('end', end).resume();
    });
    server.once('error', reject);
    signal.addEventListener('abort', end, { once: true });
    server.listen(socket);
  });
}

/** With nothing but what is known to be in it. */
function removeFolder(folder: string): void {
  try {
    for (const name of [SOCKET_FILE, LOG_FILE]) rmSync(join(folder, name), { force: true });
    rmdirSync(folder);
  } catch {
    // The tool was faster.
  }
}

async function connectWhenThere(socket: string): Promise<Socket> {
  const until = performance.now() + START_MS;
  for (;;) {
    const connection = await tryConnect(socket);
    if (connection !== undefined) return connection;
    if (performance.now() > until) {
      throw new ToolError('RELAY_FAILED', 'The port could not be led into the VM.', {
        hint: "Run the command again; or give the VM this machine's network: --network host, after handlerkit vm reset.",
      });
    }
    await delay(LOOK_MS);
  }
}

function tryConnect(socket: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once('connect', () => {
      connection.on('error', () => {});
      resolve(connection);
    });
    connection.once('error', () => resolve(undefined));
  });
}

/** Each end's end is the other's. */
function joinSockets(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on('error', () => to.destroy());
    from.once('close', () => to.destroy());
  }
  one.pipe(other);
  other.pipe(one);
}
