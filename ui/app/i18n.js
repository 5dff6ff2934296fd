// Texts by key. The catalogue comes with `boot`; no sentence of the page stands in its code.

import { app } from './store.js';

/**
 * The keys of the English catalogue, so that `tsc` finds a misspelt one.
 * @typedef {keyof typeof import('../../petit-app/i18n/en.json')} Key
 */

/** Scripts written from right to left. None ships yet; the layout is tested with one all the same. */
const RIGHT_TO_LEFT = new Set(['ar', 'fa', 'he', 'ur']);

/**
 * @param {Key} key
 * @param {Record<string, string | number>} [values] For the `{name}`s in the text.
 * @returns {string}
 */
export function t(key, values = {}) {
  const text = app().boot?.texts[key];
  // Only before `boot` or with a damaged catalogue; a key shown is better than nothing shown.
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/**
 * @param {number} n
 * @param {Key} one
 * @param {Key} other
 * @param {Record<string, string | number>} [values]
 */
export function plural(n, one, other, values = {}) {
  const key = new Intl.PluralRules(language()).select(n) === 'one' ? one : other;
  return t(key, { n: new Intl.NumberFormat(locale()).format(n), ...values });
}

/** @returns {string} */
export function language() {
  return app().boot?.lang ?? 'en';
}

/** The language with the person's own country where it is known: how numbers and times are written. */
export function locale() {
  return navigator.languages.find((known) => known.split('-')[0] === language()) ?? language();
}

/** @returns {'ltr' | 'rtl'} */
export function direction() {
  return RIGHT_TO_LEFT.has(language().split('-')[0] ?? '') ? 'rtl' : 'ltr';
}
