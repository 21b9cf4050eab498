/** The real Azure Linux Agent, Debian's package, in a VM. */
import { describeAgent } from './agent-cases.ts';

describeAgent('waagent');
