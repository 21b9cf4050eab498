/** Custom Script with a canary in every protected field: what it is told, and the servers that it asks. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Canaries, CanaryShape } from './canaries.ts';
import type { SecretSettings } from './secrets-tool.ts';

export interface SecretServers {
  /** Of the server that the URLs name. */
  readonly origin: string;
  /** Requests to the other one, to which the first one redirects: to it no secret belongs. */
  readonly strangersRequests: readonly string[];
  close(): Promise<void>;
}

/** Two servers on loopback, for files with a SAS in their URL. */
export async function startSecretServers(): Promise<SecretServers> {
  const strangersRequests: string[] = [];
  const stranger = createServer((request, response) => {
    strangersRequests.push(`${request.method} ${request.url} ${JSON.stringify(request.rawHeaders)}`);
    response.end('echo from a stranger\n');
  });
  const strangersOrigin = await listen(stranger);
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const status = Number(/\/status-(\d+)/.exec(pathname)?.[1] ?? 200);
    if (pathname.startsWith('/away')) response.writeHead(302, { location: `${strangersOrigin}/there` }).end();
    // The answer repeats what was asked for, as servers of storage do in their errors.
    else response.writeHead(status).end(status === 200 ? 'echo downloaded\n' : `no ${request.url}\n`);
  });
  const origin = await listen(server);
  const close = async (): Promise<void> => {
    for (const one of [server, stranger]) {
      one.closeAllConnections();
      await new Promise((resolve) => one.close(resolve));
    }
  };
  return { origin, strangersRequests, close };
}

/** The shapes that an environment variable and a printed text can have. */
const SHAPES: readonly CanaryShape[] = [
  'ascii',
  'utf8',
  'quotes',
  'shell',
  'backslashes',
  'markup',
  'lines',
  'private key',
  'base64',
  'short',
  'eight',
  'digits',
  'uuid',
];

/** One run of each kind, by its name. Every one has new canaries. */
export interface CustomScriptCases {
  /** Downloads, runs a protected script that prints itself and all that it was given, and ends well. */
  success(): SecretSettings;
  /** The same with a command that ends with 7. */
  failure(): SecretSettings;
  /** Prints, and is ended by its time limit. */
  timeLimit(): SecretSettings;
  /** Prints one secret so often that every cut goes through it. */
  cutOutput(): SecretSettings;
  /** Wrong types and forms beside and in place of secrets. */
  refused(): readonly SecretSettings[];
  /** Downloads that fail. */
  failedDownloads(): readonly SecretSettings[];
  /** Blobs of an account that is not there, and the service of identities that is not either. */
  account(): SecretSettings;
  identity(): SecretSettings;
  /** A protected script as an ordinary user. */
  asUser(name: string): SecretSettings;
  /** Prints, then waits for `seconds`. */
  long(seconds: number): SecretSettings;
}

export function createCustomScriptCases(canaries: Canaries, { origin }: SecretServers): CustomScriptCases {
  const plant = (field: string, shape: CanaryShape = 'ascii'): string =>
    canaries.plant(`custom-script ${field}`, shape);
  const environment = (): Record<string, string> =>
    Object.fromEntries(
      SHAPES.map((shape) => [`V_${shape.replace(/\W/g, '_').toUpperCase()}`, plant('environment', shape)]),
    );
  const signed = (path: string): string => `${origin}/${path}?sv=2021&sig=${plant('fileUris', 'url')}`;
  const withUser = (path: string): string =>
    signed(path).replace('//', `//user:${plant('fileUris', 'url')}@`);
  const printAll = (names: readonly string[]): string =>
    names.map((name) => `printenv ${name}; printenv ${name} >&2`).join('\n');
  const script = (lines: string): string =>
    Buffer.from(`#!/bin/sh\n# ${plant('script')}\n${lines}\n`).toString('base64');
  // A word of a protected command is no secret of its own, so it says none of its words.
  const command = (lines: string): string =>
    `: '${plant('commandToExecute', 'utf8')}'; : ${plant('commandToExecute', 'name')}\n${lines}\n: "${plant('commandToExecute')}"`;
  return {
    success: () => {
      const variables = environment();
      return {
        public: { timeoutInSeconds: 60 },
        protected: {
          script: script(`${printAll(Object.keys(variables))}\ncat "$0"`),
          fileUris: [signed('first.sh'), { uri: withUser('second.txt') }, withUser('away/third.txt')],
          environment: variables,
        },
      };
    },
    failure: () => {
      const variables = environment();
      const text = `${command(printAll(Object.keys(variables)))}; exit 7`;
      return { protected: { commandToExecute: text, environment: variables } };
    },
    timeLimit: () => {
      const variables = environment();
      const text = command(`${printAll(Object.keys(variables))}; exec sleep 60`);
      return {
        public: { timeoutInSeconds: 1 },
        protected: { commandToExecute: text, environment: variables },
      };
    },
    cutOutput: () => {
      const lines =
        'i=0; while [ $i -lt 400 ]; do printf "%s" "$ONE"; printf "%s " "$TWO" >&2; i=$((i+1)); done';
      const variables = { ONE: plant('environment', 'ascii'), TWO: plant('environment', 'utf8') };
      return { protected: { commandToExecute: lines, environment: variables } };
    },
    refused: () => [
      {
        protected: {
          commandToExecute: [plant('commandToExecute')],
          script: plant('script', 'quotes'),
          storageAccountName: plant('storageAccountName', 'quotes'),
          storageAccountKey: plant('storageAccountKey', 'quotes'),
          managedIdentity: {
            clientId: plant('managedIdentity', 'quotes'),
            objectId: plant('managedIdentity'),
          },
          fileUris: [
            `ftp://u:${plant('fileUris', 'url')}@host/x`,
            { uri: [plant('fileUris')] },
            { url: plant('fileUris') },
          ],
          environment: {
            [`${plant('environment', 'quotes')}`]: plant('environment'),
            [`${plant('environment', 'markup')}`]: 5,
          },
          runAsPassword: { deep: plant('runAsPassword') },
          outputBlobUri: plant('outputBlobUri', 'quotes'),
          errorBlobUri: `http://host/c/b?sig=${plant('errorBlobUri', 'url')}`,
          [plant('an unknown key', 'shell')]: plant('the value of an unknown key'),
        },
      },
      {
        protected: {
          script: `${plant('script', 'base64')}!`,
          fileUris: [
            `http://host/..%2f?sig=${plant('fileUris', 'url')}`,
            `http://${plant('fileUris', 'quotes')}/x`,
            null,
          ],
        },
      },
      { protected: { commandToExecute: 'true', runAsPassword: plant('runAsPassword') } },
      { protected: plant('the whole half') },
    ],
    failedDownloads: () =>
      [
        signed('status-404/missing.sh'),
        withUser('status-403/forbidden.sh'),
        { uri: signed('other.sh'), sha256: '0'.repeat(64) },
        `http://169.254.169.254/metadata?sig=${plant('fileUris', 'url')}`,
      ].map((uri) => ({ protected: { commandToExecute: command('true'), fileUris: [uri] } })),
    account: () => ({
      protected: {
        commandToExecute: command('true'),
        fileUris: [`https://account.blob.invalid/container/${plant('fileUris', 'name')}.sh`],
        storageAccountName: plant('storageAccountName', 'name'),
        storageAccountKey: plant('storageAccountKey', 'base64'),
      },
    }),
    identity: () => ({
      protected: {
        commandToExecute: command('true'),
        fileUris: [signed('status-403/private.sh')],
        managedIdentity: { clientId: plant('managedIdentity', 'uuid') },
      },
    }),
    asUser: (name) => {
      const variables = environment();
      const text = script(printAll(Object.keys(variables)));
      return {
        public: { runAsUser: name },
        protected: { script: text, environment: variables, fileUris: [signed('user.sh')] },
      };
    },
    long: (seconds) => {
      const variables = environment();
      const text = command(`${printAll(Object.keys(variables))}; sleep ${seconds}`);
      return {
        protected: { commandToExecute: text, environment: variables, fileUris: [signed('first.sh')] },
      };
    },
  };
}

async function listen(server: ReturnType<typeof createServer>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
