/** The embedded agent in a relocated VM: how it runs commands, where its folders are elsewhere. */
import { describeAgent } from './agent-cases.ts';

describeAgent('embedded, relocated', ['runs commands']);
