/** The provisioning state that the agent's daemon posts. Source: fabric.md 2, item 5; agent-contract 12.2. */
import { unescapeXml } from './xml.ts';

export interface HealthReport {
  /** `Ready`, `NotReady`. */
  readonly state: string;
  /** Empty when all is well. */
  readonly description: string;
}

/** Reads the document; what it does not say is empty. */
export function parseHealthReport(document: string): HealthReport {
  const read = (name: string): string => {
    const [, text = ''] = new RegExp(`<${name}>([^<]*)</${name}>`).exec(document) ?? [];
    return unescapeXml(text).trim();
  };
  return { state: read('State'), description: read('Description') };
}
