/** The form that applies an extension: a path or a zip, with settings. */
import { find, setText } from './element.js';

/** @typedef {import('../../src/ui-page/page-state.ts').ShownExtension} ShownExtension */
/** @typedef {import('../../src/ui-page/page-state.ts').ShownProblem} ShownProblem */

/**
 * Asks the server for something. Throws an error with its words when it refuses.
 *
 * @param {string} path
 * @param {string} type
 * @param {BodyInit} body
 * @returns {Promise<unknown>}
 */
export async function ask(path, type, body) {
  const response = await fetch(path, { method: 'POST', headers: { 'content-type': type }, body });
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
  /** @type {{ error?: ShownProblem }} */
  const answer = isJson ? await response.json() : {};
  if (response.ok) return answer;
  throw new Error(
    answer.error === undefined ? `The server answered ${response.status}.` : describe(answer.error),
  );
}

/**
 * @param {ShownProblem} problem
 */
export function describe({ code, message, hint }) {
  return hint === null ? `${code}: ${message}` : `${code}: ${message}\nTry: ${hint}`;
}

/**
 * Makes the form work. Gives what fills it in for an update.
 *
 * @param {{ onStart: () => void }} listeners
 */
export function prepareForm({ onStart }) {
  const form = find('apply', HTMLFormElement);
  const title = find('apply-title', HTMLElement);
  const path = find('path', HTMLInputElement);
  const file = find('file', HTMLInputElement);
  const keep = find('keep', HTMLInputElement);
  const settings = find('settings', HTMLTextAreaElement);
  const secrets = find('protected', HTMLTextAreaElement);
  const name = find('name', HTMLInputElement);
  const tag = find('tag', HTMLInputElement);
  const problem = find('apply-problem', HTMLElement);

  const readPackage = async () => {
    const [zip] = file.files ?? [];
    const where = path.value.trim();
    if (where !== '' && zip !== undefined) throw new Error('Give a path or a file, not both.');
    if (where !== '') return { path: where };
    if (zip === undefined) throw new Error('Give the path of a package, or choose a zip.');
    // Without the type that the system gives the file, which is not everywhere the same.
    const answer = await ask(`/uploads?name=${encodeURIComponent(zip.name)}`, 'application/zip', zip);
    return { upload: Reflect.get(Object(answer), 'upload') };
  };
  const submit = async () => {
    setText(problem, '');
    try {
      const request = {
        action: 'set',
        package: await readPackage(),
        keepSettings: keep.checked,
        ...(!keep.checked && { settings: settings.value, protectedSettings: secrets.value }),
        ...(name.value.trim() !== '' && { name: name.value.trim() }),
        ...(tag.value.trim() !== '' && { forceUpdateTag: tag.value.trim() }),
      };
      await ask('/actions', 'application/json', JSON.stringify(request));
      secrets.value = '';
      onStart();
    } catch (thrown) {
      setText(problem, thrown instanceof Error ? thrown.message : String(thrown));
    }
  };
  const follow = () => {
    for (const area of [settings, secrets]) area.disabled = keep.checked;
  };
  keep.addEventListener('change', follow);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void submit();
  });
  follow();
  return {
    /** @param {ShownExtension} extension */
    fillFor(extension) {
      name.value = extension.name;
      keep.checked = true;
      tag.value = '';
      follow();
      setText(problem, '');
      title.scrollIntoView();
      path.value = '';
      file.value = '';
      path.focus();
    },
  };
}
