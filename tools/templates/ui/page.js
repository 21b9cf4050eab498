/** The page of a local VM: shows what its server tells, and asks it for what the user wants. */
import { ask, describe, prepareForm } from './apply-form.js';
import { clock, find, make, setText } from './element.js';
import { createCard, stateOf } from './extension-card.js';

/** @typedef {import('../../src/ui-page/page-state.ts').PageState} PageState */
/** @typedef {import('../../src/ui-page/page-state.ts').ShownLog} ShownLog */
/** @typedef {import('../../src/ui-page/page-state.ts').ShownOperation} ShownOperation */

const outcome = find('outcome', HTMLElement);
const cards = find('cards', HTMLElement);
const question = find('question', HTMLDialogElement);
const logChoice = find('log', HTMLSelectElement);
const logText = find('log-text', HTMLElement);

/** @type {Map<string, import('./extension-card.js').ExtensionCard>} */
const shownCards = new Map();
/** What was said last of each extension and action. @type {Map<string, string>} */
const said = new Map();
/** @type {Map<string, ShownLog>} */
const logs = new Map();
let timeline = '';
let isFirst = true;

const form = prepareForm({ onStart: () => say('Started.') });

/** @param {string} text */
function say(text) {
  setText(outcome, text);
}

/** @param {Record<string, string>} request */
async function act(request) {
  try {
    await ask('/actions', 'application/json', JSON.stringify(request));
  } catch (thrown) {
    say(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/**
 * @param {string} title
 * @param {string} text
 * @param {string} yes
 * @returns {Promise<boolean>}
 */
function confirmed(title, text, yes) {
  setText(find('question-title', HTMLElement), title);
  setText(find('question-text', HTMLElement), text);
  setText(find('question-yes', HTMLElement), yes);
  question.returnValue = 'cancel';
  question.showModal();
  return new Promise((resolve) => {
    question.addEventListener('close', () => resolve(question.returnValue === 'yes'), { once: true });
  });
}

/** @param {PageState} state */
function show(state) {
  const { vm, extensions, operations, actions, problem } = state;
  const kind =
    vm.isolation === null ? 'not made yet' : `${vm.isolation}, ${vm.agent} agent, network ${vm.network}`;
  setText(find('vm', HTMLElement), `${vm.folder} (${kind})`);
  setText(find('problem', HTMLElement), problem === null ? '' : describe(problem));
  showExtensions(extensions);
  showOperations(operations);
  showActions(actions);
  announce(state);
  isFirst = false;
}

/** @param {PageState['extensions']} extensions */
function showExtensions(extensions) {
  find('no-extensions', HTMLElement).hidden = extensions.length > 0;
  for (const extension of extensions) {
    let card = shownCards.get(extension.name);
    if (card === undefined) {
      card = createCard(extension, {
        onUpdate: (one) => form.fillFor(one),
        onDelete: async ({ name }) => {
          const text = 'The agent disables and uninstalls it.';
          if (await confirmed(`Delete ${name}?`, text, 'Delete')) await act({ action: 'delete', name });
        },
      });
      shownCards.set(extension.name, card);
      cards.append(card.element);
    }
    card.update(extension);
  }
  for (const [name, card] of shownCards) {
    if (extensions.some((extension) => extension.name === name)) continue;
    const hadFocus = card.element.contains(document.activeElement);
    card.element.remove();
    shownCards.delete(name);
    // Where the keyboard was is gone; it goes on nearby.
    if (hadFocus) find('extensions', HTMLElement).focus();
  }
}

/** @param {PageState['operations']} operations */
function showOperations(operations) {
  const json = JSON.stringify(operations);
  if (json === timeline) return;
  timeline = json;
  find('no-operations', HTMLElement).hidden = operations.length > 0;
  find('timeline', HTMLElement).replaceChildren(...[...operations].reverse().map(operationItem));
}

/** @param {ShownOperation} operation */
function operationItem(operation) {
  const {
    startedAt,
    handlerName,
    version,
    extensionName,
    outcome: end,
    ending,
    durationMs,
    sequence,
  } = operation;
  const kinds = { running: 'busy', succeeded: 'good', failed: 'bad', 'cut-off': 'bad' };
  const who = [`${handlerName} ${version}`, ...(extensionName === null ? [] : [extensionName])].join(', ');
  const parts = [
    clock(startedAt),
    ' ',
    make('strong', {}, operation.operation),
    ' ',
    make('span', {}, who),
    ' ',
  ];
  if (sequence !== null) parts.push(make('span', {}, `sequence ${sequence}`), ' ');
  parts.push(
    make('span', { class: 'state', 'data-kind': kinds[end] }, ending === '' ? 'running' : ending),
    ' ',
  );
  if (durationMs !== null) parts.push(make('span', {}, `${(durationMs / 1000).toFixed(2)} s`));
  return make('li', { 'data-outcome': end }, ...parts);
}

/** @param {PageState['actions']} actions */
function showActions(actions) {
  const isBusy = actions.some((action) => action.outcome === 'running');
  find('stop', HTMLElement).hidden = !isBusy;
  const pre = find('activity', HTMLElement);
  const text = actions.map(describeAction).join('\n\n');
  if (text === '' || pre.textContent === text) return;
  pre.textContent = text;
  pre.scrollTop = pre.scrollHeight;
}

/** @param {PageState['actions'][number]} action */
function describeAction({ title, startedAt, outcome: end, lines, problem }) {
  const head = `${new Date(startedAt).toLocaleTimeString()} ${title}: ${end}`;
  return [head, ...lines, ...(problem === null ? [] : [describe(problem)])].join('\n');
}

/** Says what has changed, in one sentence each. @param {PageState} state */
function announce({ extensions, actions }) {
  /** @type {[string, string][]} */
  const words = [
    ...extensions.map(
      (one) => /** @type {[string, string]} */ ([`extension ${one.name}`, `${one.name}: ${stateOf(one)}`]),
    ),
    ...actions.map(
      (one) => /** @type {[string, string]} */ ([`action ${one.id}`, `${one.title}: ${actionWords(one)}`]),
    ),
  ];
  const fresh = words.filter(([key, text]) => said.get(key) !== text);
  for (const [key, text] of fresh) said.set(key, text);
  for (const key of said.keys()) if (words.every(([one]) => one !== key)) said.delete(key);
  if (fresh.length > 0 && !isFirst) say(fresh.map(([, text]) => text).join('\n'));
}

/** @param {PageState['actions'][number]} action */
function actionWords({ outcome: end, problem }) {
  return problem === null ? end : `${end}. ${describe(problem)}`;
}

/** @param {ShownLog} log */
function receiveLog(log) {
  if (log.text === '') logs.delete(log.file);
  else logs.set(log.file, log);
  const files = [...logs.keys()];
  const options = [...logChoice.options].map((option) => option.value);
  if (files.join('\n') !== options.join('\n')) {
    const chosen = logChoice.value;
    logChoice.replaceChildren(...files.map((file) => make('option', { value: file }, file)));
    if (files.includes(chosen)) logChoice.value = chosen;
  }
  showLog();
}

function showLog() {
  const log = logs.get(logChoice.value);
  setText(logText, log?.text ?? 'No logs yet.');
  find('log-cut', HTMLElement).hidden = log?.isCut !== true;
  if (find('follow', HTMLInputElement).checked) logText.scrollTop = logText.scrollHeight;
}

function connect() {
  const connection = find('connection', HTMLElement);
  const events = new EventSource('/events');
  events.addEventListener('open', () => setText(connection, ''));
  events.addEventListener('error', () => {
    const isOver = events.readyState === EventSource.CLOSED;
    setText(
      connection,
      isOver
        ? 'The server has ended or does not know this window any more.'
        : 'Connection lost. Trying again…',
    );
  });
  events.addEventListener('state', (event) => show(JSON.parse(event.data)));
  events.addEventListener('log', (event) => receiveLog(JSON.parse(event.data)));
}

// What scrolls can be reached with the keyboard, in every browser.
for (const id of ['log-text', 'activity', 'timeline-box']) find(id, HTMLElement).tabIndex = 0;
logChoice.addEventListener('change', showLog);
find('reboot', HTMLElement).addEventListener('click', async () => {
  const text = 'All that runs in the VM is killed; then every extension is enabled again.';
  if (await confirmed('Reboot the VM?', text, 'Reboot')) await act({ action: 'reboot' });
});
find('stop', HTMLElement).addEventListener(
  'click',
  () => void ask('/stop', 'application/json', '{}').catch(() => {}),
);
connect();
