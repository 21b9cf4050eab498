/**
 * Makes another version of a packed extension without packing again: the programs take their version from the folder in
 * which the agent puts them, so only the publisher's manifest differs. Done by Python's zipfile, which is what the agent
 * unpacks with.
 */
import { execFileSync } from 'node:child_process';

const SCRIPT = `
import json, re, sys, zipfile
source, target, version, changes = sys.argv[1:]
with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, 'w') as new:
    for entry in old.infolist():
        data = old.read(entry)
        if entry.filename == 'manifest.xml':
            data = re.sub(rb'<Version>[^<]*</Version>', b'<Version>' + version.encode() + b'</Version>', data)
        if entry.filename == 'HandlerManifest.json':
            manifest = json.loads(data)
            manifest[0]['handlerManifest'].update(json.loads(changes))
            data = json.dumps(manifest)
        new.writestr(entry, data, zipfile.ZIP_STORED)
`;

/**
 * Writes `zip` as `version` to the path `target`; `changes` are laid over what the handler manifest tells the agent.
 * Throws when Python fails.
 */
export function writePackageVersion(
  zip: string,
  target: string,
  version: string,
  changes: Readonly<Record<string, unknown>> = {},
): void {
  execFileSync('python3', ['-c', SCRIPT, zip, target, version, JSON.stringify(changes)]);
}
