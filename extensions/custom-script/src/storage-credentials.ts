/** With what a private blob is reached: a key of its storage account, or a managed identity of the VM. */

/** The credentials of the protected settings; no more than one kind can be given. */
export type StorageCredentials =
  | { readonly kind: 'account-key'; readonly accountName: string; readonly accountKey: string }
  /** With neither id, the identity that the system assigned. */
  | { readonly kind: 'identity'; readonly clientId?: string; readonly objectId?: string };

/** The credentials of a protected half that was checked; `undefined` when there are none. */
export function readStorageCredentials(
  hidden: Readonly<Record<string, unknown>>,
): StorageCredentials | undefined {
  const { storageAccountName: accountName, storageAccountKey: accountKey, managedIdentity } = hidden;
  if (isText(accountName) && isText(accountKey)) return { kind: 'account-key', accountName, accountKey };
  if (typeof managedIdentity !== 'object' || managedIdentity === null) return undefined;
  const clientId: unknown = Reflect.get(managedIdentity, 'clientId');
  const objectId: unknown = Reflect.get(managedIdentity, 'objectId');
  return {
    kind: 'identity',
    ...(isText(clientId) && { clientId }),
    ...(isText(objectId) && { objectId }),
  };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
