/** The options that say which VM is meant and what a new one is made of; the same for every command that can make a VM. */
import type { VmChoice } from '../vm/local-vm.ts';

export const MAKING_OPTIONS = {
  isolation: {
    choices: ['auto', 'overlay', 'relocated'] as const,
    default: 'auto' as const,
    describe:
      'overlay: the VM is a copy-on-write view of this machine (root only); relocated: only the folders of the agent are',
  },
  network: {
    choices: ['loopback', 'host'] as const,
    describe:
      "loopback: nothing but loopback; host: this machine's network (default: as the VM is, loopback when new)",
  },
  rootfs: {
    type: 'string',
    requiresArg: true,
    describe: "Root file system of the VM, such as another distribution's (default: this machine's)",
  },
  agent: {
    choices: ['embedded', 'waagent'] as const,
    describe: 'Who does the work of the Azure Linux Agent: this tool, or the real agent (default: embedded)',
  },
} as const;

interface Given {
  readonly vm: string;
  readonly isolation: 'auto' | 'overlay' | 'relocated';
  readonly network: 'loopback' | 'host' | undefined;
  readonly rootfs: string | undefined;
  readonly agent: 'embedded' | 'waagent' | undefined;
}

/** The VM that these options choose. */
export function chooseVm({ vm, isolation, network, rootfs, agent }: Given): VmChoice {
  return { folder: vm, isolation, network, rootfs, agent };
}
