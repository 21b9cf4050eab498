/** The server of the page over real HTTP on loopback: who gets in, what comes out, and that actions are the commands'. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../fixtures/run-cli.ts';
import { writeScriptExtension } from '../fixtures/script-extension.ts';
import { useVmFolder } from '../fixtures/vm-folder.ts';
import type { CommandContext } from '../tool-deps.ts';
import { createToolDeps } from '../tool-deps.ts';
import { createUi } from '../ui.ts';
import { servePage } from './page-server.ts';
import type { PageState, ShownLog } from './page-state.ts';

const VM_FOLDER = '.handlerkit/vm';
const UPLOAD_LIMIT = 1024 * 1024;

let folder: string;
useVmFolder((made) => {
  folder = made;
});

let server: Awaited<ReturnType<typeof servePage>>;
let origin: string;
beforeEach(async () => {
  const vm = { folder: VM_FOLDER, isolation: 'relocated' } as const;
  server = await servePage({ vm, port: 0, uploadLimitBytes: UPLOAD_LIMIT }, contextIn(folder));
  origin = new URL(server.url).origin;
});
afterEach(() => server.close());

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** With `node:http`: fetch would not send a foreign Host. */
function send(path: string, { method = 'GET', headers = {}, body = '' }: Sent = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(`${origin}${path}`, { method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function enter(): Promise<string> {
  const { headers } = await send(new URL(server.url).pathname + new URL(server.url).search);
  return headers['set-cookie']?.[0]?.split(';')[0] ?? '';
}

const post = (path: string, cookie: string, body: unknown, more: Readonly<Record<string, string>> = {}) =>
  send(path, {
    method: 'POST',
    headers: { cookie, origin, 'content-type': 'application/json', ...more },
    body: Buffer.isBuffer(body) ? body : JSON.stringify(body),
  });

/** Watches the events until `isDone`; gives the state then, all logs, and all that came over the wire. */
async function watch(
  cookie: string,
  isDone: (state: PageState) => boolean,
): Promise<{ state: PageState; logs: readonly ShownLog[]; wire: string }> {
  const controller = new AbortController();
  const response = await fetch(`${origin}/events`, { headers: { cookie }, signal: controller.signal });
  const logs = new Map<string, ShownLog>();
  let wire = '';
  let rest = '';
  let state: PageState | undefined;
  try {
    for await (const part of response.body ?? []) {
      const text = Buffer.from(part).toString('utf8');
      wire += text;
      const events = (rest + text).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) {
        const [, name, data = ''] = /^event: (\w+)\ndata: (.*)$/s.exec(event) ?? [];
        if (name === 'state') state = JSON.parse(data);
        if (name === 'log') logs.set(JSON.parse(data).file, JSON.parse(data));
      }
      if (state !== undefined && isDone(state)) return { state, logs: [...logs.values()], wire };
    }
  } finally {
    controller.abort();
  }
  throw new Error(`the stream ended too early: ${wire.slice(-2000)}`);
}

const isSettled = (state: PageState): boolean =>
  state.actions.length > 0 && state.actions.every((action) => action.outcome !== 'running');

describe('the server of the page', () => {
  it('takes the token once, for a cookie that no script and no other site gets', async () => {
    const path = server.url.slice(origin.length);
    expect((await send('/?token=wrong')).status).toBe(403);
    expect((await send('/')).status).toBe(403);
    const first = await send(path);
    expect(first).toMatchObject({ status: 303, headers: { location: '/' } });
    const [cookie = ''] = first.headers['set-cookie'] ?? [];
    expect(cookie).toMatch(/^handlerkit-vm-ui-\d+=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
    expect(cookie).not.toContain(new URL(server.url).searchParams.get('token'));
    expect((await send(path)).status).toBe(403);
    expect((await send(path, { headers: { cookie: `${cookie.split('=')[0]}=guess` } })).status).toBe(403);
    const page = await send('/', { headers: { cookie: cookie.split(';')[0] ?? '' } });
    expect(page.status).toBe(200);
    expect(page.text).toMatch(/^<!doctype html>/);
  });

  it.each(['/', '/page.js', '/page.css', '/element.js', '/extension-card.js', '/apply-form.js', '/icon.svg'])(
    'gives %s to the session only, never to be kept, and with no foreign script allowed',
    async (path) => {
      expect((await send(path)).status).toBe(403);
      const { status, headers } = await send(path, { headers: { cookie: await enter() } });
      expect(status).toBe(200);
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        'content-security-policy': expect.stringMatching(/^default-src 'none'; script-src 'self';/),
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
      });
      expect(headers['content-security-policy']).not.toContain('unsafe');
    },
  );

  it.each([
    'evil.example',
    'localhost',
    '127.0.0.1',
    '127.0.0.1:1',
    '[::1]:PORT',
    'localhost:PORT',
    'evil.example:PORT',
  ])('refuses the host %s, also with the cookie', async (name) => {
    const host = name.replace('PORT', new URL(origin).port);
    const { status, headers } = await send('/', { headers: { cookie: await enter(), host } });
    expect(status).toBe(421);
    expect(headers['set-cookie']).toBeUndefined();
  });

  it.each<[string, Readonly<Record<string, string>>]>([
    ['a foreign origin', { origin: 'https://evil.example' }],
    ['no origin of its own', { origin: 'null' }],
    ['another port of loopback', { origin: 'http://127.0.0.1:1' }],
    ['a foreign site', { 'sec-fetch-site': 'cross-site' }],
  ])('refuses a change from %s', async (_what, headers) => {
    const cookie = await enter();
    const answers = await Promise.all(
      ['/actions', '/uploads', '/stop'].map((path) => post(path, cookie, { action: 'reboot' }, headers)),
    );
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403]);
    const bare = await send('/actions', { method: 'POST', headers: { cookie } });
    expect(bare.status).toBe(403);
  });

  it.each([
    '/nothing',
    '/..%2f..%2fpackage.json',
    '/../package.json',
    '/templates/ui/page.js',
    '//etc/passwd',
    '/uploads',
  ])('has nothing at %s', async (path) => {
    const { status } = await send(path, { headers: { cookie: await enter() } });
    expect(status).toBe(404);
  });

  it.each<[string, unknown, number, string]>([
    ['an unknown action', { action: 'reset' }, 400, 'WRONG_USAGE'],
    ['an unknown key', { action: 'reboot', folder: '/' }, 400, 'WRONG_USAGE'],
    ['no object', [], 400, 'WRONG_USAGE'],
    ['no JSON', Buffer.from('{'), 400, 'WRONG_USAGE'],
    ['an upload that is not there', { action: 'set', package: { upload: '../x' } }, 400, 'WRONG_USAGE'],
    [
      'a file as settings',
      { action: 'set', package: { path: 'x' }, settings: '@/etc/passwd' },
      400,
      'WRONG_USAGE',
    ],
    [
      'a file by name',
      { action: 'set', package: { path: 'x' }, settings: 'secrets.json' },
      400,
      'WRONG_USAGE',
    ],
    ['too much', { action: 'delete', name: 'x'.repeat(3 * 1024 * 1024) }, 413, 'REQUEST_TOO_LARGE'],
  ])('refuses %s', async (_what, body, status, code) => {
    const cookie = await enter();
    const answer = await post('/actions', cookie, body);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text).error.code).toBe(code);
  });

  it('refuses a zip beyond the limit and an empty one, and keeps nothing of them', async () => {
    const cookie = await enter();
    const type = { 'content-type': 'application/zip' };
    const large = await post('/uploads?name=a.zip', cookie, Buffer.alloc(UPLOAD_LIMIT + 1), type);
    expect(large.status).toBe(413);
    expect((await post('/uploads', cookie, Buffer.alloc(0), type)).status).toBe(400);
    expect((await post('/uploads', cookie, Buffer.alloc(1))).status).toBe(400);
    expect(uploadedFiles()).toEqual([]);
  });

  it('applies an uploaded zip, shows keys of protected settings only, hides queries, and deletes it', async () => {
    const zip = readFileSync(await writeScriptExtension(folder, { version: '1.0.0' }));
    const cookie = await enter();
    const upload = await post('/uploads?name=my%20greeter.zip', cookie, zip, {
      'content-type': 'application/zip',
    });
    expect(upload.status).toBe(201);
    expect(uploadedFiles()).toHaveLength(1);
    const started = await post('/actions', cookie, {
      action: 'set',
      package: { upload: JSON.parse(upload.text).upload },
      settings: ' {"mode": "ok", "from": "https://x.example/a?sig=C4nary-query"}',
      protectedSettings: '{"password": "C4nary-protected", "C4nary in the wrong place!": 1}',
    });
    expect(started.status).toBe(202);
    const seen = await watch(
      cookie,
      (state) => isSettled(state) && state.extensions[0]?.provisioningState === 'Succeeded',
    );
    expect(seen.state).toMatchObject({
      vm: { folder: join(folder, VM_FOLDER), isolation: 'relocated', agent: 'embedded' },
      problem: null,
      actions: [{ title: 'Apply my greeter.zip', outcome: 'succeeded', problem: null }],
      extensions: [
        {
          name: 'Greeter',
          version: '1.0.0',
          sequence: 0,
          handlerStatus: 'Ready',
          statuses: [{ displayStatus: 'Provisioning succeeded', level: 'Info' }],
          settings: { protectedKeys: ['[hidden] (26 characters)', 'password'], isUnreadable: false },
        },
      ],
    });
    expect(seen.state.operations.map((one) => `${one.operation} ${one.ending}`)).toEqual([
      'install exit 0',
      'enable exit 0',
    ]);
    expect(seen.state.extensions[0]?.settings.publicText).toContain('https://x.example/a');
    expect(seen.wire).not.toContain('C4nary');

    await post('/actions', cookie, { action: 'delete', name: 'Greeter' });
    const after = await watch(cookie, (state) => isSettled(state) && state.extensions.length === 0);
    expect(after.state.actions.map((action) => action.title)).toEqual([
      'Apply my greeter.zip',
      'Delete Greeter',
    ]);
    expect(after.logs.map((log) => log.file.split('/').at(-1))).toContain('waagent.log');
  });

  it("shows a failure with the agent's verdict, what other commands do, and the commands' own errors", async () => {
    const cookie = await enter();
    const zip = await writeScriptExtension(folder, { version: '1.0.0' });
    await post('/actions', cookie, { action: 'set', package: { path: zip }, settings: '{"mode": "crash"}' });
    const { state } = await watch(
      cookie,
      (one) => isSettled(one) && one.extensions[0]?.provisioningState === 'Failed',
    );
    expect(state.actions[0]?.problem).toMatchObject({
      code: 'EXTENSION_FAILED',
      hint: expect.stringContaining('vm logs'),
    });
    expect(state.extensions[0]).toMatchObject({ handlerStatus: 'NotReady', handlerCode: 1009 });
    expect(state.extensions[0]?.explanations[0]).toMatch(/^the agent reports 1009 because enable exited/);

    // From a terminal, meanwhile.
    await runCli(['vm', 'set', zip, '--settings', '{}'], { cwd: folder });
    await watch(cookie, (one) => one.extensions[0]?.provisioningState === 'Succeeded');
    await post('/actions', cookie, { action: 'delete', name: 'Nobody' });
    const last = await watch(cookie, (one) => one.actions.length === 2 && isSettled(one));
    expect(last.state.actions[1]?.problem?.code).toBe('NOT_FOUND');
  });

  it('does one thing at a time, stops it when asked, and leaves nothing behind when it is closed', async () => {
    const cookie = await enter();
    const zip = await writeScriptExtension(folder, { version: '1.0.0' });
    const request = { action: 'set', package: { path: zip }, settings: '{"mode": "stuck"}' };
    expect((await post('/actions', cookie, request)).status).toBe(202);
    const busy = await post('/actions', cookie, { action: 'reboot' });
    expect(busy.status).toBe(409);
    expect(JSON.parse(busy.text).error.message).toBe(`The VM is busy: Apply ${zip}.`);
    await watch(cookie, ({ operations }) => operations.some((one) => one.operation === 'enable'));
    expect((await post('/stop', cookie, {})).status).toBe(202);
    const { state } = await watch(cookie, isSettled);
    expect(state.actions[0]).toMatchObject({ outcome: 'failed', problem: { code: 'INTERRUPTED' } });
    await server.close();
    await expect(fetch(origin)).rejects.toThrow();
  });

  it('says that the port is taken', async () => {
    const port = Number(new URL(origin).port);
    const taken = servePage({ vm: { folder: VM_FOLDER }, port }, contextIn(folder));
    await expect(taken).rejects.toMatchObject({ code: 'PORT_TAKEN' });
  });
});

describe('handlerkit vm ui', () => {
  it.each([
    ['', /^http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{43}\n$/],
    ['--json', /^\{\n {2}"url": "http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{43}"\n\}\n$/],
  ])(
    'prints the address, opens nothing, makes no VM, and ends well with Ctrl-C: %s',
    async (option, output) => {
      const words = ['vm', 'ui', ...(option === '' ? [] : [option])];
      const result = await runCli(words, {
        cwd: folder,
        interruptWhen: (stdout) => stdout.includes('token='),
      });
      expect(result.exitCode).toBe(0);
      expect(result.stdout).toMatch(output);
      expect(existsSync(join(folder, '.handlerkit'))).toBe(false);
    },
  );

  it.each(['65536', '-1', 'http'])('refuses the port %s', async (port) => {
    const result = await runCli(['vm', 'ui', `--port=${port}`], { cwd: folder });
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain('--port must be a number');
  });
});

function contextIn(cwd: string): CommandContext {
  const nowhere = { write: (): void => {} };
  const env = { PATH: process.env.PATH, HOME: process.env.HOME };
  return {
    deps: { ...createToolDeps(), cwd, env },
    ui: createUi({ stdout: nowhere, stderr: nowhere, env, json: false, quiet: true, verbose: false }),
    signal: new AbortController().signal,
    abort: () => {},
  };
}

/** Of this server: the folder of the run is shared with other tests, which upload nothing. */
function uploadedFiles(): string[] {
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith('handlerkit-upload-'));
  return folders.flatMap((name) => readdirSync(join(tmpdir(), name)));
}
