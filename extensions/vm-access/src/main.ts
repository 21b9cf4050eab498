/** The program of the VM Access handler. */
import { runHandler } from '@handlerkit/sdk';
import extension from '../extension.json' with { type: 'json' };
import { handler } from './handler.ts';

void runHandler(handler, extension);
