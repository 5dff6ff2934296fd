// Draws a tree of values into the document, and changes only what differs from the last drawing.
//
// A page is a function from what it is shown to a tree of `h(…)`. It is called again after every change; elements
// that stay the same stay in place, so that focus, selection, scroll position and what a screen reader has read
// survive five drawings a second. Nothing here sets inline styles or inline handlers: the content security policy
// forbids both.

/**
 * @typedef {object} VNode
 * @property {string} tag      Empty for text.
 * @property {string} text     Of a text; empty otherwise.
 * @property {Props} props
 * @property {VNode[]} kids
 * @property {Node | null} node  What it was drawn as.
 */

/**
 * Attributes by name; `on…` are handlers; `key` tells siblings apart that may come, go and move; `made` is called
 * once with the new element when it is in the document.
 * @typedef {Record<string, any>} Props
 */

/** @typedef {VNode | string | number | boolean | null | undefined | Child[]} Child */

const SVG = 'http://www.w3.org/2000/svg';
/** Set as properties, after the children: a <select> can take a value only once it has its options. */
const PROPERTIES = new Set(['value', 'checked', 'indeterminate']);
/** @type {WeakMap<Node, VNode[]>} */
const drawn = new WeakMap();

/**
 * @param {string} tag
 * @param {Props | null} [props]
 * @param {...Child} kids
 * @returns {VNode}
 */
export function h(tag, props, ...kids) {
  return { tag, text: '', props: props ?? {}, kids: flat(kids, []), node: null };
}

/**
 * A child left out with `condition && h(…)` becomes an empty text, so that its siblings keep their places.
 * @param {Child[]} kids
 * @param {VNode[]} into
 */
function flat(kids, into) {
  for (const kid of kids) {
    if (Array.isArray(kid)) flat(kid, into);
    else if (typeof kid === 'object' && kid !== null) into.push(kid);
    else {
      const text = kid === null || kid === undefined || typeof kid === 'boolean' ? '' : String(kid);
      into.push({ tag: '', text, props: {}, kids: [], node: null });
    }
  }
  return into;
}

/**
 * Makes the children of `parent` what `kids` says.
 * @param {Element} parent
 * @param {...Child} kids
 */
export function draw(parent, ...kids) {
  /** @type {(() => void)[]} */
  const made = [];
  update(parent, flat(kids, []), parent.namespaceURI === SVG, made);
  for (const tell of made) tell();
}

/**
 * @param {Element} parent
 * @param {VNode[]} next
 * @param {boolean} svg
 * @param {(() => void)[]} made
 */
function update(parent, next, svg, made) {
  const before = drawn.get(parent) ?? [];
  /** @type {Map<string, VNode>} */
  const keyed = new Map();
  /** @type {VNode[]} */
  const inOrder = [];
  for (const old of before) {
    if (old.props.key === undefined) inOrder.push(old);
    else keyed.set(String(old.props.key), old);
  }
  let at = 0;
  /** @type {Set<VNode>} */
  const kept = new Set();
  const pairs = next.map((vnode) => {
    const { key } = vnode.props;
    const old = key === undefined ? inOrder[at++] : keyed.get(String(key));
    if (!old || old.tag !== vnode.tag || kept.has(old)) return { vnode, old: null };
    kept.add(old);
    return { vnode, old };
  });
  for (const old of before) if (!kept.has(old)) /** @type {ChildNode} */ (old.node).remove();

  let cursor = parent.firstChild;
  for (const { vnode, old } of pairs) {
    const node = old ? change(old, vnode, made) : create(vnode, svg, made);
    if (node === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(node, cursor);
  }
  drawn.set(parent, next);
}

/**
 * @param {VNode} vnode
 * @param {boolean} inSvg
 * @param {(() => void)[]} made
 * @returns {Node}
 */
function create(vnode, inSvg, made) {
  if (vnode.tag === '') {
    vnode.node = document.createTextNode(vnode.text);
    return vnode.node;
  }
  const svg = inSvg || vnode.tag === 'svg';
  const element = svg ? document.createElementNS(SVG, vnode.tag) : document.createElement(vnode.tag);
  vnode.node = element;
  attributes(element, {}, vnode.props);
  update(element, vnode.kids, svg, made);
  properties(element, vnode.props);
  if (vnode.props.made) made.push(() => vnode.props.made(element));
  return element;
}

/**
 * @param {VNode} old
 * @param {VNode} vnode
 * @param {(() => void)[]} made
 * @returns {Node}
 */
function change(old, vnode, made) {
  const node = /** @type {Node} */ (old.node);
  vnode.node = node;
  if (vnode.tag === '') {
    if (old.text !== vnode.text) node.nodeValue = vnode.text;
    return node;
  }
  const element = /** @type {Element} */ (node);
  attributes(element, old.props, vnode.props);
  update(element, vnode.kids, element.namespaceURI === SVG, made);
  properties(element, vnode.props);
  return node;
}

/**
 * @param {Element} element
 * @param {Props} before
 * @param {Props} now
 */
function attributes(element, before, now) {
  for (const name of new Set([...Object.keys(before), ...Object.keys(now)])) {
    const value = now[name];
    if (before[name] === value || name === 'key' || name === 'made' || PROPERTIES.has(name)) continue;
    if (name.startsWith('on')) {
      // What a handler returns means nothing: to the browser `false` would mean "do not".
      /** @type {any} */ (element)[name] = value ? (/** @type {Event} */ event) => void value(event) : null;
    } else if (name.startsWith('aria-') && typeof value === 'boolean') {
      element.setAttribute(name, String(value));
    } else if (value === null || value === undefined || value === false) {
      element.removeAttribute(name);
    } else {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
}

/**
 * Against the element, not against the last drawing: the person may have typed since.
 * @param {Element} element
 * @param {Props} now
 */
function properties(element, now) {
  for (const name of PROPERTIES) {
    const target = /** @type {any} */ (element);
    if (name in now && target[name] !== now[name]) target[name] = now[name];
  }
}
