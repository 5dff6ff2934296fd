// The only file that names window.__TAURI__. A browser test puts a fake there and drives the whole page with it.

/** @import { LogLine, Opening, Refused, View, Wishes } from './contract.d.ts' */

/** @typedef {{ view: View, log: LogLine[], open: Opening }} Events */

/**
 * @typedef {object} Tauri
 * @property {{ invoke: (command: string, args?: unknown) => Promise<any> }} core
 * @property {{ listen: (event: string, handle: (event: { payload: any }) => void) => Promise<() => void> }} event
 */

/** @returns {Tauri} */
function tauri() {
  const found = /** @type {any} */ (window).__TAURI__;
  // Opened in a browser instead of the app.
  if (!found) throw refused(new Error('window.__TAURI__ is missing'));
  return found;
}

/**
 * Sends a wish. Whatever goes wrong arrives as `Refused`.
 * @template {keyof Wishes} W
 * @param {W} wish
 * @param {Parameters<Wishes[W]>} args
 * @returns {Promise<Awaited<ReturnType<Wishes[W]>>>}
 */
export async function call(wish, ...args) {
  try {
    return await tauri().core.invoke(wish, args[0] ?? {});
  } catch (error) {
    throw refused(error);
  }
}

/**
 * @template {keyof Events} E
 * @param {E} event
 * @param {(payload: Events[E]) => void} handle
 * @returns {Promise<() => void>} Stops it.
 */
export function listen(event, handle) {
  return tauri().event.listen(event, ({ payload }) => handle(payload));
}

/**
 * A wish that failed outside the contract (no such command, arguments not understood) has no words for people;
 * the page puts its own general sentence before what was said.
 * @param {unknown} error
 * @returns {Refused}
 */
export function refused(error) {
  if (typeof error === 'object' && error !== null && 'words' in error) return /** @type {Refused} */ (error);
  const said = error instanceof Error ? error.message : String(error);
  return { code: 'unknown', words: { what: '', todo: said }, field: null };
}
