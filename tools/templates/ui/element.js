/** Makes and finds elements of the page. Text is only ever text: nothing here is read as HTML. */

/**
 * A new element with attributes and children; texts become text nodes.
 *
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Readonly<Record<string, string>>} attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/**
 * The element of that id. Throws when it is missing or of another kind, which is a fault of the page.
 *
 * @template {HTMLElement} Kind
 * @param {string} id
 * @param {new () => Kind} kind
 * @returns {Kind}
 */
export function find(id, kind) {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new Error(`The page has no ${id}.`);
}

/**
 * Sets the text of an element unless it is there already: a screen reader would read it again, and a selection would be lost.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * The time of day of an ISO 8601 time, as people here write it.
 *
 * @param {string} iso
 */
export function clock(iso) {
  const text = new Date(iso).toLocaleTimeString([], {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
  return make('time', { datetime: iso, title: new Date(iso).toLocaleString() }, text);
}
