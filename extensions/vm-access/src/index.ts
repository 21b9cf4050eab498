/** What tests outside of this package may import: the handler and its description. Importing it does nothing. */
import extension from '../extension.json' with { type: 'json' };

export { handler } from './handler.ts';
export { extension };
