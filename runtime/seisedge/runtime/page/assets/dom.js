/** Small helpers for the document. Text only ever becomes a text node, never markup. */

/**
 * The element with this id.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type the class that it is expected to have
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} with the id ${id}`);
  return found;
}

/**
 * A new element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | null | undefined>} attributes `null`, `undefined` and `false`: left out
 * @param {(Node | string | null | undefined)[]} children strings become text nodes
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

/**
 * Sets the text where it differs: an unchanged node is left alone, and so is a selection in it.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * A horizontal bar: a part of the full width. The style is set through the object model, which the policy allows.
 * @param {string} kind class of the fill
 * @param {number} from 0 to 1
 * @param {number} to 0 to 1
 */
export function span(kind, from, to) {
  const fill = h("i", { class: kind });
  const left = Math.min(Math.max(from, 0), 1);
  fill.style.left = `${(100 * left).toFixed(2)}%`;
  fill.style.width = `${(100 * Math.max(Math.min(to, 1) - left, 0)).toFixed(2)}%`;
  return fill;
}

/** @param {string} name */
export function stored(name) {
  try {
    return localStorage.getItem(`seisedge.${name}`);
  } catch {
    return null; // a browser that forbids storage: the choice lasts as long as the page
  }
}

/** @param {string} name @param {string} value */
export function store(name, value) {
  try {
    localStorage.setItem(`seisedge.${name}`, value);
  } catch {
    return; // as above
  }
}
