/**
 * A local VM for a black-box test: made, driven and read as a user does, with `handlerkit vm` and by looking into its
 * folder.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { LIB_FOLDER, LOG_FOLDER } from '@handlerkit/sdk/contract';
import type { CommandResult } from './handlerkit-command.ts';
import { runHandlerkit } from './handlerkit-command.ts';

export type Isolation = 'overlay' | 'relocated';

/** Why this machine cannot run an overlay VM; `undefined` when it can. */
export const NO_OVERLAY: string | undefined = whyNoOverlay();

/** Why this machine cannot run the real agent, which is fetched as a package; `undefined` when it can. May ask the network. */
export function whyNoRealAgent(): string | undefined {
  return NO_OVERLAY ?? whyNoPrograms() ?? whyNoPackage();
}

function whyNoPrograms(): string | undefined {
  try {
    const programs = ['apt-get', 'dpkg-deb', 'python3', 'openssl', 'ip'];
    execFileSync('sh', ['-c', programs.map((name) => `command -v ${name}`).join(' && ')], {
      stdio: 'ignore',
    });
    return undefined;
  } catch {
    return "the real agent needs apt-get, dpkg-deb, python3, openssl and ip: Debian's";
  }
}

/** Without one that the tool has kept, it is tried whether there is one to be had. */
function whyNoPackage(): string | undefined {
  const { XDG_CACHE_HOME: cache = join(homedir(), '.cache') } = process.env;
  const kept = join(cache, 'handlerkit/waagent');
  if (existsSync(kept) && readdirSync(kept).some((name) => /^wa(?:linux)?agent_.*\.deb$/.test(name))) {
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-agent-package-'));
  try {
    execFileSync('sh', ['-c', FETCH_PACKAGE], {
      cwd: folder,
      stdio: 'ignore',
      timeout: PACKAGE_LIMIT_MS,
      killSignal: 'SIGKILL',
    });
    return undefined;
  } catch {
    return 'apt-get can fetch neither the package waagent (Debian) nor walinuxagent (Ubuntu)';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const PACKAGE_LIMIT_MS = 120_000;
/** With the machine's lists of packages, else with some of our own. */
const FETCH_PACKAGE = `
apt="apt-get -qq -o APT::Sandbox::User=root -o Acquire::http::Timeout=20 -o Acquire::Retries=1"
fetch() { $apt "$@" download waagent || $apt "$@" download walinuxagent; }
fetch && exit
mkdir -p lists/partial cache/archives/partial
set -- -o Dir::State::Lists="$PWD/lists" -o Dir::Cache="$PWD/cache"
$apt "$@" -o APT::Update::Error-Mode=any update && fetch "$@"
`;

/** Tries it: root of a container may be without the right to mount, or sit on an overlay itself. */
function whyNoOverlay(): string | undefined {
  if (process.getuid?.() !== 0) return 'an overlay VM needs root';
  const folder = mkdtempSync(join(tmpdir(), 'handlerkit-overlay-'));
  try {
    for (const name of ['upper', 'work', 'root']) mkdirSync(join(folder, name));
    const mount = 'mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root';
    execFileSync('unshare', ['--mount', 'sh', '-c', mount], { cwd: folder, stdio: 'ignore' });
    return undefined;
  } catch {
    return 'this machine cannot mount an overlay';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface InstanceView {
  readonly name: string;
  readonly type: string;
  readonly typeHandlerVersion: string;
  readonly statuses: readonly {
    readonly code: string;
    readonly level: string;
    readonly displayStatus: string;
    readonly message: string;
  }[];
  readonly substatuses: readonly { readonly code: string }[] | null;
}

export interface LocalVm {
  /** The VM's own folder, given to `--vm`. */
  readonly folder: string;
  /** Runs `handlerkit vm <words>` on this VM; `env` is laid over this process's environment. */
  run(words: readonly string[], env?: Readonly<Record<string, string>>): Promise<CommandResult>;
  /** Applies a package with settings, protected ones from a file of mode 0600. A failed extension is a result. */
  set(
    zip: string,
    settings: { readonly public?: unknown; readonly protected?: unknown },
    more?: readonly string[],
  ): Promise<CommandResult>;
  /** @param name of the extension; Custom Script's unless told. */
  show(name?: string): Promise<{
    readonly sequenceNumber: number;
    readonly provisioningState: string;
    readonly typeHandlerVersion: string;
  }>;
  instanceView(): Promise<readonly InstanceView[]>;
  delete(name?: string): Promise<void>;
  /** The agent's folder of the VM, on this machine. */
  agentFolder(): string;
  /** The folder of the extensions' logs. */
  logFolder(): string;
  /** Ends the VM and removes everything of it. */
  remove(): Promise<void>;
}

const CUSTOM_SCRIPT = 'CustomScript';

export interface VmMaking {
  /** Who works on the goal state; default: the tool itself. */
  readonly agent?: 'embedded' | 'waagent';
  /** Of an overlay VM; default: `host`, because a case may have a server of its own. */
  readonly network?: 'loopback' | 'host';
}

/** The VM is made by the first {@link LocalVm.set}. */
export async function createLocalVm(isolation: Isolation, making: VmMaking = {}): Promise<LocalVm> {
  const parent = mkdtempSync(join(tmpdir(), 'handlerkit-vm-test-'));
  const folder = join(parent, 'vm');
  // Not behind the words: after `--` they are another program's.
  const run: LocalVm['run'] = ([verb = '', ...words], env) =>
    runHandlerkit(['vm', verb, '--vm', folder, '--json', ...words], env === undefined ? {} : { env });
  const agentFolder = (): string => {
    const found = findFolder(folder, basename(LIB_FOLDER));
    if (found === undefined) throw new Error(`no agent folder in ${folder}`);
    return found;
  };
  const document = async (words: readonly string[]): Promise<unknown> => {
    const { stdout, stderr } = await run(words);
    if (stdout === '') throw new Error(`handlerkit vm ${words.join(' ')} printed nothing: ${stderr}`);
    return JSON.parse(stdout);
  };
  return {
    folder,
    run,
    set: async (zip, settings, more = []) => {
      const publicFile = join(parent, 'public.json');
      const protectedFile = join(parent, 'protected.json');
      const network = isolation === 'overlay' ? ['--network', making.network ?? 'host'] : [];
      const agent = making.agent === undefined ? [] : ['--agent', making.agent];
      const words = ['set', zip, '--isolation', isolation, ...network, ...agent, ...more];
      if (settings.public !== undefined) {
        writeFileSync(publicFile, JSON.stringify(settings.public));
        words.push('--settings', `@${publicFile}`);
      }
      if (settings.protected !== undefined) {
        writeFileSync(protectedFile, JSON.stringify(settings.protected), { mode: 0o600 });
        words.push('--protected-settings', `@${protectedFile}`);
      }
      try {
        return await run(words);
      } finally {
        rmSync(protectedFile, { force: true });
      }
    },
    show: async (name = CUSTOM_SCRIPT) =>
      (await document(['show', name])) as Awaited<ReturnType<LocalVm['show']>>,
    instanceView: async () => (await document(['instance-view'])) as readonly InstanceView[],
    delete: async (name = CUSTOM_SCRIPT) => {
      const { exitCode, stdout, stderr } = await run(['delete', name]);
      if (exitCode !== 0) throw new Error(`vm delete failed: ${stdout}${stderr}`);
    },
    agentFolder,
    logFolder: () => join(agentFolder(), relative(LIB_FOLDER, LOG_FOLDER)),
    remove: async () => {
      const { exitCode, stdout, stderr } = await run(['reset']);
      if (exitCode !== 0) throw new Error(`vm reset failed: ${stdout}${stderr}`);
      rmSync(parent, { recursive: true, force: true });
    },
  };
}

/** The folder called `name`, nearest to `top`: the agent's folder is not deep in the VM's. */
function findFolder(top: string, name: string): string | undefined {
  let level = [top];
  for (let depth = 0; depth < 8 && level.length > 0; depth++) {
    const next = level.flatMap((folder) =>
      readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(folder, entry.name)),
    );
    const found = next.find((folder) => basename(folder) === name && folder.includes('lib'));
    if (found !== undefined) return found;
    level = next;
  }
  return undefined;
}
