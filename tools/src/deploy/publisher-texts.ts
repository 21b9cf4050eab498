/** What a package's `manifest.xml` says for people. Source: sdk-anchors 5 (elements of the published extensions). */
import { readPublisherElement } from '../vm/package-identity.ts';
import type { PublisherTexts } from './deployment.ts';

/** Reads the texts; the extension's type stands in for a label, the label for a description. */
export function parsePublisherTexts(manifest: string, type: string): PublisherTexts {
  const element = (name: string): string | undefined => readPublisherElement(manifest, name);
  const label = element('Label') ?? type;
  return {
    label,
    description: element('Description') ?? label,
    company: element('CompanyName'),
    eula: element('Eula'),
    privacy: element('PrivacyUri'),
    homepage: element('HomepageUri'),
    architectures: [],
  };
}
