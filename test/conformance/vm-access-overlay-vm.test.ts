/** VM Access, packed, overlay VM: a file of its own, so that the drivers run side by side. */
import { describeVmAccess } from './vm-access-cases.ts';

describeVmAccess('packed, overlay VM');
