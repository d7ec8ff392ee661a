/**
 * Elements as values, and the one function that makes the document look like them.
 *
 * Whatever is shown comes out of here as text nodes and attributes, never as markup, so a name that
 * looks like a tag is shown as one.  What has not changed is left alone: the caret, the selection,
 * the scroll position and the focus stay where they are while figures change.
 */

const SVG = "http://www.w3.org/2000/svg";
/** What each element was made of. */
const made = new WeakMap();

/** An element: its tag, attributes (`key`, `on`, `style` besides), and children. */
export function h(tag, attributes, ...children) {
  return { tag, key: attributes?.key, attributes: attributes ?? {}, children: children.flat(Infinity) };
}

/** Make the children of `parent` look like `nodes`. */
export function draw(parent, ...nodes) {
  const keyed = new Map();
  for (const child of parent.childNodes) {
    const key = made.get(child)?.key;
    if (key !== undefined) keyed.set(key, child);
  }
  let at = parent.firstChild;
  for (const node of nodes.flat(Infinity)) {
    if (node === null || node === undefined || node === false) continue;
    let there = node.key !== undefined ? keyed.get(node.key) : at;
    if (node.key !== undefined) keyed.delete(node.key);
    else if (there && made.get(there)?.key !== undefined) there = null;
    if (there && isSame(there, node)) {
      if (there === at) at = at.nextSibling;
      else parent.insertBefore(there, at);
      renew(there, node);
    } else {
      parent.insertBefore(create(node, parent.namespaceURI), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function isSame(there, node) {
  if (typeof node !== "object") return there.nodeType === Node.TEXT_NODE;
  return there.nodeType === Node.ELEMENT_NODE && there.localName === node.tag;
}

function create(node, namespace) {
  if (typeof node !== "object") return document.createTextNode(String(node));
  const inside = node.tag === "svg" || namespace === SVG ? SVG : "http://www.w3.org/1999/xhtml";
  const element = document.createElementNS(inside, node.tag);
  renew(element, node);
  return element;
}

function renew(there, node) {
  if (typeof node !== "object") {
    const text = String(node);
    if (there.data !== text) there.data = text;
    return;
  }
  const before = made.get(there)?.attributes ?? {};
  made.set(there, node);
  for (const name of Object.keys(before)) {
    if (!(name in node.attributes)) put(there, name, null, before[name]);
  }
  for (const [name, value] of Object.entries(node.attributes)) {
    if (name === "value" || value !== before[name]) put(there, name, value, before[name]);
  }
  draw(there, node.children);
  // Which of its options a choice has is known only once they are there.
  if (node.tag === "select" && "value" in node.attributes) there.value = node.attributes.value;
}

function put(element, name, value, before) {
  if (name === "key") return;
  if (name === "on") {
    for (const kind of Object.keys(before ?? {})) element[`on${kind}`] = null;
    for (const [kind, listener] of Object.entries(value ?? {})) element[`on${kind}`] = listener;
  } else if (name === "style") {
    for (const property of Object.keys(before ?? {})) element.style.removeProperty(property);
    for (const [property, text] of Object.entries(value ?? {})) element.style.setProperty(property, text);
  } else if (name === "value" && element.localName !== "option") {
    if (element.value !== String(value ?? "")) element.value = value ?? "";
  } else if (value === null || value === undefined || value === false) {
    element.removeAttribute(name);
  } else {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Say something to whoever listens instead of looking. */
export function say(text) {
  const place = document.getElementById("said");
  if (place.textContent !== text) place.textContent = text;
}
