/** The names of an extension's protected settings, and nothing else of them, for people who look at the VM. */
import { createHost, readTextIfThere, shownProtectedKey } from '@handlerkit/sdk';
import { formatCertificateFiles } from '@handlerkit/sdk/contract';
import { decryptProtectedSettings } from '@handlerkit/sdk/testing';
import type { Machine } from '../vm/machine.ts';
import type { StoredSettings } from '../vm/store.ts';

/** Remembers what it has read, by envelope. */
export type ProtectedKeyReader = (
  machine: Machine,
  settings: StoredSettings | null,
) => Promise<readonly string[] | undefined>;

/**
 * Makes a reader that opens the envelope with the VM's own key and gives its keys, sorted; one that does not look like a name
 * is hidden, as it may be a secret in the wrong place. `undefined`: it cannot be opened. None for no protected settings.
 */
export function createProtectedKeyReader(): ProtectedKeyReader {
  let known = new Map<string, readonly string[] | undefined>();
  return async (machine, settings) => {
    const envelope = settings?.protected ?? null;
    if (envelope === null) return [];
    if (!known.has(envelope)) {
      if (known.size >= MOST_KNOWN) known = new Map();
      known.set(envelope, await readKeys(machine, envelope, settings?.thumbprint ?? null));
    }
    return known.get(envelope);
  };
}

const MOST_KNOWN = 100;

async function readKeys(
  machine: Machine,
  envelope: string,
  thumbprint: string | null,
): Promise<readonly string[] | undefined> {
  if (thumbprint === null) return undefined;
  const files = formatCertificateFiles(thumbprint);
  const read = (name: string): string | undefined =>
    readTextIfThere(machine.hostPath(`${machine.libFolder}/${name}`));
  const [certificateText, privateKeyText] = [read(files.certificate), read(files.privateKey)];
  if (certificateText === undefined || privateKeyText === undefined) return undefined;
  const { exec } = createHost();
  try {
    const value = await decryptProtectedSettings({
      envelope,
      thumbprint,
      certificateText,
      privateKeyText,
      libFolder: machine.libFolder,
      host: { exec, path: (path) => machine.hostPath(path) },
    });
    return Object.keys(value)
      .map((key) => shownProtectedKey(key, []))
      .sort();
  } catch {
    return undefined;
  }
}
