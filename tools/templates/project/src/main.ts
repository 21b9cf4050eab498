/** The program that the agent starts: reads the operation from the command line, and runs the handler. */
import { runHandler } from '@handlerkit/sdk';
import extension from '../extension.json' with { type: 'json' };
import { handler } from './handler.ts';

void runHandler(handler, extension);
