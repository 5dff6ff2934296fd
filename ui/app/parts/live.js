// What a screen reader is told without being asked, and the short note at the foot of the window.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { app, set } from '../store.js';
import { sentence } from './format.js';
import { icon, mark } from './icons.js';

/** @import { Refused } from '../contract.d.ts' */

const TOAST_MS = 5000;
let count = 0;

/** @param {string} text */
export function announce(text) {
  // A no-break space more makes the same sentence a new one, or it would not be read twice.
  const again = app().said === text ? '\u00a0' : '';
  set({ said: text + again });
}

/**
 * @param {'good' | 'bad'} tone
 * @param {string} text
 * @param {string} [detail]
 */
export function toast(tone, text, detail = '') {
  count += 1;
  const id = count;
  set({ toast: { tone, text, detail, id } });
  announce(detail === '' ? text : `${text} ${detail}`);
  // What went wrong stays until it is closed: not everybody reads in five seconds.
  if (tone === 'good') setTimeout(() => app().toast?.id === id && set({ toast: null }), TOAST_MS);
}

/** Says a refusal where no better place is at hand. @param {unknown} error */
export function complain(error) {
  const { what, todo } = wordsOf(error);
  toast('bad', what, todo);
}

/**
 * The words of a refusal; of one that has none, our general sentence with what was said.
 * @param {unknown} error
 */
export function wordsOf(error) {
  const { words } = /** @type {Refused} */ (error);
  if (words.what === '') return { what: t('ui.error.unexpected'), todo: words.todo };
  return { what: sentence(words.what), todo: sentence(words.todo) };
}

export function liveRegion() {
  return h('div', { class: 'unseen', role: 'status', 'aria-live': 'polite', 'data-test': 'live' }, app().said);
}

export function toasts() {
  const shown = app().toast;
  return h(
    'div',
    { class: 'toasts', role: 'region', 'aria-label': t('ui.common.messages') },
    shown &&
      h(
        'div',
        { key: `toast-${shown.id}`, class: `toast toast-${shown.tone}`, 'data-test': 'toast' },
        mark(shown.tone),
        h('div', { class: 'toast-text' }, h('strong', null, shown.text), shown.detail && h('span', null, shown.detail)),
        h(
          'button',
          { type: 'button', class: 'button quiet icon-only', 'aria-label': t('ui.common.close'), onclick: () => set({ toast: null }) },
          icon('close'),
        ),
      ),
  );
}
