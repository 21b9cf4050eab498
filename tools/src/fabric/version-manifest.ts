/**
 * A handler's version manifest: which versions there are, and where their packages lie. An agent takes the highest version
 * that begins with the one it wants; one that it is to remove should be there, too. Source: fabric.md 3; agent-contract 12.4.
 */
import { escapeXml } from './xml.ts';

export interface PublishedVersion {
  readonly version: string;
  readonly packageUrl: string;
}

/** The document. */
export function formatVersionManifest(versions: readonly PublishedVersion[]): string {
  const plugins = versions.map(
    ({ version, packageUrl }) => `    <Plugin>
      <Version>${escapeXml(version)}</Version>
      <Uris>
        <Uri>${escapeXml(packageUrl)}</Uri>
      </Uris>
    </Plugin>
`,
  );
  return `<?xml version="1.0" encoding="utf-8"?>
<PluginVersionManifest>
  <Plugins>
${plugins.join('')}  </Plugins>
  <InternalPlugins />
</PluginVersionManifest>
`;
}
