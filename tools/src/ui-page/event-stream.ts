/** The open event streams of the page's windows: each gets all there is when it comes, and then what has changed. */
import type { ServerResponse } from 'node:http';
import type { PageState, ShownLog } from './page-state.ts';

export interface EventStreams {
  /** How many windows watch. */
  count(): number;
  /** Answers a request with a stream; false when there are too many, and nothing was answered. */
  add(response: ServerResponse, headers: Readonly<Record<string, string>>): boolean;
  /** Sends what is new in it to every window. */
  show(state: PageState, logs: readonly ShownLog[]): void;
  close(): void;
}

/** Makes an empty set. */
export function createEventStreams(): EventStreams {
  const windows = new Map<ServerResponse, Sent>();
  let last: { state: PageState; logs: readonly ShownLog[] } | undefined;
  const timer = setInterval(() => {
    for (const response of windows.keys()) response.write(': still here\n\n');
  }, KEEP_ALIVE_MS);
  timer.unref();
  return {
    count: () => windows.size,
    add(response, headers) {
      if (windows.size >= MOST_WINDOWS) return false;
      response.writeHead(200, { ...headers, 'content-type': 'text/event-stream; charset=utf-8' });
      response.write(': handlerkit\n\n');
      const sent: Sent = { state: undefined, logs: new Map() };
      windows.set(response, sent);
      response.on('close', () => windows.delete(response));
      if (last !== undefined) send(response, sent, last.state, last.logs);
      return true;
    },
    show(state, logs) {
      last = { state, logs };
      for (const [response, sent] of windows) send(response, sent, state, logs);
    },
    close() {
      clearInterval(timer);
      for (const response of windows.keys()) response.end();
      windows.clear();
    },
  };
}

/** What a window has by now, as text. */
interface Sent {
  state: string | undefined;
  logs: Map<string, string>;
}

const MOST_WINDOWS = 8;
const KEEP_ALIVE_MS = 15_000;
/** A window that does not read, as of a halted browser, is not sent more than this. */
const MOST_BUFFERED_BYTES = 8 * 1024 * 1024;

function send(response: ServerResponse, sent: Sent, state: PageState, logs: readonly ShownLog[]): void {
  if (response.writableLength > MOST_BUFFERED_BYTES) return;
  const text = JSON.stringify(state);
  if (text !== sent.state) {
    sent.state = text;
    response.write(formatEvent('state', text));
  }
  const gone = [...sent.logs.keys()].filter((file) => logs.every((log) => log.file !== file));
  const shown = [...logs, ...gone.map((file) => ({ file, text: '', isCut: false }))];
  for (const log of shown) {
    const line = JSON.stringify(log);
    if (sent.logs.get(log.file) === line) continue;
    if (log.text === '') sent.logs.delete(log.file);
    else sent.logs.set(log.file, line);
    response.write(formatEvent('log', line));
  }
}

/** JSON has no line breaks. */
function formatEvent(name: string, json: string): string {
  return `event: ${name}\ndata: ${json}\n\n`;
}
