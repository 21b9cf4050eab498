/** VM Access with a canary in every protected field, on a root file system of Debian: what it is told, and what the system holds after it. */
import type { Canaries, CanaryShape } from './canaries.ts';
import type { DeclaredHolder } from './secrets-ledger.ts';
import type { SecretSettings } from './secrets-tool.ts';

/** Names of accounts and their last days are no secrets to the system that has the accounts. */
export const ACCOUNT_HOLDERS: readonly DeclaredHolder[] = [
  {
    place:
      /^cmdline (?:\S*\/)?(?:useradd|usermod|userdel|chage|passwd|sudo|su|setpriv|sshd|getent|id|pkill|groupdel|gpasswd|visudo|rm|chown|chmod|cp|dd|mv|mkdir)\b/,
    fields: /^vm-access (?:username|remove_user|expiration)$/,
    why: 'names and last days of accounts in the arguments of the programs that change accounts, which take them only there',
  },
  {
    place:
      /upper\/(?:etc\/(?:passwd|group|shadow|gshadow|subuid|subgid)-?|etc\/sudoers\.d\/\S*|var\/lib\/waagent\/vm-access\/[\w-]+\.json|var\/log\/(?:lastlog|faillog))$/,
    fields: /^vm-access (?:username|remove_user|expiration)$/,
    why: 'the names of accounts in the files of the system that has them',
  },
  {
    place:
      /^name of vm-access:.*upper\/(?:home|etc\/sudoers\.d|var\/(?:mail|spool))\/|^vm-access: stdout, stderr of vm diff/,
    fields: /^vm-access (?:username|remove_user)$/,
    why: 'the names of accounts in the names of their homes and rules, which a list of changed files shows',
  },
  {
    place: /upper\/home\/[^/]+\/\.ssh\/authorized_keys$/,
    fields: /^vm-access (?:ssh_key|username)$/,
    why: 'the public keys that open an account',
    modes: [0o600],
  },
];

export interface VmAccessCases {
  /** A new account with everything; gives its name, too. */
  account(): { readonly name: string; readonly settings: SecretSettings };
  /** Removes it. */
  removal(name: string): SecretSettings;
  /** What the settings' own check refuses, and what the steps refuse. */
  refused(): readonly SecretSettings[];
}

/** @param publicKey of type and base64 alone. */
export function createVmAccessCases(canaries: Canaries, publicKey: string): VmAccessCases {
  const plant = (field: string, shape: CanaryShape = 'ascii'): string =>
    canaries.plant(`vm-access ${field}`, shape);
  const key = (): string => `${publicKey} ${plant('ssh_key', 'quotes')}`;
  return {
    account: () => {
      const name = plant('username', 'name');
      const secrets = {
        password: plant('password', 'shell'),
        ssh_key: key(),
        expiration: plant('expiration', 'date'),
      };
      return {
        name,
        settings: { protected: { username: name, ...secrets, enable_passwordless_access: true } },
      };
    },
    removal: (name) => ({ protected: { remove_user: name } }),
    refused: () => [
      {
        protected: {
          username: [plant('username')],
          password: { deep: plant('password') },
          ssh_key: 5,
          expiration: plant('expiration'),
          remove_prior_keys: plant('remove_prior_keys'),
          enable_passwordless_access: plant('enable_passwordless_access'),
          reset_ssh: plant('reset_ssh', 'quotes'),
          restore_backup_ssh: plant('restore_backup_ssh', 'markup'),
          remove_user: plant('remove_user'),
          [plant('an unknown key', 'shell')]: plant('the value of an unknown key'),
        },
      },
      {
        // The password of an account does not belong here, but may stand here.
        public: { password: plant('password in the public half') },
        protected: { username: plant('username', 'name'), password: plant('password', 'lines') },
      },
      {
        protected: {
          username: plant('username', 'name'),
          // A private key in the place of the public one.
          ssh_key: plant('ssh_key', 'private key'),
          password: plant('password', 'backslashes'),
        },
      },
      { protected: { username: `${plant('username', 'name')};$(id)`, password: plant('password', 'utf8') } },
      { protected: { username: 'root', password: plant('password', 'markup') } },
      { protected: { remove_user: plant('remove_user', 'name') } },
    ],
  };
}
