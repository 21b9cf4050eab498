/**
 * Which machine this is, so that state which a disk or an image brought along from another one is known as such.
 * Source: DMTF DSP0134 7.2.1 (the UUID of the firmware, and its two byte orders); machine-id(5).
 */
import type { Host } from './host.ts';
import { readTextIfThere } from './whole-file.ts';

/** `dmi:` and the UUID that the firmware gives the machine, or `os:` and the id of the installed system. */
export type MachineIdentity = string;

/** The identity of this machine; `undefined` when neither the firmware nor the system gives one. */
export function readMachineIdentity(host: Host): MachineIdentity | undefined {
  const uuid = readWord(host, '/sys/class/dmi/id/product_uuid');
  // Firmware without one says so by all zeros or all ones.
  if (UUID.test(uuid) && !/^[0-]+$/.test(uuid) && !/^[f-]+$/.test(uuid)) return `dmi:${uuid}`;
  const id = readWord(host, '/etc/machine-id');
  return /^[0-9a-f]{32}$/.test(id) ? `os:${id}` : undefined;
}

/**
 * True when both are known and of different machines. Two of different kinds cannot be compared. The first three fields
 * of a UUID count in either byte order: Azure's firmware has shown both for one machine.
 */
export function isOtherMachine(a: MachineIdentity | undefined, b: MachineIdentity | undefined): boolean {
  if (a === undefined || b === undefined || kindOf(a) !== kindOf(b)) return false;
  return a !== b && swapFields(a) !== b;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function kindOf(identity: MachineIdentity): string {
  return identity.slice(0, identity.indexOf(':'));
}

function swapFields(identity: MachineIdentity): string {
  const [kind = '', id = ''] = identity.split(':');
  const fields = id.split('-').map((field, index) => (index < 3 ? swapBytes(field) : field));
  return kind === 'dmi' ? `${kind}:${fields.join('-')}` : identity;
}

function swapBytes(hex: string): string {
  return (hex.match(/../g) ?? []).reverse().join('');
}

function readWord(host: Host, path: string): string {
  try {
    return (readTextIfThere(host.path(path)) ?? '').trim().toLowerCase();
  } catch {
    // Only root may read the firmware's.
    return '';
  }
}
