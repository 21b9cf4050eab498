/**
 * Rules about the handler manifest: that the agent finds it, reads it, and understands what was meant.
 * Source: agent-contract 1.3, 2; sdk-anchors 5 (what registration asks for; unknown keys).
 */
import { nearestName } from '@handlerkit/sdk';
import {
  COMMAND_KEYS,
  CONTINUE_KEY,
  ContractError,
  findManifestFault,
  HANDLER_MANIFEST_FILE,
  HANDLER_MANIFEST_KEY,
  type HandlerManifest,
  KNOWN_MANIFEST_KEYS,
  OPERATIONS,
  parseHandlerManifest,
  parseJson,
  REGISTRATION_KEYS,
  REPORT_HEARTBEAT_KEY,
  RESOURCE_LIMITS_KEY,
  SUPPORTS_MULTIPLE_KEY,
  UPDATE_MODE_KEY,
  UPDATE_WITH_INSTALL,
  UPDATE_WITHOUT_INSTALL,
} from '@handlerkit/sdk/contract';
import { type Finding, findingFor } from './rule.ts';

const CONTRACT = 'WALinuxAgent 2.15 ga/exthandlers.py load_manifest, HandlerManifest';

export const MANIFEST_RULES = {
  'manifest-missing': {
    severity: 'error',
    reason: `Without ${HANDLER_MANIFEST_FILE} the agent knows no command and reports that the download failed.`,
    source: 'WALinuxAgent 2.15 ga/exthandlers.py initialize',
    fix: `Put ${HANDLER_MANIFEST_FILE}, in exactly this spelling, at the root of the package.`,
  },
  'manifest-many': {
    severity: 'error',
    reason:
      'The agent searches all folders and takes the first manifest that it meets, in an order that nobody promises.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py initialize; common/utils/fileutil.py search_file',
    fix: `Leave one ${HANDLER_MANIFEST_FILE} in the package, at its root.`,
  },
  'manifest-second': {
    severity: 'warning',
    reason: 'The agent takes the manifest at the root; what else reads the package may take this one.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py initialize; common/utils/fileutil.py search_file',
    fix: `Leave only the ${HANDLER_MANIFEST_FILE} at the root in the package.`,
  },
  'manifest-wrapped': {
    severity: 'error',
    reason:
      'The agent finds the manifest there, but looks for the commands from the root of the package, where they are not.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py initialize, launch_command',
    fix: 'Pack the content of the folder, not the folder itself.',
  },
  'manifest-nested': {
    severity: 'warning',
    reason: 'The agent finds the manifest there, but resolves the commands from the root of the package.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py initialize, launch_command',
    fix: 'Pack the content of the folder, not the folder itself.',
  },
  'manifest-json': {
    severity: 'error',
    reason: 'The agent cannot read the manifest (code 1003 or a Python error).',
    source: CONTRACT,
    fix: 'Correct the JSON at this place.',
  },
  'manifest-elements': {
    severity: 'error',
    reason: 'The agent reads the first element only: what the others say never comes about.',
    source: CONTRACT,
    fix: 'Leave one element in the array.',
  },
  'manifest-command': {
    severity: 'error',
    reason:
      'The operation fails when it is due; the agent then shows the name of the key, or a Python error.',
    source: CONTRACT,
    fix: 'Give all five commands as texts that are not empty.',
  },
  'manifest-boolean': {
    severity: 'warning',
    reason: 'The agent takes everything but true and the text "true" for false, and logs a warning.',
    source: CONTRACT,
    fix: 'Write true or false without quotes.',
  },
  'manifest-boolean-misread': {
    severity: 'error',
    reason: 'The agent takes everything but true and the text "true" for false, so this is false to it.',
    source: CONTRACT,
    fix: 'Write true or false without quotes.',
  },
  'manifest-update-mode': {
    severity: 'error',
    reason:
      'The agent runs no install in an update for any text that it does not know, and fails for anything but a text.',
    source: CONTRACT,
    fix: `Write "${UPDATE_WITH_INSTALL}" or "${UPDATE_WITHOUT_INSTALL}".`,
  },
  'manifest-no-install-on-update': {
    severity: 'warning',
    reason:
      'The new version is enabled without its install, so what install makes (files, units, packages) must be made by update.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py _update_extension_handler_and_return_if_failed',
    fix: `Write "${UPDATE_WITH_INSTALL}", or let update do all that install does.`,
  },
  'manifest-unknown-key': {
    severity: 'warning',
    reason: 'The agent ignores keys that it does not know.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py HandlerManifest',
    fix: 'Correct the spelling, or take the key out.',
  },
  'manifest-registration': {
    severity: 'note',
    reason: 'The registration of a handler asks for this key, though the agent can do without.',
    source: 'Azure/azure-linux-extensions docs/design-details.md',
    fix: 'Add the key with true or false.',
  },
  'manifest-heartbeat': {
    severity: 'warning',
    reason:
      'The handler says that it reports a heartbeat; without one the platform shows it as unresponsive after ten minutes.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py collect_heartbeat, is_responsive',
    fix: `Write the heartbeat file from a process that goes on, or set ${REPORT_HEARTBEAT_KEY} to false.`,
  },
  'manifest-heartbeat-of-many': {
    severity: 'warning',
    reason: 'There is one heartbeat for all configurations of a handler.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py get_heartbeat_file',
    fix: `Set ${REPORT_HEARTBEAT_KEY} or ${SUPPORTS_MULTIPLE_KEY} to false.`,
  },
  'manifest-limits': {
    severity: 'warning',
    reason: 'The agent passes the limits to systemd, which refuses what is no positive number.',
    source:
      'WALinuxAgent 2.15 ga/cgroupconfigurator.py set_extension_services_cpu_memory_quota; systemd.resource-control(5)',
    fix: 'Give positive numbers, and services as an array of objects with a name.',
  },
} as const;

export interface ManifestCheck {
  readonly findings: readonly Finding[];
  /** `undefined` when the agent could not read it. */
  readonly manifest: HandlerManifest | undefined;
  /** First element of the document, as it stands there. */
  readonly element: Readonly<Record<string, unknown>> | undefined;
}

/** Checks the text of the manifest `file`. `mentionsHeartbeat`: whether any file of the package has the word. */
export function checkManifest(text: string, file: string, mentionsHeartbeat: boolean): ManifestCheck {
  let root: unknown;
  let manifest: HandlerManifest;
  try {
    root = parseJson(text, file).value;
    const fault = findManifestFault(root);
    if (fault !== undefined) {
      const message = Array.isArray(root)
        ? `is no array of one object with the key ${HANDLER_MANIFEST_KEY}; the agent says: ${fault.text}`
        : `is ${asObject(root) === undefined ? 'no array' : 'an object'}; the agent reads the first element of an array: put it between [ and ].`;
      return { findings: [finding('manifest-json', file, message)], manifest: undefined, element: undefined };
    }
    manifest = parseHandlerManifest(text, file);
  } catch (thrown) {
    if (!(thrown instanceof ContractError)) throw thrown;
    const found = finding('manifest-json', file, `${thrown.problem}.`, thrown.path);
    return { findings: [found], manifest: undefined, element: undefined };
  }
  const list: readonly unknown[] = Array.isArray(root) ? root : [];
  const element = asObject(list[0]) ?? {};
  const section = asObject(element[HANDLER_MANIFEST_KEY]) ?? {};
  const findings = [
    ...(list.length > 1 ? [finding('manifest-elements', file, `has ${list.length} elements.`)] : []),
    ...checkCommands(manifest, file),
    ...checkKeys(element, section, file),
    ...checkBooleans(manifest, section, file),
    ...checkUpdateMode(manifest, section, file),
    ...checkHeartbeat(manifest, file, mentionsHeartbeat),
    ...checkLimits(element[RESOURCE_LIMITS_KEY], file),
  ];
  return { findings, manifest, element };
}

/** Checks how many manifests there are, and where. `names` are the names of the package's files after unpacking. */
export function checkManifestPlaces(paths: readonly string[]): readonly Finding[] {
  const found = paths.filter((path) => baseOf(path) === HANDLER_MANIFEST_FILE);
  if (found.length > 1) {
    const first = found.find((path) => path === HANDLER_MANIFEST_FILE);
    const rule = first === undefined ? 'manifest-many' : 'manifest-second';
    const beside = first ?? found[0];
    return found
      .filter((path) => path !== beside)
      .map((path) => finding(rule, path, `is a second manifest beside ${beside}.`));
  }
  const [only] = found;
  if (only !== undefined) {
    return only === HANDLER_MANIFEST_FILE ? [] : [finding('manifest-nested', only, 'is not at the root.')];
  }
  const near = paths.find((path) => baseOf(path).toLowerCase() === HANDLER_MANIFEST_FILE.toLowerCase());
  const message =
    near === undefined
      ? 'There is no handler manifest.'
      : 'has another spelling, so there is no handler manifest.';
  return [finding('manifest-missing', near ?? '', message)];
}

/** The whole content lies in `folder` (with a slash at its end), manifest `file` included. */
export function wrappedFinding(file: string, folder: string): Finding {
  return finding('manifest-wrapped', file, `lies with everything else in ${JSON.stringify(folder)}.`);
}

const finding = findingFor(MANIFEST_RULES);
const SECTION = `[0].${HANDLER_MANIFEST_KEY}`;

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function checkCommands(manifest: HandlerManifest, file: string): Finding[] {
  return OPERATIONS.flatMap((operation) => {
    const command = manifest.commands[operation];
    const path = `${SECTION}.${COMMAND_KEYS[operation]}`;
    if (command === undefined) {
      const fault = manifest.commandFaults[operation] ?? '';
      return [finding('manifest-command', file, `is missing or no text; the agent says: ${fault}`, path)];
    }
    return command.trim() === '' ? [finding('manifest-command', file, 'is empty.', path)] : [];
  });
}

function checkKeys(
  element: Readonly<Record<string, unknown>>,
  section: Readonly<Record<string, unknown>>,
  file: string,
): Finding[] {
  const unknown = (
    object: Readonly<Record<string, unknown>>,
    known: readonly string[],
    at: string,
  ): Finding[] =>
    Object.keys(object).flatMap((key) => {
      if (known.includes(key)) return [];
      const near = nearestName(key, known);
      const guess = near === undefined ? '' : `; did you mean "${near}"?`;
      return [finding('manifest-unknown-key', file, `is no key of the manifest${guess}`, `${at}.${key}`)];
    });
  const missing = REGISTRATION_KEYS.filter((key) => section[key] === undefined);
  return [
    ...unknown(element, KNOWN_MANIFEST_KEYS.element, '[0]'),
    ...unknown(section, KNOWN_MANIFEST_KEYS.section, SECTION),
    ...missing.map((key) => finding('manifest-registration', file, 'is missing.', `${SECTION}.${key}`)),
  ];
}

function checkBooleans(
  manifest: HandlerManifest,
  section: Readonly<Record<string, unknown>>,
  file: string,
): Finding[] {
  // The agent warns of those that it reads; registration reads the others.
  const others = [...REGISTRATION_KEYS, CONTINUE_KEY].filter(
    (key) => section[key] !== undefined && typeof section[key] !== 'boolean',
  );
  const keys = new Set([...manifest.nonBooleanKeys, ...others]);
  return [...keys].map((key) => {
    const path = `${SECTION}.${key}`;
    if (!manifest.nonBooleanKeys.includes(key) || !isMisread(section[key])) {
      return finding('manifest-boolean', file, 'is no boolean.', path);
    }
    const text = JSON.stringify(section[key]).slice(0, 60);
    return finding('manifest-boolean-misread', file, `is ${text}, which the agent takes for false.`, path);
  });
}

/** True for what can only have been meant as true, and is false to the agent. */
function isMisread(value: unknown): boolean {
  if (typeof value !== 'string') return value !== 0 && value !== null;
  return value.toLowerCase() !== 'true' && !/^\s*(false|no|off|n|f|0|)\s*$/i.test(value);
}

function checkUpdateMode(
  manifest: HandlerManifest,
  section: Readonly<Record<string, unknown>>,
  file: string,
): Finding[] {
  const mode = section[UPDATE_MODE_KEY];
  const path = `${SECTION}.${UPDATE_MODE_KEY}`;
  if (manifest.updateModeFault !== undefined) {
    return [
      finding('manifest-update-mode', file, `is no text; the agent says: ${manifest.updateModeFault}`, path),
    ];
  }
  if (typeof mode !== 'string' || manifest.installOnUpdate) return [];
  if (mode.toLowerCase() === UPDATE_WITHOUT_INSTALL.toLowerCase()) {
    return [finding('manifest-no-install-on-update', file, 'leaves install out of an update.', path)];
  }
  return [
    finding(
      'manifest-update-mode',
      file,
      `is ${JSON.stringify(mode.slice(0, 60))}, which the agent does not know.`,
      path,
    ),
  ];
}

function checkHeartbeat(manifest: HandlerManifest, file: string, mentionsHeartbeat: boolean): Finding[] {
  if (!manifest.reportHeartbeat) return [];
  const path = `${SECTION}.${REPORT_HEARTBEAT_KEY}`;
  const found: Finding[] = [];
  if (!mentionsHeartbeat) {
    found.push(
      finding('manifest-heartbeat', file, 'is true, and no other file has the word heartbeat.', path),
    );
  }
  if (manifest.supportsMultipleExtensions) {
    found.push(
      finding('manifest-heartbeat-of-many', file, `is true together with ${SUPPORTS_MULTIPLE_KEY}.`, path),
    );
  }
  return found;
}

function checkLimits(value: unknown, file: string): Finding[] {
  if (value === undefined) return [];
  const at = `[0].${RESOURCE_LIMITS_KEY}`;
  const limits = asObject(value);
  if (limits === undefined) return [finding('manifest-limits', file, 'is no object.', at)];
  const known: readonly string[] = KNOWN_MANIFEST_KEYS.resourceLimits;
  return Object.entries(limits).flatMap(([key, item]) => {
    const path = `${at}.${key}`;
    if (!known.includes(key))
      return [finding('manifest-unknown-key', file, 'is no key of the limits.', path)];
    if (Array.isArray(item)) {
      const isGood = item.every((one: unknown) => typeof asObject(one)?.name === 'string');
      return isGood ? [] : [finding('manifest-limits', file, 'has a service without a name.', path)];
    }
    const isNumber = typeof item === 'number' && item > 0;
    return isNumber ? [] : [finding('manifest-limits', file, 'is no positive number.', path)];
  });
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.fromEntries(Object.entries(value));
}
