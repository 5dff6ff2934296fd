// Questions, as <dialog>: the browser keeps the focus inside, closes on Escape, and gives the focus back.

import { h } from '../dom.js';

/** @import { Child } from '../dom.js' */

/**
 * @param {object} about
 * @param {string} about.test
 * @param {string} about.title
 * @param {Child} about.body
 * @param {Child} about.actions
 * @param {() => void} about.closed  Takes it out of the page's state.
 * @param {boolean} [about.busy]     Something is under way that Escape must not leave half seen.
 * @param {boolean} [about.wide]
 */
export function dialog({ test, title, body, actions, closed, busy = false, wide = false }) {
  return h(
    'dialog',
    {
      key: test,
      class: `dialog ${wide ? 'wide' : ''}`,
      'data-test': test,
      'aria-labelledby': `${test}-title`,
      made: (/** @type {HTMLDialogElement} */ element) => element.showModal(),
      oncancel: (/** @type {Event} */ event) => busy && event.preventDefault(),
      onclose: closed,
    },
    h('h2', { id: `${test}-title` }, title),
    h('div', { class: 'dialog-body' }, body),
    h('div', { class: 'dialog-actions' }, actions),
  );
}

/** Closes the dialog that the event came from; its `closed` does the rest. @param {Event} event */
export function close(event) {
  /** @type {Element} */ (event.currentTarget).closest('dialog')?.close();
}

/** Closes a dialog by its name, after an answer that came later. @param {string} test */
export function closeNamed(test) {
  const found = document.querySelector(`dialog[data-test="${test}"]`);
  if (found instanceof HTMLDialogElement) found.close();
}
