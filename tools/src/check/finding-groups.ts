/** Findings as people read them: what many places have in common once, with the names of the places. */
import type { Finding } from './rule.ts';

/** Findings that differ in the place only, in the order of the first of each. */
export function groupAlike(findings: readonly Finding[]): readonly (readonly Finding[])[] {
  const groups = new Map<string, Finding[]>();
  for (const one of findings) {
    const key = JSON.stringify([one.rule, one.message]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return [...groups.values()];
}

/** `a, b, c and 12 more`; of places in the file of the finding `first`, which was named, only the path in it. */
export function listPlaces(first: Finding, findings: readonly Finding[]): string {
  const places = findings.map((one) =>
    one.file === first.file && one.path !== undefined ? one.path : formatPlace(one).trim(),
  );
  const shown = places.slice(0, MOST_PLACES).join(', ');
  return places.length > MOST_PLACES ? `${shown} and ${places.length - MOST_PLACES} more` : shown;
}

/** The file and the place in it, with a blank behind; nothing for the package as a whole. */
export function formatPlace({ file, path }: Finding): string {
  const place = [printable(file), path ?? ''].filter((part) => part !== '').join(' ');
  return place === '' ? '' : `${place} `;
}

/** A sentence or two for each group: `script-crlf: a.sh has CRLF line ends. The same: b.sh.` */
export function describeFindings(findings: readonly Finding[]): readonly string[] {
  return groupAlike(findings).flatMap(([one, ...others]) => {
    if (one === undefined) return [];
    const rest = others.length === 0 ? '' : ` The same: ${listPlaces(one, others)}.`;
    return [`${one.rule}: ${formatPlace(one)}${one.message}${rest}`];
  });
}

const MOST_PLACES = 5;

/** Names of a foreign zip go to a terminal. */
function printable(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd');
}
