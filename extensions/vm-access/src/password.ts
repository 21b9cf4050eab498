/**
 * The step that sets a password: through the standard input of `chpasswd`, with a hash as strong as SHA-512 at least, and
 * verified in shadow. The former hash is put back when a later step fails.
 */
import { HandlerError } from '@handlerkit/sdk';
import type { ShadowEntry } from './account-files.ts';
import { readShadow } from './account-files.ts';
import { runAccountTool } from './account-tool.ts';
import { findProgram } from './command.ts';
import { accessError } from './errors.ts';
import { readLoginDefs } from './login-defs.ts';
import { isLocked, modernMethod, restorePassword } from './password-field.ts';
import type { PlannedStep, StepContext, StepReport } from './step.ts';
import type { Undo } from './undo.ts';
import { checkUserName } from './user-name.ts';

/** Whose password becomes what. The password is one line of text: the settings were checked for that. */
export interface PasswordRequest {
  readonly username: string;
  readonly password: string;
}

/** Plans the password. Throws `USER_NAME_INVALID` and `PROGRAM_MISSING`. */
export async function planPassword(context: StepContext, request: PasswordRequest): Promise<PlannedStep> {
  checkUserName(request.username);
  if (findProgram(context.host, 'chpasswd') === undefined) {
    throw accessError('PROGRAM_MISSING', 'this VM has no program chpasswd; install it and try again');
  }
  return { name: 'password', act: (undo) => setPassword(context, request, undo) };
}

async function setPassword(context: StepContext, request: PasswordRequest, undo: Undo): Promise<StepReport> {
  const { username } = request;
  const before = readShadow(context.host, username);
  if (before === undefined) {
    throw accessError('ACCOUNT_MISSING', `the user ${username} has no line in /etc/shadow; try again`);
  }
  undo.add(`the password of ${username}`, () => restorePassword(context, before));
  const { encryptMethod } = readLoginDefs(context.host);
  // Where PAM does not choose the method, login.defs does.
  if (encryptMethod !== undefined && WEAK_METHODS.includes(encryptMethod)) {
    await changePassword(context, request, SHA512);
  } else {
    await changePassword(context, request);
    const now = readShadow(context.host, username);
    if (now !== undefined && now.hash !== before.hash && modernMethod(now.hash) === undefined) {
      await changePassword(context, request, SHA512);
    }
  }
  const method = verify(context, before);
  const unlocked = isLocked(before.hash) ? '; the account was locked, and is not any more' : '';
  return { changed: true, message: `set the password of ${username} (${method})${unlocked}` };
}

const SHA512 = ['-c', 'SHA512'] as const;
/** Source: login.defs(5), ENCRYPT_METHOD. */
const WEAK_METHODS: readonly string[] = ['DES', 'MD5', 'SHA256'];

async function changePassword(
  context: StepContext,
  { username, password }: PasswordRequest,
  options: readonly string[] = [],
): Promise<void> {
  try {
    await runAccountTool(context, ['chpasswd', ...options], { stdin: `${username}:${password}\n` });
  } catch (thrown) {
    if (!(thrown instanceof HandlerError) || !POLICY.test(thrown.message)) throw thrown;
    const reason = /BAD PASSWORD:[^\n]*/i.exec(thrown.message)?.[0] ?? thrown.message;
    throw accessError(
      'PASSWORD_REFUSED',
      `the password policy of this VM refuses the password: ${reason}; choose another one`,
      { cause: thrown },
    );
  }
}

/** What PAM says when one of its modules refuses a password. */
const POLICY = /BAD PASSWORD|already used|choose a longer|too (?:short|simple|similar|long)/i;

/** Gives the method of the new hash. */
function verify(context: StepContext, before: ShadowEntry): string {
  const { name } = before;
  const now = readShadow(context.host, name);
  const fail = (what: string): Error =>
    accessError('PASSWORD_NOT_VERIFIED', `chpasswd ended well, but ${what}; look at the PAM rules of passwd`);
  if (now === undefined || now.hash === before.hash) throw fail(`the password of ${name} is the former one`);
  const method = modernMethod(now.hash);
  if (method === undefined) throw fail('its hash is weaker than SHA-512, or locked');
  return method;
}
