/**
 * A handler that others could have written: a few lines of POSIX shell, no SDK. Every command of it writes down all that
 * it was given, outside the folder of its version, and then does what the package says, or, in enable, what the settings
 * say. Zipped by Python, with modes and names that no packer of ours makes.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface ObserverPackage {
  readonly publisher?: string;
  /** Name of the extension; the handler is called `<publisher>.<type>`. */
  readonly type: string;
  readonly version: string;
  /** Laid over what the handler manifest tells the agent; `null` leaves a key out. */
  readonly manifest?: Readonly<Record<string, unknown>>;
  /** Shell that every command runs after it has observed; see {@link SCRIPT} for its words. */
  readonly behaviour?: string;
  /** More entries of the zip. */
  readonly entries?: readonly ZipEntry[];
  /** In the place of the handler manifest's text. */
  readonly manifestText?: string;
}

export interface ZipEntry {
  readonly name: string;
  readonly text: string;
  /** The whole mode, with the kind of file; default: a regular file, 0644. */
  readonly mode?: number;
}

export const PUBLISHER = 'Observer';

/** Writes the package into `folder`; gives the path of the zip, by whose name the tool knows which extension it is. */
export function writeObserver(folder: string, observer: ObserverPackage): string {
  const { publisher = PUBLISHER, type, version, manifest = {}, behaviour = '', entries = [] } = observer;
  const commands = Object.fromEntries(
    ['install', 'enable', 'disable', 'update', 'uninstall'].map((operation) => [
      `${operation}Command`,
      `bin/observe ${operation}`,
    ]),
  );
  const all = Object.entries({ ...commands, ...manifest }).filter(([, value]) => value !== null);
  const text = JSON.stringify([{ version: 1, handlerManifest: Object.fromEntries(all) }]);
  const zip = join(folder, `${publisher}.${type}-${version}.zip`);
  const files: readonly ZipEntry[] = [
    { name: 'HandlerManifest.json', text: observer.manifestText ?? text },
    { name: 'bin/observe', text: SCRIPT },
    { name: 'behaviour', text: behaviour },
    ...entries,
  ];
  execFileSync('python3', ['-c', ZIP_SCRIPT, zip], { input: JSON.stringify(files) });
  return zip;
}

/** Settings whose enable runs this shell; without it, it reports success. */
export function planned(plan: string): { readonly public: Readonly<Record<string, unknown>> } {
  return { public: { plan: Buffer.from(plan).toString('base64') } };
}

/** Shell that reports this text as the status, whole or not. */
export function writeStatusText(text: string): string {
  return `write_status '${text.replaceAll("'", "'\\''")}'`;
}

/** Name of the folder, in that of the handler's logs, in which each command has a folder of its own. */
export const RECORDS_FOLDER = 'observed';

const ZIP_SCRIPT = `
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as out:
    for entry in json.load(sys.stdin):
        info = zipfile.ZipInfo(entry['name'], (2026, 1, 1, 0, 0, 0))
        info.create_system = 3
        info.external_attr = entry.get('mode', 0o100644) << 16
        out.writestr(info, entry['text'].encode())
`;

/**
 * The words for a behaviour or a plan: `$operation`, `$version`, `$log`, `$status_file`, `$settings_file`, `write_status TEXT`,
 * `fail CODE` (reports, too: the agent looks for a status that is missing for eight seconds), `once COMMAND…` (runs it the
 * first time that this version's operation comes, and never again).
 */
const SCRIPT = `#!/bin/sh
mask=$(umask)
operation=$1
version=$AZURE_GUEST_AGENT_EXTENSION_VERSION
log=$(sed -n 's/.*"logFolder": *"\\([^"]*\\)".*/\\1/p' HandlerEnvironment.json)
number=\${ConfigExtensionName:+$ConfigExtensionName.}$ConfigSequenceNumber
settings_file=config/$number.settings
status_file=status/$number.status
record=$log/${RECORDS_FOLDER}/$(date +%s%N)-$operation-$version
seen=$(ls "$log/${RECORDS_FOLDER}" 2>/dev/null | grep -c -- "-$operation-$version$")
find . -printf '%m %y %P\\n' >/tmp/observed.$$
mkdir -p "$record"
mv /tmp/observed.$$ "$record/files"
printf '%s\\n' "$@" >"$record/arguments"
pwd >"$record/folder"
cat /proc/$$/environ >"$record/environment"
echo "$mask" >"$record/umask"
echo "$(readlink /proc/$$/fd/0)" >"$record/stdin"
echo "$(readlink /proc/$$/fd/1)" >"$record/stdout"
echo "$(readlink /proc/$$/fd/2)" >"$record/stderr"
id -u >"$record/user"
cat /proc/$$/stat >"$record/process"
grep SigIgn /proc/$$/status >"$record/signals"
cat HandlerEnvironment.json >"$record/handler-environment"
[ -f "$settings_file" ] && cat "$settings_file" >"$record/settings"

write_status() {
  printf '%s' "$1" >"$log/status.tmp" && mv "$log/status.tmp" "$status_file"
}
fail() {
  write_status '[{"status": {"status": "transitioning"}}]'
  exit "$1"
}
once() {
  if [ "$seen" -eq 0 ]; then "$@"; fi
}

[ -f behaviour ] && . ./behaviour
[ "$operation" = enable ] || exit 0
sed -n 's/.*"plan": *"\\([A-Za-z0-9+/=]*\\)".*/\\1/p' "$settings_file" | base64 -d >"$record/plan"
if [ -s "$record/plan" ]; then
  . "$record/plan"
elif [ -s "$settings_file" ]; then
  write_status '[{"status": {"status": "success", "formattedMessage": {"lang": "en-US", "message": "enabled"}}}]'
fi
`;
