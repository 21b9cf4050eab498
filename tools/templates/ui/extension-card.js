/** One extension on the page: state, versions, status as the portal shows it, what the agent says of it, its settings. */
import { make, setText } from './element.js';

/** @typedef {import('../../src/ui-page/page-state.ts').ShownExtension} ShownExtension */
/** @typedef {import('../../src/ui-page/page-state.ts').ShownStatus} ShownStatus */

/**
 * A card. Its buttons and what was unfolded stay as they are when it is updated.
 *
 * @typedef {object} ExtensionCard
 * @property {HTMLElement} element
 * @property {(extension: ShownExtension) => void} update
 * @property {() => void} focus
 */

/**
 * @param {ShownExtension} first
 * @param {{ onUpdate: (extension: ShownExtension) => void, onDelete: (extension: ShownExtension) => void }} listeners
 * @returns {ExtensionCard}
 */
export function createCard(first, listeners) {
  let shown = first;
  const title = make('h3', { tabindex: '-1' }, first.name);
  const state = make('p', { class: 'state' });
  const facts = make('dl', {});
  const report = make('div', {});
  const settings = make('div', {});
  const update = button('Update', first.name, () => listeners.onUpdate(shown));
  const remove = button('Delete', first.name, () => listeners.onDelete(shown));
  const element = make(
    'article',
    { 'aria-label': first.name, 'data-extension': first.name },
    title,
    state,
    facts,
    report,
    make('details', {}, make('summary', {}, 'Settings'), settings),
    make('p', {}, update, remove),
  );
  let json = '';
  return {
    element,
    focus: () => title.focus(),
    update(extension) {
      shown = extension;
      const next = JSON.stringify(extension);
      if (next === json) return;
      json = next;
      setText(state, stateOf(extension));
      state.dataset.kind = kindOf(extension.provisioningState);
      element.dataset.state = extension.provisioningState;
      facts.replaceChildren(...factsOf(extension));
      report.replaceChildren(...reportOf(extension));
      settings.replaceChildren(...settingsOf(extension));
    },
  };
}

/**
 * What is said of an extension in a few words, also aloud.
 *
 * @param {ShownExtension} extension
 */
export function stateOf({ provisioningState, statuses }) {
  return provisioningState === 'Deleting' ? 'Deleting' : (statuses[0]?.displayStatus ?? provisioningState);
}

/** @param {string} state */
function kindOf(state) {
  if (state === 'Succeeded') return 'good';
  return state === 'Failed' ? 'bad' : 'busy';
}

/**
 * @param {string} word
 * @param {string} name
 * @param {() => void} onClick
 */
function button(word, name, onClick) {
  const made = make('button', { type: 'button', 'aria-label': `${word} ${name}` }, `${word}…`);
  made.addEventListener('click', onClick);
  return made;
}

/** @param {ShownExtension} extension */
function factsOf({ publisher, type, version, reportedVersion, sequence, handlerStatus, handlerCode }) {
  const versions = version === reportedVersion ? version : `${reportedVersion} (wanted: ${version})`;
  const agent = handlerStatus ?? 'nothing';
  const rows = [
    ['Type', `${publisher}.${type}`],
    ['Version', versions],
    ['Sequence number', String(sequence)],
    ['Agent reports', handlerCode === 0 ? agent : `${agent}, code ${handlerCode}`],
  ];
  return rows.flatMap(([name = '', value = '']) => [make('dt', {}, name), make('dd', {}, value)]);
}

/** @param {ShownExtension} extension */
function reportOf({ statuses, substatuses, explanations }) {
  /** @type {HTMLElement[]} */
  const parts = [make('h4', {}, 'Status'), ...statuses.map(statusOf)];
  if (substatuses.length > 0) parts.push(make('h4', {}, 'Substatuses'), ...substatuses.map(statusOf));
  if (explanations.length > 0) {
    const items = explanations.map((sentence) => make('li', {}, sentence));
    parts.push(make('h4', {}, 'Why, and what to do'), make('ul', { class: 'why' }, ...items));
  }
  return parts;
}

/** @param {ShownStatus} status */
function statusOf({ code, displayStatus, level, message }) {
  const line = make('p', {}, make('strong', {}, displayStatus), ` (${level}) `, make('code', {}, code));
  if (message === '') return line;
  const text = make('pre', { tabindex: '0', role: 'region', 'aria-label': `Message of ${code}` }, message);
  return make('div', {}, line, text);
}

/** @param {ShownExtension} extension */
function settingsOf({ settings: { publicText, protectedKeys, isUnreadable } }) {
  /** @type {HTMLElement[]} */
  const parts = [make('h4', {}, 'Public')];
  if (publicText === null) parts.push(make('p', {}, 'None.'));
  else
    parts.push(make('pre', { tabindex: '0', role: 'region', 'aria-label': 'Public settings' }, publicText));
  parts.push(make('h4', {}, 'Protected'));
  if (protectedKeys === null) parts.push(make('p', {}, 'None.'));
  else if (isUnreadable) parts.push(make('p', {}, "There are some, but the VM's key does not open them."));
  else if (protectedKeys.length === 0) parts.push(make('p', {}, 'An empty object.'));
  else {
    const items = protectedKeys.map((key) => make('li', {}, make('code', {}, key), ': hidden'));
    parts.push(make('ul', {}, ...items));
  }
  return parts;
}
