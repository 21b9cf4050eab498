/**
 * The firewall step: the ports on which sshd listens are opened in whichever firewall is in charge. Where firewalld or ufw
 * is, only through it, since it would overwrite everything else; otherwise in all rules of nftables, iptables and ip6tables,
 * as a packet has to get through all of them.
 */
import type { FirewallChange } from './firewall-change.ts';
import { joinChanges, namePorts } from './firewall-change.ts';
import { isFirewalldActive, openFirewalld } from './firewalld.ts';
import { listOwnTables, openIptables, readIptables } from './iptables.ts';
import { openNftables, readNftables } from './nftables.ts';
import type { PlannedStep, StepContext, StepReport } from './step.ts';
import { isUfwActive, openUfw } from './ufw.ts';
import type { Undo } from './undo.ts';

/**
 * Plans to let everybody connect to `ports`, which are asked for when the step acts, after sshd has got its configuration.
 * Throws when the rules of a firewall that is there cannot be read.
 */
export async function planFirewall(
  context: StepContext,
  ports: () => Promise<readonly number[]>,
): Promise<PlannedStep> {
  const open = await findFirewall(context);
  return {
    name: 'firewall',
    async act(undo): Promise<StepReport> {
      const numbers = [...new Set(await ports())];
      return describe(numbers, await open(numbers, undo));
    },
  };
}

type OpenPorts = (ports: readonly number[], undo: Undo) => Promise<FirewallChange>;

async function findFirewall(context: StepContext): Promise<OpenPorts> {
  if (await isFirewalldActive(context)) return (ports, undo) => openFirewalld(context, ports, undo);
  if (await isUfwActive(context)) return (ports, undo) => openUfw(context, ports, undo);
  await readNftables(context, listOwnTables(await readIptables(context)));
  return async (ports, undo) => {
    const own = listOwnTables(await readIptables(context));
    return joinChanges([
      await openIptables(context, ports, undo),
      await openNftables(context, ports, undo, own),
    ]);
  };
}

function describe(ports: readonly number[], { opened, kept, warnings }: FirewallChange): StepReport {
  const changed = opened.length + kept.length > 0;
  const parts = [
    ...(opened.length > 0 ? [`${namePorts(ports)} opened to every address in ${opened.join(', ')}`] : []),
    ...(kept.length > 0 ? [`open after a reboot by ${kept.join(', ')}`] : []),
  ];
  return {
    changed,
    message: changed ? parts.join('; ') : `no firewall of this VM blocks ${namePorts(ports)}`,
    ...(warnings.length > 0 ? { warning: warnings.join('; ') } : {}),
  };
}
