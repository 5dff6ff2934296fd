// What the page was shown last, and where the person is. One value; whoever changes it causes one drawing.

/** @import { Boot, Opening, Refused, View } from './contract.d.ts' */

/** @typedef {Opening['page']} PageName */

/**
 * @typedef {object} App
 * @property {Boot | null} boot
 * @property {View} view          Only read once `boot` is there.
 * @property {Refused | null} failed  Why there is no `boot`.
 * @property {PageName} page
 * @property {boolean} menu       Whether the menu of the narrow window is open.
 * @property {Toast | null} toast
 * @property {string} said        What the live region says.
 * @property {string | null} asks  Name of the question that is open above every page, such as `quit`.
 */

/** @typedef {{ tone: 'good' | 'bad', text: string, detail: string, id: number }} Toast */

/** @type {App} */
const state = {
  boot: null,
  view: /** @type {any} */ (null),
  failed: null,
  page: 'overview',
  menu: false,
  toast: null,
  said: '',
  asks: null,
};

/** @type {(() => void) | null} */
let listener = null;
let pending = false;

/** @returns {Readonly<App>} */
export function app() {
  return state;
}

/** What the program said when the page began. @returns {Boot} */
export function boot() {
  if (!state.boot) throw new Error('drawn before boot');
  return state.boot;
}

/** @param {Partial<App>} change */
export function set(change) {
  Object.assign(state, change);
  redraw();
}

/** Takes over what the program says of everything, at the beginning and after a change of language. @param {Boot} boot */
export function adopt(boot) {
  // What was said in another language is not said again in this one: it is old by then.
  const spoken = state.boot === null || state.boot.lang === boot.lang ? {} : { toast: null, said: '' };
  set({ boot, view: boot.view, ...spoken });
}

/** Asks for a drawing; many in one turn become one. */
export function redraw() {
  if (pending) return;
  pending = true;
  queueMicrotask(() => {
    pending = false;
    listener?.();
  });
}

/** @param {() => void} drawAll */
export function onChange(drawAll) {
  listener = drawAll;
}
