/**
 * Finds out whether programs below a folder may run at all, for the hint that the agent gives after exit code 126.
 * Source: WALinuxAgent 2.15 `ga/extensionprocessutil.py` _check_noexec; agent-contract 6.5; proc(5), fstab(5).
 */

/** The mount point that holds `path` when it is mounted noexec; `mounts` is the text of `/proc/self/mounts`. */
export function findNoexecMount(mounts: string, path: string): string | undefined {
  let found: { readonly point: string; readonly noexec: boolean } | undefined;
  for (const line of mounts.split('\n')) {
    const [, escaped = '', , options = ''] = line.split(' ');
    const point = unescapeOctal(escaped);
    if (point === '' || !holds(point, path)) continue;
    // A later line with the same mount point lies on top of an earlier one.
    if (found !== undefined && point.length < found.point.length) continue;
    found = { point, noexec: options.split(',').includes('noexec') };
  }
  return found?.noexec === true ? found.point : undefined;
}

function holds(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_match, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
