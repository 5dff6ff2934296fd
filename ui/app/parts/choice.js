// Which program on this computer? A list of what listens here, or an address typed in; each choice is tried at once.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { call } from '../ipc.js';
import { redraw } from '../store.js';
import { button, field, folded, problem } from './controls.js';
import { sentence } from './format.js';
import { mark } from './icons.js';

/** @import { FormService, Listening, Tried } from '../contract.d.ts' */

/** After the last key, so that not every letter is tried. */
const TYPING_MS = 500;

/** @typedef {{ target: string, kind: FormService['kind'] }} Target */

/**
 * @param {string} id  Begins the ids and test names of its controls.
 * @param {Target | null} start
 */
export function createChoice(id, start) {
  /** @type {Listening[] | null} */
  let list = null;
  /** @type {unknown} */
  let listError = null;
  /** The target of the list's entry that is picked, or `other`. @type {string | null} */
  let picked = start ? 'other' : null;
  /** @type {Target} */
  let other = start ?? { target: '', kind: 'http' };
  /** @type {{ busy: boolean, result: Tried | null, error: unknown }} */
  let tried = { busy: false, result: null, error: null };
  /** Counts tries, so that a late answer does not speak for a newer choice. */
  let turn = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;

  /** @returns {Target | null} */
  function value() {
    if (picked === null) return null;
    if (picked !== 'other') return list?.find((entry) => entry.target === picked) ?? null;
    return other.target.trim() === '' ? null : { target: other.target.trim(), kind: other.kind };
  }

  async function load() {
    list = null;
    listError = null;
    redraw();
    try {
      list = await call('listening');
    } catch (error) {
      list = [];
      listError = error;
    }
    if (start && picked === 'other' && list.some((entry) => entry.target === start.target && entry.kind === start.kind)) {
      picked = start.target;
    }
    // With nothing to pick from, the field to type into is there at once.
    if (list.length === 0 && picked === null) picked = 'other';
    if (picked !== 'other' && picked !== null && !list.some((entry) => entry.target === picked)) picked = null;
    void attempt();
  }

  async function attempt() {
    clearTimeout(typing);
    turn += 1;
    const mine = turn;
    const target = value();
    tried = { busy: target !== null, result: null, error: null };
    redraw();
    if (!target) return;
    try {
      const result = await call('try_target', { target: target.target, kind: target.kind });
      if (mine === turn) tried = { busy: false, result, error: null };
    } catch (error) {
      if (mine === turn) tried = { busy: false, result: null, error };
    }
    redraw();
    // Once it is drawn: it may stand below what can be seen.
    setTimeout(() => document.querySelector(`[data-test="${id}-tried"]`)?.scrollIntoView({ block: 'nearest' }));
  }

  /** @param {string} choice */
  function pick(choice) {
    picked = choice;
    void attempt();
  }

  /** @param {string} text */
  function type(text) {
    other = { ...other, target: text };
    turn += 1;
    tried = { busy: text.trim() !== '', result: null, error: null };
    clearTimeout(typing);
    typing = setTimeout(() => void attempt(), TYPING_MS);
    redraw();
  }

  /**
   * What came of trying it stands in the row that was picked.
   * @param {string} choice @param {import('../dom.js').Child} body @param {number} at @param {string | null} error
   */
  function option(choice, body, at, error) {
    const isPicked = picked === choice;
    return h(
      'li',
      { key: choice, class: isPicked ? 'option-row picked' : 'option-row' },
      h(
        'label',
        { class: 'option' },
        h('input', {
          type: 'radio',
          name: `${id}-choice`,
          'data-test': choice === 'other' ? `${id}-other` : `${id}-option-${at}`,
          checked: picked === choice,
          onchange: () => pick(choice),
        }),
        body,
      ),
      isPicked && choice === 'other' && typed(error),
      isPicked && outcome(choice === 'other' ? null : error),
    );
  }

  /** @param {Listening} entry @param {number} at @param {string | null} error */
  function listed(entry, at, error) {
    const body = h(
      'span',
      { class: 'option-text' },
      h('strong', null, entry.program || t('ui.choice.unknown_program')),
      h(
        'span',
        { class: 'option-detail' },
        h('span', null, h('code', { dir: 'ltr' }, entry.target), entry.process && h('span', { class: 'option-process', dir: 'auto' }, entry.process)),
        // What was found just now by trying says it better.
        entry.found && picked !== entry.target && h('span', null, entry.found),
      ),
    );
    return option(entry.target, body, at, error);
  }

  /** @param {string | null} error  What the program said about the target when it refused it. */
  function typed(error) {
    return h(
      'div',
      { class: 'option-more' },
      field(`${id}-target`, { label: t('ui.choice.target'), hint: t('ui.choice.target_hint'), error }, (tie) =>
        h('input', {
          ...tie,
          type: 'text',
          class: 'input mono',
          dir: 'ltr',
          'data-test': `${id}-target`,
          autocomplete: 'off',
          autocapitalize: 'none',
          spellcheck: 'false',
          placeholder: 'localhost:3000',
          value: other.target,
          oninput: (/** @type {Event} */ event) => type(/** @type {HTMLInputElement} */ (event.target).value),
        }),
      ),
      h(
        'fieldset',
        { class: 'kinds' },
        h('legend', null, t('ui.choice.kind')),
        kind('http', t('ui.kind.http_long')),
        kind('tcp', t('ui.kind.tcp_long')),
      ),
    );
  }

  /** @param {FormService['kind']} name @param {string} text */
  function kind(name, text) {
    return h(
      'label',
      { class: 'radio' },
      h('input', {
        type: 'radio',
        name: `${id}-kind`,
        'data-test': `${id}-kind-${name}`,
        checked: other.kind === name,
        onchange: () => {
          other = { ...other, kind: name };
          void attempt();
        },
      }),
      h('span', null, text),
    );
  }

  /** @param {string | null} [error] */
  function draw(error = null) {
    return h(
      'div',
      { class: 'choice' },
      h(
        'fieldset',
        { 'aria-busy': list === null, 'aria-labelledby': `${id}-legend` },
        h(
          'div',
          { class: 'choice-head' },
          h('span', { id: `${id}-legend` }, t('ui.choice.legend')),
          list && button(t('ui.choice.again'), () => void load(), { test: `${id}-again`, look: 'quiet', icon: 'again' }),
        ),
        list === null && h('p', { class: 'waiting', 'data-test': `${id}-looking` }, mark('busy'), t('ui.choice.looking')),
        listError !== null && problem(listError, `${id}-list-error`),
        list?.length === 0 && listError === null && h('p', { class: 'hint', 'data-test': `${id}-none` }, t('ui.choice.none')),
        list && options(list, error),
      ),
    );
  }

  /** What people share first; ports of the system behind a fold. @param {Listening[]} list @param {string | null} error */
  function options(list, error) {
    const rows = list.map((entry, at) => ({ entry, row: listed(entry, at, error) }));
    const usual = rows.filter(({ entry }) => entry.usual);
    const rest = rows.filter(({ entry }) => !entry.usual);
    return [
      h('ul', { class: 'options' }, usual.map(({ row }) => row), option('other', h('span', { class: 'option-text' }, h('strong', null, t('ui.choice.other'))), -1, error)),
      rest.length > 0 && folded(`${id}-more`, t('ui.choice.more', { n: rest.length }), h('ul', { class: 'options' }, rest.map(({ row }) => row))),
    ];
  }

  /** @param {string | null} error */
  function outcome(error) {
    return h(
      'div',
      { class: 'tried', role: 'status', 'data-test': `${id}-tried` },
      tried.busy && h('p', { class: 'tried-line' }, mark('busy'), h('span', null, t('ui.choice.trying'))),
      tried.result &&
        h(
          'p',
          { class: `tried-line tone-${tried.result.tone}` },
          mark(tried.result.tone),
          h('span', null, h('strong', null, sentence(tried.result.words.what)), ' ', sentence(tried.result.words.todo)),
        ),
      tried.error !== null && problem(tried.error, `${id}-tried-error`),
      error !== null && h('p', { class: 'tried-line tone-bad' }, mark('bad'), h('span', null, sentence(error))),
    );
  }

  return {
    draw,
    load,
    value,
    /** It was tried, and nothing is there. */
    get isDead() {
      return value() !== null && tried.result?.tone === 'bad';
    },
  };
}

/** @typedef {ReturnType<typeof createChoice>} Choice */
