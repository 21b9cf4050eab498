/** What opening the ports of sshd has done to one kind of firewall. */
import { accessError } from './errors.ts';

/** Texts for people: where something was changed. Empty lists: the ports were open already. */
export interface FirewallChange {
  /** Places in the running firewall that now let the ports through. */
  readonly opened: readonly string[];
  /** Files or settings that do it after a reboot. */
  readonly kept: readonly string[];
  readonly warnings: readonly string[];
}

/** Nothing had to be changed. */
export const NO_CHANGE: FirewallChange = { opened: [], kept: [], warnings: [] };

/** Puts the changes of several kinds into one. */
export function joinChanges(changes: readonly FirewallChange[]): FirewallChange {
  return {
    opened: changes.flatMap(({ opened }) => opened),
    kept: changes.flatMap(({ kept }) => kept),
    warnings: changes.flatMap(({ warnings }) => warnings),
  };
}

/** `port 22` or `ports 22 and 2222`. */
export function namePorts(ports: readonly number[]): string {
  return `port${ports.length === 1 ? '' : 's'} ${ports.join(' and ')}`;
}

/** The error for a firewall that does not let the ports through although it was told to. `where` names it. */
export function stillBlocked(where: string, ports: readonly number[]): Error {
  return accessError(
    'FIREWALL_NOT_OPENED',
    `${where} does not let ${namePorts(ports)} through although a rule for it was added; look at its rules`,
  );
}
