/** Custom Script, in process: a file of its own, so that the drivers run side by side. */
import { describeCustomScript } from './custom-script-cases.ts';

describeCustomScript('in process');
