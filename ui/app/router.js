// Which page is shown: the part of the address after `#`, so that "back" works and a reload stays where it was.

import { app, set } from './store.js';

/** @import { PageName } from './store.js' */

/** @type {PageName[]} */
const PAGES = ['overview', 'setup', 'services', 'settings', 'logs', 'diagnostics', 'about'];

/** @type {((page: PageName, before: PageName) => void) | null} */
let arrived = null;

/** @param {string} name @returns {name is PageName} */
export function isPage(name) {
  return PAGES.includes(/** @type {PageName} */ (name));
}

function read() {
  const name = location.hash.slice(1);
  const page = isPage(name) ? name : 'overview';
  if (page === app().page) return;
  const before = app().page;
  set({ page, menu: false });
  arrived?.(page, before);
}

/**
 * @param {PageName} first
 * @param {(page: PageName, before: PageName) => void} onArrival  Called after every change, not for the first page.
 */
export function begin(first, onArrival) {
  arrived = onArrival;
  history.replaceState(null, '', `#${first}`);
  set({ page: first });
  addEventListener('hashchange', read);
}

/** @param {PageName} page */
export function go(page) {
  if (location.hash === `#${page}`) set({ menu: false });
  else location.hash = page;
}
