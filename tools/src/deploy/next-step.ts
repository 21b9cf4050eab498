/** What to do with the files that were written: the command that changes something on Azure, which `deploy` itself never does. */
import { relative } from 'node:path';
import type { DeployFormat } from './deployment.ts';
import { quoteShell } from './shell-quote.ts';
import type { DeployPlace } from './write-files.ts';

/** The command for a shell in `cwd`; `undefined` where the one file that was written is no use alone. */
export function nextStep(
  format: DeployFormat,
  place: DeployPlace,
  written: readonly string[],
  cwd: string,
): string | undefined {
  const word = (path: string): string => {
    const shown = relative(cwd, path) || '.';
    return /^[\w./][\w./-]*$/.test(shown) ? shown : quoteShell(shown);
  };
  const script = place.kind === 'file' ? place.path : written.find((path) => /\.(sh|ps1)$/.test(path));
  if (format === 'terraform') {
    if (place.kind === 'file') return undefined;
    const terraform = `terraform -chdir=${word(place.path)}`;
    return `${terraform} init && ${terraform} apply -var subscription_id=ID`;
  }
  const isOneFile = place.kind === 'file' && format !== 'az' && format !== 'powershell';
  if (script === undefined || isOneFile) return undefined;
  return `${format === 'powershell' ? 'pwsh -File' : 'sh'} ${word(script)}`;
}
