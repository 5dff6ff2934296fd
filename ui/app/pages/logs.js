// What Petit writes down, as it happens: find, hold, copy, and choose how much is written.

import { h } from '../dom.js';
import { plural, t } from '../i18n.js';
import { call, listen } from '../ipc.js';
import { button, copy, empty, pageHead, problem } from '../parts/controls.js';
import { levels } from '../parts/file-form.js';
import { icon } from '../parts/icons.js';
import { announce, complain } from '../parts/live.js';
import { KEEP, createLogList } from '../parts/log-list.js';
import { redraw } from '../store.js';

/** @import { Form, LogLine } from '../contract.d.ts' */

const TYPING_MS = 120;

const state = {
  /** @type {unknown} */
  error: null,
  filter: '',
  onlyProblems: false,
  paused: false,
  /** @type {Form['log_level']} */
  level: 'info',
  /** Matching lines on the page; the page itself is drawn by hand. */
  matching: 0,
  /** Lines that came while paused. */
  held: 0,
};

/** The newest KEEP lines, whether they match or not. @type {LogLine[]} */
let lines = [];
/** Lines of `lines` up to this id are drawn. */
let drawnTo = -1;
/** @type {ReturnType<typeof createLogList> | null} */
let list = null;
/** @type {(() => void) | null} */
let unlisten = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** Counts visits of this page: what was asked for on an earlier one is of no use any more. */
let visit = 0;

export const logs = {
  title: () => t('ui.nav.logs'),
  enter() {
    visit += 1;
    Object.assign(state, { error: null, paused: false, held: 0, matching: 0 });
    lines = [];
    drawnTo = -1;
    void begin(visit);
  },
  leave() {
    visit += 1;
    list = null;
    unlisten?.();
    unlisten = null;
    void call('logs', { follow: false }).catch(() => undefined);
  },
  draw() {
    const nothing = lines.length > 0 && state.matching === 0;
    return h(
      'div',
      { class: 'logs' },
      pageHead(t('ui.nav.logs'), '', [
        button(state.paused ? t('ui.logs.resume') : t('ui.logs.pause'), pause, { test: 'logs-pause', icon: state.paused ? 'play' : 'pause' }),
        button(t('ui.logs.copy'), () => void copy(list?.text() ?? ''), { test: 'logs-copy', icon: 'copy', disabled: state.matching === 0 }),
        button(t('ui.logs.folder'), () => void call('show', { what: 'logs', name: null }).catch(complain), { test: 'logs-folder', look: 'quiet', icon: 'folder' }),
      ]),
      toolbar(),
      state.error !== null && problem(state.error, 'logs-error'),
      h(
        'div',
        { class: 'log-frame' },
        h('div', {
          class: 'log-list',
          role: 'list',
          tabindex: 0,
          'aria-label': t('ui.logs.label'),
          'data-test': 'log-list',
          dir: 'ltr',
          hidden: lines.length === 0 || nothing,
          made: (/** @type {HTMLElement} */ element) => {
            list = createLogList(element, levelName);
            list.replace(lines.filter(matches));
          },
        }),
        lines.length === 0 && state.error === null && empty(t('ui.logs.empty_title'), t('ui.logs.empty_text'), null, 'logs-empty'),
        nothing && empty(t('ui.logs.nothing_title'), t('ui.logs.nothing_text'), button(t('ui.logs.clear'), () => filter('', false), { test: 'logs-clear' }), 'logs-nothing'),
      ),
      h(
        'p',
        { class: 'hint log-foot', 'data-test': 'logs-count' },
        plural(state.matching, 'ui.logs.count_one', 'ui.logs.count'),
        state.paused && h('strong', null, ' · ', state.held === 0 ? t('ui.logs.paused') : plural(state.held, 'ui.logs.held_one', 'ui.logs.held')),
      ),
    );
  },
};

/** @param {number} mine */
async function begin(mine) {
  try {
    const stop = await listen('log', take);
    if (mine !== visit) return stop();
    unlisten = stop;
    void readLevel();
    const former = await call('logs', { follow: true });
    if (mine !== visit) return;
    // New ones may have arrived before the answer.
    const newest = former.at(-1)?.id ?? -1;
    lines = [...former, ...lines.filter((line) => line.id > newest)].slice(-KEEP);
    show();
  } catch (error) {
    if (mine === visit) state.error = error;
  }
  redraw();
}

async function readLevel() {
  const { form } = await call('settings').catch(() => ({ form: null }));
  if (form) state.level = form.log_level;
  redraw();
}

/** @param {LogLine[]} fresh */
function take(fresh) {
  const known = lines.at(-1)?.id ?? -1;
  const added = fresh.filter((line) => line.id > known);
  lines.push(...added);
  if (lines.length > KEEP) lines = lines.slice(-KEEP);
  if (state.paused) {
    state.held += added.filter(matches).length;
  } else {
    const wanted = added.filter(matches);
    list?.append(wanted);
    state.matching = Math.min(KEEP, state.matching + wanted.length);
    drawnTo = lines.at(-1)?.id ?? -1;
  }
  redraw();
}

/** Draws all that match. */
function show() {
  const wanted = lines.filter(matches).filter((line) => !state.paused || line.id <= drawnTo);
  state.matching = wanted.length;
  if (!state.paused) drawnTo = lines.at(-1)?.id ?? -1;
  list?.replace(wanted);
}

/** @param {LogLine} line */
function matches(line) {
  if (state.onlyProblems && line.level !== 'ERROR' && line.level !== 'WARN') return false;
  if (state.filter === '') return true;
  return line.text.toLocaleLowerCase().includes(state.filter.toLocaleLowerCase());
}

/** @param {string} text @param {boolean} onlyProblems */
function filter(text, onlyProblems) {
  state.filter = text;
  state.onlyProblems = onlyProblems;
  redraw();
  clearTimeout(timer);
  timer = setTimeout(() => {
    show();
    redraw();
    announce(plural(state.matching, 'ui.logs.count_one', 'ui.logs.count'));
  }, TYPING_MS);
}

function toolbar() {
  return h(
    'div',
    { class: 'toolbar', role: 'group', 'aria-label': t('ui.logs.tools') },
    h(
      'div',
      { class: 'search' },
      icon('search'),
      h('input', {
        type: 'search',
        class: 'input',
        'data-test': 'logs-filter',
        'aria-label': t('ui.logs.filter'),
        placeholder: t('ui.logs.filter'),
        autocomplete: 'off',
        spellcheck: 'false',
        value: state.filter,
        oninput: (/** @type {Event} */ event) => filter(/** @type {HTMLInputElement} */ (event.target).value, state.onlyProblems),
      }),
    ),
    h(
      'label',
      { class: 'check' },
      h('input', {
        type: 'checkbox',
        'data-test': 'logs-problems',
        checked: state.onlyProblems,
        onchange: (/** @type {Event} */ event) => filter(state.filter, /** @type {HTMLInputElement} */ (event.target).checked),
      }),
      h('span', null, t('ui.logs.only_problems')),
    ),
    h(
      'div',
      { class: 'inline-field' },
      h('label', { for: 'log-level' }, t('ui.logs.level')),
      h(
        'select',
        {
          id: 'log-level',
          class: 'input select',
          'data-test': 'log-level',
          value: state.level,
          onchange: (/** @type {Event} */ event) => void setLevel(/** @type {Form['log_level']} */ (/** @type {HTMLSelectElement} */ (event.target).value)),
        },
        levels().map(([value, text]) => h('option', { value }, text)),
      ),
    ),
  );
}

/** @param {Form['log_level']} level */
async function setLevel(level) {
  const before = state.level;
  state.level = level;
  redraw();
  try {
    await call('log_level', { level });
  } catch (error) {
    state.level = before;
    complain(error);
  }
  redraw();
}

function pause() {
  state.paused = !state.paused;
  state.held = 0;
  if (!state.paused) show();
  announce(state.paused ? t('ui.logs.paused') : t('ui.logs.running'));
  redraw();
}

/** @param {LogLine['level']} level */
function levelName(level) {
  switch (level) {
    case 'ERROR':
      return t('ui.logs.error');
    case 'WARN':
      return t('ui.logs.warn');
    case 'INFO':
      return t('ui.logs.info');
    case 'DEBUG':
      return t('ui.logs.debug');
    case 'TRACE':
      return t('ui.logs.trace');
  }
}
