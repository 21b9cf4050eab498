/** The files of the page, as they lie in the npm package. Nothing else is ever served from the disk. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface PageAsset {
  readonly type: string;
  readonly bytes: Buffer;
}

/** The asset at a path of the server; `undefined` for every other path. Throws the system's error for a damaged installation. */
export function readAsset(path: string): PageAsset | undefined {
  const found = ASSETS.find((asset) => asset.path === path);
  if (found === undefined) return undefined;
  return { type: found.type, bytes: readFileSync(`${FOLDER}/${found.file}`) };
}

/** Seen from here in the sources as in what is built of them. */
const FOLDER = fileURLToPath(new URL('../../templates/ui', import.meta.url));

const SCRIPT = 'text/javascript; charset=utf-8';
const ASSETS = [
  { path: '/', file: 'page.html', type: 'text/html; charset=utf-8' },
  { path: '/page.css', file: 'page.css', type: 'text/css; charset=utf-8' },
  { path: '/page.js', file: 'page.js', type: SCRIPT },
  { path: '/element.js', file: 'element.js', type: SCRIPT },
  { path: '/extension-card.js', file: 'extension-card.js', type: SCRIPT },
  { path: '/apply-form.js', file: 'apply-form.js', type: SCRIPT },
  { path: '/icon.svg', file: 'icon.svg', type: 'image/svg+xml' },
] as const;
