/**
 * A local VM on a root file system of Debian, for the tests of VM Access: the packed extension is applied to it as a user does,
 * and an ssh client in it logs in to its own sshd, on the loopback of the VM's own network.
 */
import { afterAll, beforeAll } from 'vitest';
import { createLocalVm, type LocalVm } from '../local-vm.ts';
import type { DebianRoot } from './roots.ts';

/** How a command in the VM ended. */
export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the platform shows of the extension after a `vm set`. */
export interface AccessStatus {
  readonly level: string;
  readonly message: string;
  /** One per step that was asked for, by the step's name; of a failed run also `ErrorClarification`. */
  readonly steps: Readonly<Record<string, { readonly status: string; readonly message: string }>>;
}

export interface AccessVm {
  /** Runs a script of the shell as root of the VM, with `args` as `$1`, `$2`…; it may fail. */
  exec(script: string, ...args: readonly string[]): Promise<Ended>;
  /** The same; throws unless it ends with 0. Gives what it printed, without the last newline. */
  get(script: string, ...args: readonly string[]): Promise<string>;
  /** Writes a file of the VM as root, mode 0600, its folder too. */
  write(path: string, text: string): Promise<void>;
  /** Applies VM Access with these settings. */
  set(settings: { readonly public?: unknown; readonly protected?: unknown }): Promise<AccessStatus>;
  /** Starts sshd by its service. It ends with the VM. */
  startSshd(): Promise<void>;
  /** Logs in with ssh and a private key, a file of the VM, and runs `command`; 255 means that the login failed. */
  loginByKey(user: string, keyFile: string, command?: string): Promise<Ended>;
  /** The same with a password, and nothing else. */
  loginByPassword(user: string, password: string, command?: string): Promise<Ended>;
  /** What the handlers and {@link exec} have changed since the VM was made: `M /etc/x` (A added, D deleted), sorted. */
  diff(): Promise<readonly string[]>;
}

/** Gives the tests of a suite one new VM on `root`, made by its first command and removed at its end. */
export function useAccessVm(root: DebianRoot, zip: () => string): AccessVm {
  let vm: LocalVm | undefined;
  beforeAll(async () => {
    vm = await createLocalVm('overlay', { network: 'loopback' });
  });
  afterAll(async () => {
    await vm?.remove();
  });
  const made = (): LocalVm => {
    if (vm === undefined) throw new Error('the VM is there in tests and hooks only');
    return vm;
  };
  const exec: AccessVm['exec'] = async (script, ...args) => {
    const words = ['exec', '--isolation', 'overlay', '--network', 'loopback', '--rootfs', root.folder, '--'];
    const { exitCode, stdout, stderr } = await made().run([...words, 'sh', '-c', script, 'sh', ...args]);
    if (stdout === '') throw new Error(`nothing can be run in the VM (${exitCode}): ${stderr}`);
    return JSON.parse(stdout) as Ended;
  };
  const get: AccessVm['get'] = async (script, ...args) => {
    const { exitCode, stdout, stderr } = await exec(script, ...args);
    if (exitCode !== 0) throw new Error(`${script}: exit code ${exitCode}: ${stdout}${stderr}`);
    return stdout.replace(/\n$/, '');
  };
  return {
    exec,
    get,
    write: async (path, text) => {
      await get('umask 077; mkdir -p "${1%/*}"; printf %s "$2" >"$1"', path, text);
    },
    set: async (settings) => {
      const { stdout, stderr } = await made().set(zip(), settings, ['--rootfs', root.folder]);
      const [extension] = (await made().instanceView()) as readonly ExtensionView[];
      const [status] = extension?.statuses ?? [];
      if (status === undefined) throw new Error(`VM Access left no status: ${stdout}${stderr}`);
      const steps = (extension?.substatuses ?? []).map(readSubstatus);
      return { level: status.level, message: status.message, steps: Object.fromEntries(steps) };
    },
    startSshd: async () => {
      await get('service ssh start');
    },
    loginByKey: (user, keyFile, command = 'id -un') =>
      exec(LOGIN_BY_KEY, `${user}@127.0.0.1`, command, keyFile),
    loginByPassword: (user, password, command = 'id -un') =>
      exec(LOGIN_BY_PASSWORD, `${user}@127.0.0.1`, command, password),
    diff: async () => {
      const { exitCode, stdout, stderr } = await made().run(['diff']);
      if (exitCode !== 0) throw new Error(`vm diff failed: ${stdout}${stderr}`);
      return (JSON.parse(stdout) as FileChanges).changes
        .map(({ change, path }) => `${change} ${path}`)
        .sort();
    },
  };
}

interface ExtensionView {
  readonly statuses: readonly { readonly level: string; readonly message: string }[];
  readonly substatuses: readonly { readonly code: string; readonly message: string }[] | null;
}

interface FileChanges {
  readonly changes: readonly { readonly change: string; readonly path: string }[];
}

/** `ComponentStatus/ssh key/succeeded`. */
function readSubstatus({ code, message }: { code: string; message: string }) {
  const [, name = '', status = ''] = code.split('/');
  return [name, { status, message }] as const;
}

/** The port is where sshd listens now. */
const LOGIN = `
to=$1 command=$2 secret=$3
port=$(sshd -T 2>/dev/null | sed -n 's/^port //p' | head -n 1)
login() {
  exec timeout 20 ssh -F none -p "$port" -o LogLevel=ERROR -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \\
    -o IdentityAgent=none -o ConnectTimeout=5 "$@" "$to" "$command" </dev/null
}
`;

const LOGIN_BY_KEY = `${LOGIN}
login -o PreferredAuthentications=publickey -o IdentitiesOnly=yes -i "$secret"
`;

/** The password is never on a command line. */
const LOGIN_BY_PASSWORD = `${LOGIN}
printf '#!/bin/sh\\nprintf "%%s\\\\n" "$SECRET"\\n' >/run/ask-password
chmod 755 /run/ask-password
export SECRET=$secret SSH_ASKPASS=/run/ask-password SSH_ASKPASS_REQUIRE=force
login -o PreferredAuthentications=password -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1
`;
