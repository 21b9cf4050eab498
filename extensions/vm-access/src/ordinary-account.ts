/**
 * Which accounts VM Access touches: those of people, in the machine's own file. Never those of the administrator, the
 * system and its services, and never those of a directory, which the machine's programs cannot change.
 */
import { findUserAccount } from '@handlerkit/sdk';
import type { PasswdEntry } from './account-files.ts';
import { readPasswd } from './account-files.ts';
import { accessError } from './errors.ts';
import { readLoginDefs } from './login-defs.ts';
import type { StepContext } from './step.ts';
import { checkUserName } from './user-name.ts';

/**
 * Finds an account by name. `undefined`: there is none. Throws `USER_NAME_INVALID`, and `ACCOUNT_REFUSED` for one that
 * is not to be touched.
 */
export async function findOrdinaryAccount(
  context: StepContext,
  username: string,
): Promise<PasswdEntry | undefined> {
  checkUserName(username);
  const { host } = context;
  const entry = readPasswd(host).find(({ name }) => name === username);
  const known = await findUserAccount(host, username);
  if (entry === undefined) {
    if (known === undefined) return undefined;
    throw refuse(`${username} is no account of this VM itself, but of a directory; change it there`);
  }
  if (known !== undefined && known.uid !== entry.uid) {
    throw refuse(`a directory has another account ${username} with the uid ${known.uid}; remove one of them`);
  }
  checkId(context, entry);
  return entry;
}

function checkId(context: StepContext, { name, uid }: PasswdEntry): void {
  if (uid === 0) throw refuse(`${name} is the administrator of the VM; give the name of another user`);
  const { uidMin, uidMax } = readLoginDefs(context.host);
  const isOrdinary = uid >= uidMin && uid <= uidMax && name !== 'nobody';
  if (isOrdinary || context.distro.loginUids.includes(uid)) return;
  throw refuse(
    `${name} (uid ${uid}) is an account of the system or of a service: those of people have a uid from ${uidMin} to ${uidMax}; give another user`,
  );
}

function refuse(message: string): Error {
  return accessError('ACCOUNT_REFUSED', message);
}
