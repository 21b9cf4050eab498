/** The embedded agent in an overlay VM. */
import { describeAgent } from './agent-cases.ts';

describeAgent('embedded, overlay');
