/**
 * Generates `bin/handler`: the small POSIX shell script that the agent starts. It picks the program for the machine,
 * says 51 clearly where there is none that runs, and answers for a detached enable. It uses the shell's own commands
 * wherever it can: each other program costs about a millisecond, and minimal images have few.
 * Source: agent-contract 6.1 (how it is called), 6.3 (environment), 8.1, 8.4 (status files).
 */
import { type Architecture, DETACH_WORD, type Runtime } from '@handlerkit/sdk';
import {
  AGENT_VARIABLES,
  CONFIG_FOLDER,
  EXIT_CODES,
  formatHeartbeat,
  formatStatus,
  HEARTBEAT_FILE,
  isFinal,
  OPERATION_TITLES,
  type Operation,
  SETTINGS_SUFFIX,
  STATUS_FOLDER,
  STATUS_SUFFIX,
  STATUS_VALUES,
  type StatusValue,
} from '@handlerkit/sdk/contract';

/** The launcher's place in the package. */
export const LAUNCHER_FILE = 'bin/handler';

/** The program's place in the package when Node runs it. */
export const SCRIPT_FILE = `${LAUNCHER_FILE}.mjs`;

/** File beside the handlers' folders in which {@link formatStopOrder} tells an inspectable launcher where to stop. */
export const STOP_ORDER_FILE = '.handlerkit-inspect';

/** That one operation stops at its first line until a debugger comes. It holds once. */
export interface StopOrder {
  readonly handlerName: string;
  readonly operation: Operation;
  /** Port on 127.0.0.1. */
  readonly port: number;
  /** Looked at for one of several configurations only. */
  readonly extensionName: string;
}

export interface LauncherOptions {
  readonly handlerName: string;
  readonly version: string;
  readonly architectures: readonly Architecture[];
  /** True when enable answers at once and goes on by itself. */
  readonly detached: boolean;
  /** True when the manifest promises a heartbeat: then there is one as soon as the agent looks for it. */
  readonly reportHeartbeat: boolean;
  /** Default: `bun`. With `node` the program of each architecture is Node's executable, and {@link SCRIPT_FILE} is in the package. */
  readonly runtime?: Runtime;
  /** True: it heeds {@link STOP_ORDER_FILE}; for `node` only. Default: false. */
  readonly inspectable?: boolean;
}

/** The place in the package of the program for one architecture. */
export function programFile(architecture: Architecture): string {
  return `${LAUNCHER_FILE}-${architecture}`;
}

/** The launcher's text, for dash, busybox ash and bash. */
export function formatLauncher(options: LauncherOptions): string {
  const parts = [head(options), FIND_SEQUENCE, failure(options)];
  if (options.reportHeartbeat) parts.push(firstHeartbeat());
  parts.push(choice(options));
  if (options.runtime === 'node') parts.push(nodeArguments(options));
  if (options.detached) parts.push(detachedEnable());
  parts.push('exec "$program" "$@"\n');
  return parts.join('\n');
}

/** The content of {@link STOP_ORDER_FILE}. */
export function formatStopOrder({ handlerName, operation, port, extensionName }: StopOrder): string {
  return `${handlerName} ${operation} ${port} ${extensionName}\n`;
}

/** What stands in the generated statuses for the values that the shell puts in. */
const TIME_TOKEN = '1970-01-01T00:00:00Z';
const REASON_TOKEN = '@REASON@';

/** `uname -m` and the dynamic loader (the interpreter that the program's ELF header names) of each architecture. */
const MACHINES: Readonly<Record<Architecture, { names: string; loader: string }>> = {
  x64: { names: 'x86_64 | amd64', loader: '/lib64/ld-linux-x86-64.so.2' },
  arm64: { names: 'aarch64 | arm64', loader: '/lib/ld-linux-aarch64.so.1' },
};

/**
 * What `uname -m` says, without starting a program; from Linux 6.1 on. Under an emulator, and in a 32-bit container, it
 * names the real machine, whose loader then is not there. Source: Documentation/admin-guide/sysctl/kernel.rst "arch".
 */
const KERNEL_MACHINE_FILE = '/proc/sys/kernel/arch';

/** File beside the program: the architecture whose program runs on this machine. */
const CHOICE_FILE = '.architecture';

/** Where the system's own programs are. */
const USUAL_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * What a program that bun 1.4.5 compiled heeds of its environment, found by running one: the first two turn it into bun
 * or give it bun's options, such as `--preload`; the others start a debugger's server or show its requests, headers
 * included. It does not heed NODE_OPTIONS, and bunfig.toml and .env only unless it was compiled without.
 */
const MISLEADING_VARIABLES = [
  'BUN_BE_BUN',
  'BUN_OPTIONS',
  'BUN_INSPECT',
  'BUN_INSPECT_PRELOAD',
  'BUN_INSPECT_CONNECT_TO',
  'BUN_INSPECT_NOTIFY',
  'BUN_CONFIG_VERBOSE_FETCH',
];

/** Digits of a number at most; a longer one is none to the program. Source: `parseSequence` of the contract. */
const LONGEST_NUMBER = 15;

/** Source: `objdump -T` of bun 1.4.5 and Node 24.21.0, both architectures. */
const LIBRARIES: Readonly<Record<Runtime, string>> = {
  bun: 'the GNU C library (glibc) 2.17 or later',
  node: 'the GNU C library (glibc) 2.28 or later, libstdc++',
};

function head({ handlerName, version }: LauncherOptions): string {
  return `#!/bin/sh
# ${handlerName} ${version}: starts the program for this machine. Generated by handlerkit pack.

# What follows is looked for here where the agent names no place.
PATH=\${PATH:-${USUAL_PATH}}
export PATH
# They make another program of this one, load code into it, or open it to a debugger.
unset ${MISLEADING_VARIABLES.join(' ')}

# Anything but one word is wrong usage, which the program says itself.
operation=
[ $# -eq 1 ] && operation=$1
case $0 in
  */*) own=\${0%/*} ;;
  *) own=. ;;
esac
base=\${${AGENT_VARIABLES.extensionPath}:-$own/..}
`;
}

/**
 * Sets `status_file`, or fails where the program finds none either: it would resolve no placeholder. Without the agent's variable the settings file that was written last tells the number; of two
 * with the same time the higher number.
 */
const FIND_SEQUENCE = `is_number() {
  case $1 in '' | *[!0-9]*) return 1 ;; esac
  [ \${#1} -le ${LONGEST_NUMBER} ]
}

find_sequence() {
  prefix=
  case \${${AGENT_VARIABLES.extensionName}-} in
    '') ;;
    */*) return 1 ;;
    *) prefix=$${AGENT_VARIABLES.extensionName}. ;;
  esac
  sequence=\${${AGENT_VARIABLES.sequenceNumber}-}
  if [ -z "$sequence" ]; then
    newest=
    for file in "$base/${CONFIG_FOLDER}/$prefix"*${SETTINGS_SUFFIX}; do
      number=\${file##*/}
      number=\${number#"$prefix"}
      number=\${number%${SETTINGS_SUFFIX}}
      is_number "$number" || continue
      # shellcheck disable=SC3013 # dash, busybox and bash have -nt
      if [ -z "$newest" ] || [ "$file" -nt "$newest" ] ||
        { [ ! "$newest" -nt "$file" ] && [ "$number" -gt "$sequence" ]; }; then
        newest=$file
        sequence=$number
      fi
    done
  fi
  is_number "$sequence" || return 1
  # As the program writes it: 7 for 007.
  while :; do
    case $sequence in 0?*) sequence=\${sequence#0} ;; *) break ;; esac
  done
  status_folder=$base/${STATUS_FOLDER}
  status_file=$status_folder/$prefix$sequence${STATUS_SUFFIX}
  temporary=$status_folder/.launcher.$$
}
`;

/** \`unsupported REASON\` ends the launcher. The reason goes into JSON as it is: no quotes, no backslashes. */
function failure({ handlerName, version, reportHeartbeat }: LauncherOptions): string {
  const beat = reportHeartbeat ? '  [ "$operation" = enable ] && write_heartbeat\n' : '';
  const final = STATUS_VALUES.filter(isFinal).map((value) => `${value}'"'*`);
  return `is_final() {
  [ -s "$status_file" ] || return 1
  text=
  while IFS= read -r line || [ -n "$line" ]; do text=$text$line; done <"$status_file"
  case $text in *'"status"'*'"status"'*) ;; *) return 1 ;; esac
  text=\${text#*'"status"'*'"status"'}
  case \${text#*'"'} in ${final.join(' | ')}) return 0 ;; esac
  return 1
}

write_error() {
  find_sequence || return
  is_final && return
  umask 077
  [ -d "$status_folder" ] || mkdir -p "$status_folder" 2>/dev/null || return
  time=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  if { printf '%s\\n' ${statusText('error', EXIT_CODES.unsupportedSystem, `Enable failed: ${REASON_TOKEN}`)} >"$temporary"; } 2>/dev/null; then
    mv -f "$temporary" "$status_file"
  else
    rm -f "$temporary"
  fi
}

unsupported() {
  reason=$1
  printf '%s\\n' "${handlerName} ${version}: $reason\${2:+ ($2)}" >&2
  [ "$operation" = enable ] && write_error
${beat}  exit ${EXIT_CODES.unsupportedSystem}
}
`;
}

/**
 * The agent's next report needs the file. One that is there is left alone: it is the word of a program that works, or it
 * is as old as the last one that did. Only a program that cannot start at all is said at once.
 */
function firstHeartbeat(): string {
  const heartbeat = formatHeartbeat({ status: 'NotReady', code: 0, message: REASON_TOKEN });
  const line = quote(toLine(heartbeat)).replaceAll(REASON_TOKEN, `'"$reason"'`);
  return `heartbeat=$base/${HEARTBEAT_FILE}
print_heartbeat() {
  printf '%s\\n' ${line}
}

write_heartbeat() (
  umask 077
  { print_heartbeat >"$heartbeat.$$"; } 2>/dev/null && exec mv -f "$heartbeat.$$" "$heartbeat"
)

# Never replaces what the handler wrote in the meantime.
first_heartbeat() (
  umask 077
  set -C
  { print_heartbeat >"$heartbeat"; } 2>/dev/null
)

reason='The extension is starting'
[ "$operation" != enable ] || [ -e "$heartbeat" ] || first_heartbeat
`;
}

/**
 * The loader's \`--list\` maps the program without running it: it tells a C library that is too old and a \`noexec\` file
 * system, which a failed start could not be told from. That takes as long as all the rest, so what was found is written
 * down beside the program: neither a machine's architecture nor its C library turns into one that cannot run it.
 */
function choice({ architectures, runtime = 'bun' }: LauncherOptions): string {
  const libraries = LIBRARIES[runtime];
  const rows = architectures.map((architecture) => {
    const { names, loader } = MACHINES[architecture];
    return `    ${names}) architecture=${architecture} loader=${loader} ;;`;
  });
  return `cannot_load() {
  unsupported 'the program cannot be loaded; it needs ${libraries} and a file system without noexec' "$1"
}

# Succeeds when $machine names a program of this package and the loader of that is here.
choose() {
  case $machine in
${rows.join('\n')}
    *) return 1 ;;
  esac
  [ -x "$loader" ]
}

find_program() {
  machine=
  { read -r machine <${KERNEL_MACHINE_FILE}; } 2>/dev/null
  if ! choose; then
    machine=$(uname -m)
    loader=
    choose || [ -n "$loader" ] || {
      case $machine in '' | *[!A-Za-z0-9_-]*) machine=unknown ;; esac
      unsupported "this machine is $machine; the package has programs for ${architectures.join(' and ')} only"
    }
  fi
  program=$own/handler-$architecture
  [ -x "$loader" ] ||
    unsupported "the program needs ${libraries}; this system has no $loader"
  [ -x "$program" ] ||
    unsupported 'the program is missing or cannot be executed; is the file system mounted with noexec?' "$program"
  listed=$("$loader" --list "$program" 2>&1) || cannot_load "\${listed%%
*}"
  case $listed in
    *'not found'*)
      listed="\${listed%%not found*}not found"
      cannot_load "\${listed##*
}"
      ;;
  esac
  { printf '%s\\n' "$architecture" >"$own/${CHOICE_FILE}"; } 2>/dev/null
}

architecture=
{ read -r architecture <"$own/${CHOICE_FILE}"; } 2>/dev/null
case $architecture in
  ${architectures.join(' | ')}) program=$own/handler-$architecture ;;
  *) program= ;;
esac
[ -x "$program" ] || find_program
`;
}

/**
 * What Node heeds of its environment besides: options, code that it loads, files that it writes, and requests that it
 * prints. Warnings would be the first lines of stderr, which the agent shows. Source: Node.js 24 "Command-line API".
 */
const MISLEADING_NODE_VARIABLES = [
  'NODE_OPTIONS',
  'NODE_PATH',
  'NODE_COMPILE_CACHE',
  'NODE_V8_COVERAGE',
  'NODE_REDIRECT_WARNINGS',
  'NODE_DEBUG',
  'NODE_DEBUG_NATIVE',
  'NODE_TEST_CONTEXT',
];

function nodeArguments({ handlerName, inspectable = false }: LauncherOptions): string {
  const script = `"$own/${SCRIPT_FILE.slice(SCRIPT_FILE.lastIndexOf('/') + 1)}"`;
  const unset = `unset ${MISLEADING_NODE_VARIABLES.join(' ')}`;
  const plain = `${unset}\nset -- --no-warnings ${script} "$@"\n`;
  if (!inspectable) return plain;
  return `# \`handlerkit vm set --inspect\` says for one operation that it is to wait for a debugger.
inspect=
order=$own/../../${STOP_ORDER_FILE}
name=\${${AGENT_VARIABLES.extensionName}-}
if [ -n "$operation" ] && { read -r handler stop port wanted <"$order"; } 2>/dev/null &&
  [ "$handler $stop" = "${handlerName} $operation" ] && [ "\${name:-$wanted}" = "$wanted" ] && rm "$order"; then
  inspect=--inspect-brk=127.0.0.1:$port
fi
${unset}
set -- \${inspect:+"$inspect"} ${script} "$@"
`;
}

/**
 * A scope of systemd keeps the handler alive when the agent's service is restarted. Whether systemd-run came as far as
 * the handler is told by the claim: who removes it starts the handler, so it is started once.
 */
function detachedEnable(): string {
  return `placeholder() (
  umask 077
  [ -d "$status_folder" ] || mkdir -p "$status_folder" 2>/dev/null || exit 0
  time=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  # Never replaces a status that the handler wrote in the meantime. The agent looks when it has the answer.
  set -C
  { printf '%s\\n' ${statusText('transitioning', 0, 'Enable in progress')} >"$status_file"; } 2>/dev/null
)

if [ "$operation" = enable ]; then
  detach=
  command -v setsid >/dev/null 2>&1 || detach=${DETACH_WORD}
  find_sequence && [ ! -e "$status_file" ] && placeholder
  [ -n "$detach" ] && exec "$program" "$@" "$detach"
  claim=$base/.start.$$
  if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null 2>&1 && { printf '' >"$claim"; } 2>/dev/null; then
    # shellcheck disable=SC2016 # the inner shells expand these
    setsid /bin/sh -c '
      claim=$1
      shift
      systemd-run --scope --quiet --collect --no-ask-password -- /bin/sh -c "rm \\"\\$0\\" && exec setsid \\"\\$@\\"" "$claim" "$@"
      rm "$claim" && exec "$@"
    ' "$0" "$claim" "$program" "$@" </dev/null >/dev/null 2>&1 &
  else
    setsid "$program" "$@" </dev/null >/dev/null 2>&1 &
  fi
  exit 0
fi
`;
}

/**
 * A status as a word of the shell: the contract's text in quotes, with the variables in the places of the tokens. In one
 * line, which every shell writes with one call, so that nobody reads a part of it.
 */
function statusText(status: StatusValue, code: number, message: string): string {
  const text = formatStatus({
    operation: OPERATION_TITLES.enable,
    status,
    code,
    message,
    substatus: [],
    time: TIME_TOKEN,
  });
  return quote(toLine(text)).replaceAll(TIME_TOKEN, `'"$time"'`).replaceAll(REASON_TOKEN, `'"$reason"'`);
}

function toLine(json: string): string {
  return JSON.stringify(JSON.parse(json));
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
