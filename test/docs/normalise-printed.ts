/** What differs from run to run in what the tool prints, made the same: times, sizes, sums, the machine, the folder. */

/** Gives `text` without colours and with stand-ins; `folder` is where the project lies. */
export function normalisePrinted(text: string, folder: string): string {
  return text
    .replaceAll(/\u001b\[[0-9;]*m/g, '')
    .replaceAll(folder, '/home/you/greeter')
    .replaceAll(/\d+\.\d+ s\b/g, '0.00 s')
    .replaceAll(/\d+(?:\.\d+)? (?:B|kB|MB)\b/g, '0 MB')
    .replaceAll(/\b[0-9a-f]{64}\b/g, '0'.repeat(64))
    .replaceAll(/\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?Z/g, '2026-01-01T00:00:00Z')
    .replaceAll(/for (?:x64|arm64)\b/g, 'for x64')
    .replaceAll(/\b(pid|process) \d+/g, '$1 1');
}
