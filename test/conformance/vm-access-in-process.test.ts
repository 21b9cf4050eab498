/** VM Access, in process: a file of its own, so that the drivers run side by side. */
import { describeVmAccess } from './vm-access-cases.ts';

describeVmAccess('in process');
