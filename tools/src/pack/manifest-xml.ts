/**
 * `manifest.xml`: what a publisher registers an extension with; Microsoft's packages carry it beside the handler.
 * Source: sdk-anchors 5 (element order of the published extensions; the order matters to the registration service).
 */
import type { ExtensionDescription } from '@handlerkit/sdk';

/**
 * Formats the document. `MediaLink` stays empty: the address of the zip is known only to the publisher. The first
 * registration is internal, as the publishing guide asks; optional elements without a value are left out.
 */
export function formatPublisherManifest(description: ExtensionDescription): string {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['ProviderNameSpace', description.publisher],
    ['Type', description.type],
    ['Version', description.version],
    ['Label', description.label],
    ['HostingResources', 'VmRole'],
    ['MediaLink', ''],
    ['Description', description.description],
    ['IsInternalExtension', 'true'],
    ['Eula', description.eula],
    ['PrivacyUri', description.privacy],
    ['HomepageUri', description.homepage],
    ['IsJsonExtension', 'true'],
    ['SupportedOS', 'Linux'],
    ['CompanyName', description.company],
    ['SupportsMultipleExtensions', description.manifest.supportsMultipleExtensions ? 'true' : undefined],
  ];
  const lines = rows.flatMap(([name, value]) =>
    value === undefined ? [] : [`  <${name}>${escapeText(value)}</${name}>`],
  );
  return `<?xml version="1.0" encoding="utf-8"?>
<ExtensionImage xmlns="http://schemas.microsoft.com/windowsazure" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
${lines.join('\n')}
</ExtensionImage>
`;
}

/** Text for an element. Characters that XML 1.0 cannot hold at all become U+FFFD. */
function escapeText(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;');
}
