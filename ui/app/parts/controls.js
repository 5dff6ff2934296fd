// The small things every page is made of.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { call } from '../ipc.js';
import { sentence } from './format.js';
import { icon, mark } from './icons.js';
import { complain, toast, wordsOf } from './live.js';

/** @import { Child, Props } from '../dom.js' */
/** @import { Fact, KeyWords, Tone, Words } from '../contract.d.ts' */
/** @import { IconName } from './icons.js' */

/**
 * @typedef {object} ButtonLook
 * @property {string} test
 * @property {'primary' | 'plain' | 'quiet' | 'danger'} [look]
 * @property {IconName} [icon]
 * @property {boolean} [disabled]
 * @property {boolean} [busy]
 * @property {string} [label]  Said instead of the text, where the text alone does not tell which one is meant.
 * @property {Props} [more]
 */

/**
 * @param {string} text
 * @param {(event: Event) => void} act
 * @param {ButtonLook} look
 */
export function button(text, act, look) {
  const { busy = false, disabled = false } = look;
  return h(
    'button',
    {
      type: 'button',
      class: `button ${look.look ?? 'plain'}`,
      'data-test': look.test,
      'aria-label': look.label,
      // Not `disabled`: that would take the focus away from whoever has just pressed it.
      'aria-disabled': busy || disabled ? 'true' : undefined,
      'aria-busy': busy ? 'true' : undefined,
      onclick: (/** @type {Event} */ event) => {
        if (!busy && !disabled) act(event);
        else event.preventDefault();
      },
      ...look.more,
    },
    busy ? mark('busy') : look.icon && icon(look.icon),
    h('span', null, text),
  );
}

/** A state in words, with its shape. @param {Tone} tone @param {string} text @param {string} [test] */
export function badge(tone, text, test) {
  return h('span', { class: `badge tone-${tone}`, 'data-test': test }, mark(tone), h('span', null, text));
}

/**
 * @param {Tone} tone
 * @param {Words | { what: string, todo: string }} words
 * @param {{ test: string, actions?: Child, alert?: boolean }} look
 */
export function banner(tone, words, look) {
  return h(
    'div',
    { class: `banner tone-${tone}`, 'data-test': look.test, role: look.alert ? 'alert' : undefined },
    mark(tone),
    h(
      'div',
      { class: 'banner-text' },
      h('p', null, h('strong', null, sentence(words.what))),
      words.todo !== '' && h('p', null, sentence(words.todo)),
    ),
    look.actions && h('div', { class: 'banner-actions' }, look.actions),
  );
}

/** Why something did not work, from its refusal. @param {unknown} error @param {string} test @param {Child} [actions] */
export function problem(error, test, actions) {
  return banner('bad', wordsOf(error), { test, actions, alert: true });
}

/**
 * @param {string} id
 * @param {{ label: string, hint?: string, error?: string | null, aside?: string }} about
 * @param {(props: Props) => Child} control  Gets what ties it to its label, hint and error.
 */
export function field(id, about, control) {
  const { hint, error } = about;
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ');
  return h(
    'div',
    { class: 'field' },
    h('label', { for: id }, about.label, about.aside && h('span', { class: 'aside' }, about.aside)),
    hint && h('p', { class: 'hint', id: `${id}-hint` }, hint),
    control({ id, 'aria-describedby': described || undefined, 'aria-invalid': error ? 'true' : undefined }),
    error && h('p', { class: 'field-error', id: `${id}-error`, 'data-test': `${id}-error` }, mark('bad'), h('span', null, sentence(error))),
  );
}

/**
 * @param {string} test
 * @param {string} label
 * @param {string} hint
 * @param {boolean} on
 * @param {(on: boolean) => void} change
 */
export function toggle(test, label, hint, on, change) {
  return h(
    'div',
    { class: 'toggle' },
    h(
      'div',
      { class: 'toggle-text' },
      h('label', { for: test }, label),
      hint && h('p', { class: 'hint', id: `${test}-hint` }, hint),
    ),
    h('input', {
      type: 'checkbox',
      role: 'switch',
      class: 'switch',
      id: test,
      'data-test': test,
      'aria-describedby': hint ? `${test}-hint` : undefined,
      checked: on,
      onchange: (/** @type {Event} */ event) => change(/** @type {HTMLInputElement} */ (event.target).checked),
    }),
  );
}

/** @param {string} text */
export async function copy(text) {
  try {
    await call('copy', { text });
    toast('good', t('ui.common.copied'));
  } catch (error) {
    complain(error);
  }
}

/**
 * A public address that can be read, copied and, when it is one for a browser, opened.
 * @param {string} url
 * @param {{ test: string, name: string, only?: 'copy' }} look  `name` of the service, so that "Copy" says what.
 */
export function address(url, look) {
  const opens = url.startsWith('http') && look.only !== 'copy';
  return h(
    'div',
    { class: 'address' },
    h('code', { class: 'address-text', 'data-test': `${look.test}-url`, dir: 'ltr' }, url),
    button(t('ui.common.copy'), () => void copy(url), {
      test: `${look.test}-copy`,
      icon: 'copy',
      label: t('ui.common.copy_address_of', { name: look.name }),
    }),
    opens &&
      button(t('ui.common.open'), () => void call('show', { what: 'url', name: look.name }).catch(complain), {
        test: `${look.test}-open`,
        look: 'quiet',
        icon: 'open',
        label: t('ui.common.open_address_of', { name: look.name }),
      }),
  );
}

/**
 * Six words that two people compare, numbered so that they can be read out over the telephone, in both languages.
 * @param {KeyWords} words
 * @param {string} test
 */
export function sixWords(words, test) {
  /** @param {'en' | 'de'} lang */
  const row = (lang) =>
    h(
      'ol',
      { class: 'words', 'data-test': `${test}-${lang}`, translate: 'no', dir: 'ltr', lang },
      words[lang].split(' ').map((word) => h('li', null, word)),
    );
  return h('div', { class: 'word-rows', 'data-test': test }, row('en'), row('de'));
}

/** What is shown on wish. @param {string} test @param {string} title @param {Child} body @param {Props} [more] */
export function folded(test, title, body, more = {}) {
  return h('details', { class: 'more', 'data-test': test, ...more }, h('summary', { 'data-test': `${test}-open` }, title), h('div', { class: 'more-body' }, body));
}

/** What the vendor learns of this computer, folded. @param {Fact[]} list @param {string} test */
export function told(list, test) {
  return folded(test, t('ui.common.told'), facts(list.map(({ label, value }) => [label, h('span', { dir: 'auto' }, value)])));
}

/**
 * @param {string} title
 * @param {Child} body
 * @param {{ test?: string, id?: string, actions?: Child, hint?: string }} [look]
 */
export function card(title, body, look = {}) {
  return h(
    'section',
    { class: 'card', 'data-test': look.test, 'aria-labelledby': look.id },
    h(
      'div',
      { class: 'card-head' },
      h('div', null, h('h2', { id: look.id }, title), look.hint && h('p', { class: 'hint' }, look.hint)),
      look.actions && h('div', { class: 'actions' }, look.actions),
    ),
    body,
  );
}

/** Nothing here yet, and what to do about it. @param {string} title @param {string} text @param {Child} action @param {string} test */
export function empty(title, text, action, test) {
  return h('div', { class: 'empty', 'data-test': test }, h('h2', null, title), h('p', null, text), action);
}

/** @param {string} title @param {string} lead @param {Child} [actions] */
export function pageHead(title, lead, actions) {
  return h(
    'header',
    { class: 'page-head' },
    h('div', null, h('h1', { tabindex: -1, 'data-test': 'title' }, title), lead && h('p', { class: 'lead' }, lead)),
    actions && h('div', { class: 'actions' }, actions),
  );
}

/** @param {Array<[string, Child] | null | false>} rows */
export function facts(rows) {
  return h(
    'dl',
    { class: 'facts' },
    rows.map((row) => row && h('div', null, h('dt', null, row[0]), h('dd', null, row[1]))),
  );
}
