/**
 * A systemd service of the extension's own: written, started, stopped and removed, each step verified by its effect.
 * Units that the extension did not write are never touched. A service lives outside of the agent's control group, so
 * that neither the end of the handler nor a restart of the agent ends it.
 * Source: systemctl(1), sd_booted(3); sdk-anchors 1, row 41 (an old version must not remove the unit of a newer one).
 */
import { lstatSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { compareVersions } from './contract/package-layout.ts';
import { HandlerError, isSystemError } from './errors.ts';
import type { ExecResult } from './exec.ts';
import type { Host } from './host.ts';
import { describeEnd, outputTail, systemEnvironment } from './system-command.ts';
import type { ShownUnit, UnitStatus } from './systemd-unit-status.ts';
import { parseShown, SHOWN_PROPERTIES } from './systemd-unit-status.ts';
import type { ServiceDescription, UnitOwner } from './systemd-unit-text.ts';
import { formatUnit, parseMark } from './systemd-unit-text.ts';
import { writeWholeFile } from './whole-file.ts';

/** How an operation on a unit is waited for. */
export interface UnitOptions {
  /** Ends the waiting; what systemd has begun it goes on with. */
  readonly signal?: AbortSignal;
}

/** How a unit is started. */
export interface UnitStartOptions extends UnitOptions {
  /** Also restarts a service that runs already; use what {@link SystemdUnit.write} says. Default false. */
  readonly restart?: boolean;
}

/** `removed`; or nothing was done: there is no such unit, a newer version's uses it, or somebody else wrote it. */
export type UnitRemoval = 'removed' | 'absent' | 'newer' | 'foreign';

/** A systemd unit of the extension's own. */
export interface SystemdUnit {
  /** Name with its suffix. */
  readonly name: string;
  /** Absolute path of the unit's file on the VM. */
  readonly path: string;
  /**
   * Writes the unit's file, whole, and lets systemd read it. `changed` is false when the file was there with this text.
   * Replaces the unit of any version of this extension; throws `HANDLER_FAILED` for a name that something else on
   * the machine has, and when systemd does not take the unit; `SETTINGS_INVALID` for a description that is none.
   */
  write(service: ServiceDescription, options?: UnitOptions): Promise<{ readonly changed: boolean }>;
  /**
   * Starts the service, now and at each boot. Throws `HANDLER_FAILED` with the end of its journal when it has not
   * started, or has ended or been started anew half a second later.
   */
  start(options?: UnitStartOptions): Promise<UnitStatus>;
  /**
   * Stops the service until the next boot. One that does not run, or has no file, is no error. Throws `HANDLER_FAILED`
   * when it still runs, and when somebody else wrote the unit.
   */
  stop(options?: UnitOptions): Promise<void>;
  /** Does what `stop` does, and the service does not start at boot any more. The file stays. */
  disable(options?: UnitOptions): Promise<void>;
  /**
   * Stops and disables the service and removes its file, when this version of the extension or an earlier one wrote it.
   * For `uninstall`, so anything else is no error.
   */
  remove(options?: UnitOptions): Promise<UnitRemoval>;
  /** What systemd says of the unit. */
  status(options?: UnitOptions): Promise<UnitStatus>;
}

/** True when systemd is the machine's init. */
export function isSystemd(host: Host): boolean {
  try {
    return statSync(host.path('/run/systemd/system')).isDirectory();
  } catch {
    return false;
  }
}

/**
 * The service `name` (`greeter` or `greeter.service`) of the extension `owner`. Has no effect yet. Throws
 * `SETTINGS_INVALID` for a name that is none. What the unit's functions need systemd for throws `UNSUPPORTED_SYSTEM`
 * (exit code 51) where systemd is not the init, and the signal's reason when it is aborted.
 */
export function openSystemdUnit(host: Host, owner: UnitOwner, name: string): SystemdUnit {
  const unit = `${name.replace(/\.service$/, '')}.service`;
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$/.test(unit)) {
    throw new HandlerError(
      'SETTINGS_INVALID',
      `${JSON.stringify(name.slice(0, 100))} is no name of a systemd unit`,
    );
  }
  const path = join(UNIT_FOLDER, unit);

  const requireSystemd = (): void => {
    if (isSystemd(host)) return;
    throw new HandlerError('UNSUPPORTED_SYSTEM', `${unit} needs systemd, which does not run on this machine`);
  };

  const systemctl = async (words: readonly string[], { signal }: UnitOptions): Promise<ExecResult> => {
    requireSystemd();
    signal?.throwIfAborted();
    const result = await host.exec(['systemctl', '--no-pager', '--no-ask-password', ...words], {
      env: systemEnvironment(host, { SYSTEMD_COLORS: '0' }),
      timeoutMs: COMMAND_LIMIT_MS,
      ...(signal && { signal }),
    });
    signal?.throwIfAborted();
    return result;
  };

  const show = async (options: UnitOptions): Promise<ShownUnit> => {
    const result = await systemctl(['show', `--property=${SHOWN_PROPERTIES.join(',')}`, unit], options);
    const shown = parseShown(result.stdout);
    if (shown === undefined) throw failure(unit, 'cannot be looked at', describeEnd(result));
    return shown;
  };

  /** The journal says why; not every machine keeps one, and then the command's own words are all there is. */
  const failed = async (what: string, result: ExecResult, options: UnitOptions): Promise<HandlerError> => {
    const status = await systemctl(['status', '--full', '--lines=15', unit], options);
    const said = result.exitCode === 0 ? '' : `${describeEnd(result)}\n`;
    return failure(unit, what, outputTail(`${said}${status.stdout}`));
  };

  /** False when there is nothing to do. */
  const isOwn = (): boolean => {
    const found = readOwner(host, path, owner);
    if (found === 'foreign') throw failure(unit, 'is not touched', foreignReason(path, owner));
    return found !== 'absent';
  };

  const stop = async (options: UnitOptions): Promise<void> => {
    const result = await systemctl(['stop', unit], options);
    const { activeState } = (await show(options)).status;
    if (activeState !== 'inactive' && activeState !== 'failed') {
      throw await failed(`cannot be stopped and is ${activeState}`, result, options);
    }
  };

  const disable = async (options: UnitOptions): Promise<void> => {
    await stop(options);
    const result = await systemctl(['disable', unit], options);
    if ((await show(options)).status.isEnabled) {
      throw failure(unit, 'cannot be disabled', describeEnd(result));
    }
  };

  return {
    name: unit,
    path,
    write: async (service, options = {}) => {
      const text = formatUnit(owner, service);
      requireSystemd();
      const isThere = isOwn();
      const vendor = VENDOR_FOLDERS.map((folder) => join(folder, unit)).find((file) =>
        isPresent(host.path(file)),
      );
      if (vendor !== undefined) throw failure(unit, 'is not written', foreignReason(vendor, owner));
      const changed = !isThere || readFileSync(host.path(path), 'utf8') !== text;
      if (changed) {
        mkdirSync(host.path(UNIT_FOLDER), { recursive: true });
        writeWholeFile(host.path(path), text, { mode: 0o644 });
      }
      const before = await show(options);
      // A run that was ended between writing and reloading left a text that systemd has not read.
      if (changed || before.needsReload || !before.status.isLoaded) {
        const result = await systemctl(['daemon-reload'], options);
        const after = await show(options);
        if (!after.status.isLoaded) throw await failed('is not taken by systemd', result, options);
      }
      return { changed };
    },
    start: async (options = {}) => {
      if (!isOwn()) throw failure(unit, 'cannot be started', `${path} is not there; write the unit first`);
      // After several quick failures systemd would refuse to start it.
      if ((await show(options)).status.activeState === 'failed') {
        await systemctl(['reset-failed', unit], options);
      }
      const enabled = await systemctl(['enable', unit], options);
      const result = await systemctl([options.restart === true ? 'restart' : 'start', unit], options);
      const first = await show(options);
      if (!first.status.isEnabled) throw failure(unit, 'cannot be enabled', describeEnd(enabled));
      await host.sleep(SETTLE_MS, options.signal);
      const { status, type } = await show(options);
      const isUp = status.activeState === 'active' && status.mainPid === first.status.mainPid;
      // A oneshot service is inactive again when it has done its work.
      const isDone = status.activeState === 'inactive' && type === 'oneshot' && status.result === 'success';
      if (result.exitCode !== 0 || !(isUp || isDone)) {
        const what = isUp || isDone ? 'cannot be started' : `does not stay up and is ${status.activeState}`;
        throw await failed(what, result, options);
      }
      return status;
    },
    stop: async (options = {}) => {
      if (isOwn()) await stop(options);
    },
    disable: async (options = {}) => {
      if (isOwn()) await disable(options);
    },
    remove: async (options = {}) => {
      const found = readOwner(host, path, owner);
      if (found !== 'own') return found;
      await disable(options);
      rmSync(host.path(path), { force: true });
      const result = await systemctl(['daemon-reload'], options);
      // systemd remembers a unit that failed; of any other it has nothing to forget.
      await systemctl(['reset-failed', unit], options);
      if ((await show(options)).status.isLoaded) {
        throw failure(unit, 'cannot be removed', describeEnd(result));
      }
      return 'removed';
    },
    status: async (options = {}) => (await show(options)).status,
  };
}

const UNIT_FOLDER = '/etc/systemd/system';
/** A file of the same name in one of these belongs to a package, and ours would stand in its way. */
const VENDOR_FOLDERS = ['/usr/local/lib/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'];
/** More than the 90 seconds that systemd itself gives a service to start or stop. */
const COMMAND_LIMIT_MS = 120_000;
/** A service of the type `simple` counts as started before its program has run at all. */
const SETTLE_MS = 500;

/** Whose the unit's file is. A symbolic link (a masked unit, an alias) is an administrator's. */
function readOwner(host: Host, path: string, owner: UnitOwner): 'own' | 'newer' | 'foreign' | 'absent' {
  try {
    if (!lstatSync(host.path(path)).isFile()) return 'foreign';
    const mark = parseMark(readFileSync(host.path(path), 'utf8'));
    if (mark === undefined || mark.extension !== owner.extension) return 'foreign';
    return compareVersions(mark.version, owner.version) > 0 ? 'newer' : 'own';
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return 'absent';
    throw thrown;
  }
}

function isPresent(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function foreignReason(file: string, owner: UnitOwner): string {
  return `${file} was not written by ${owner.extension}; give the service another name`;
}

function failure(unit: string, what: string, why: string): HandlerError {
  return new HandlerError('HANDLER_FAILED', `${unit} ${what}: ${why}`);
}
