/** The version of this tool, and of the SDK that goes with it. */
import { readFileSync } from 'node:fs';

/** What `package.json` says, which lies beside the sources as beside the built program. */
export function readToolVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const description: unknown = JSON.parse(text);
  const isDescription = typeof description === 'object' && description !== null && 'version' in description;
  return isDescription ? String(description.version) : 'unknown';
}
