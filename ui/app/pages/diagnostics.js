// A walk along everything that has to be right, and the report for the vendor's support.

import { h } from '../dom.js';
import { plural, t } from '../i18n.js';
import { call } from '../ipc.js';
import { button, card, pageHead, problem } from '../parts/controls.js';
import { close, dialog } from '../parts/dialog.js';
import { bytes, moment, opening, sentence } from '../parts/format.js';
import { mark } from '../parts/icons.js';
import { announce, complain, toast } from '../parts/live.js';
import { app, redraw } from '../store.js';

/** @import { Bundle, Check, Tone } from '../contract.d.ts' */

const state = {
  checks: /** @type {Check[] | null} */ (null),
  busy: false,
  error: /** @type {unknown} */ (null),
  at: 0,
  bundle: /** @type {Bundle | null} */ (null),
  /** Which file of the report is shown. */
  file: 0,
  bundling: false,
  saving: false,
  bundleError: /** @type {unknown} */ (null),
};

export const diagnostics = {
  title: () => t('ui.nav.diagnostics'),
  enter() {
    void run();
  },
  leave() {
    state.bundle = null;
  },
  draw() {
    return [
      pageHead(
        t('ui.nav.diagnostics'),
        t('ui.diagnostics.lead'),
        button(t('ui.diagnostics.run'), () => void run(), { test: 'doctor-run', icon: 'again', busy: state.busy }),
      ),
      card(t('ui.diagnostics.checks'), checks(), { id: 'checks-title', test: 'checks', hint: state.at > 0 ? t('ui.diagnostics.at', { time: moment(state.at) }) : '' }),
      card(
        t('ui.diagnostics.report'),
        state.bundleError !== null && problem(state.bundleError, 'bundle-error'),
        {
          id: 'report-title',
          test: 'report',
          hint: t('ui.diagnostics.report_text'),
          actions: button(t('ui.diagnostics.prepare'), () => void prepare(), { test: 'bundle', busy: state.bundling }),
        },
      ),
      state.bundle && preview(state.bundle),
    ];
  },
};

async function run() {
  if (state.busy) return;
  Object.assign(state, { busy: true, error: null });
  redraw();
  try {
    state.checks = await call('doctor');
    state.at = Date.now() / 1000;
    if (app().page === 'diagnostics') announce(summary(state.checks).text);
  } catch (error) {
    state.error = error;
  }
  state.busy = false;
  redraw();
}

/** @param {Check[]} found @returns {{ tone: Tone, text: string }} */
function summary(found) {
  const bad = found.filter((check) => check.result === 'bad').length;
  if (bad > 0) return { tone: 'bad', text: plural(bad, 'ui.diagnostics.bad_one', 'ui.diagnostics.bad') };
  return { tone: 'good', text: plural(found.length, 'ui.diagnostics.good_one', 'ui.diagnostics.good') };
}

function checks() {
  if (state.error !== null) return problem(state.error, 'doctor-error');
  if (state.checks === null) return h('p', { class: 'waiting', 'data-test': 'doctor-busy' }, mark('busy'), t('ui.diagnostics.looking'));
  const { tone, text } = summary(state.checks);
  return [
    h('p', { class: `summary tone-${tone}`, 'data-test': 'doctor-summary', 'data-tone': tone }, mark(tone), h('strong', null, text)),
    h('ul', { class: 'checks' }, state.checks.map(row)),
  ];
}

/** @param {Check['result']} result @returns {{ tone: Tone, said: string }} */
function shown(result) {
  switch (result) {
    case 'good':
      return { tone: 'good', said: t('ui.diagnostics.said_good') };
    case 'bad':
      return { tone: 'bad', said: t('ui.diagnostics.said_bad') };
    case 'untried':
      return { tone: 'warn', said: t('ui.diagnostics.said_untried') };
    case 'skipped':
      return { tone: 'off', said: t('ui.diagnostics.said_skipped') };
  }
}

/** @param {Check} check */
function row({ name, result, detail, advice }) {
  const { tone, said } = shown(result);
  return h(
    'li',
    { class: `check-row tone-${tone}`, 'data-test': 'check', 'data-result': result },
    mark(tone),
    h(
      'div',
      null,
      h('p', null, h('strong', null, opening(name)), h('span', { class: 'unseen' }, ` ${said}`)),
      h('p', { class: 'hint' }, opening(detail)),
      advice !== '' && h('p', { class: 'advice' }, sentence(advice)),
    ),
  );
}

async function prepare() {
  Object.assign(state, { bundling: true, bundleError: null });
  redraw();
  try {
    state.bundle = await call('bundle');
    state.file = 0;
  } catch (error) {
    state.bundleError = error;
  }
  state.bundling = false;
  redraw();
}

/** @param {Bundle} bundle */
function preview(bundle) {
  const file = bundle.files[state.file];
  return dialog({
    test: 'bundle-dialog',
    title: t('ui.diagnostics.preview_title'),
    wide: true,
    busy: state.saving,
    closed: () => {
      state.bundle = null;
      redraw();
    },
    body: [
      h('p', null, t('ui.diagnostics.preview_text')),
      h(
        'div',
        { class: 'bundle' },
        h(
          'div',
          { class: 'bundle-files' },
          h('label', { for: 'bundle-file' }, plural(bundle.files.length, 'ui.diagnostics.files_one', 'ui.diagnostics.files')),
          h(
            'select',
            {
              id: 'bundle-file',
              class: 'input select',
              'data-test': 'bundle-file',
              value: String(state.file),
              onchange: (/** @type {Event} */ event) => {
                state.file = Number(/** @type {HTMLSelectElement} */ (event.target).value);
                redraw();
              },
            },
            bundle.files.map((entry, at) => h('option', { value: String(at) }, `${entry.name} (${bytes(entry.bytes)})`)),
          ),
        ),
        file && h('pre', { key: file.name, class: 'bundle-text', tabindex: 0, role: 'region', 'aria-label': file.name, 'data-test': 'bundle-text', dir: 'ltr' }, file.text),
      ),
      state.bundleError !== null && problem(state.bundleError, 'save-error'),
    ],
    actions: [
      button(t('ui.common.cancel'), close, { test: 'bundle-cancel', disabled: state.saving }),
      button(t('ui.diagnostics.save'), (event) => void save(event), { test: 'bundle-save', look: 'primary', busy: state.saving }),
    ],
  });
}

/** @param {Event} event */
async function save(event) {
  const opened = /** @type {Element} */ (event.currentTarget).closest('dialog');
  Object.assign(state, { saving: true, bundleError: null });
  redraw();
  try {
    const where = await call('save_bundle');
    state.saving = false;
    if (where !== null) {
      opened?.close();
      toast('good', t('ui.diagnostics.saved'), where);
    }
  } catch (error) {
    state.saving = false;
    state.bundleError = error;
    if (!state.bundle) complain(error);
  }
  redraw();
}
