// The config file, as a form and as its text. There is one draft, and it is the text: the form fills its values
// into it through the program, which keeps comments and order, and every text is read back into the form. So the
// two cannot differ, and nothing here knows the file's grammar.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { call } from '../ipc.js';
import { app, boot, redraw } from '../store.js';
import { banner, button, card, facts, folded, problem } from './controls.js';
import { close, closeNamed, dialog } from './dialog.js';
import { diffView } from './diff.js';
import { computerForm, servicesForm } from './file-form.js';
import { mark } from './icons.js';
import { complain, toast } from './live.js';
import { source } from './source.js';
import { tabs } from './tabs.js';

/** @import { Applied, Diff, Form, Settings } from '../contract.d.ts' */

/** Between the last key and the question what the program makes of it. */
const PAUSE_MS = 250;

const state = {
  /** The file as it was read. */
  file: /** @type {Settings | null} */ (null),
  /** What is being made of it; its `form` may be ahead of its `text` until the program has answered. */
  draft: /** @type {Settings | null} */ (null),
  error: /** @type {unknown} */ (null),
  view: /** @type {'form' | 'source'} */ ('form'),
  /** The services as fields and the whole text are there to be seen. */
  advanced: false,
  /** The form was edited and its text is still to come. */
  filling: false,
  /** The file on the disk is no longer the one that the draft began with. */
  outdated: false,
  diff: /** @type {Diff | null} */ (null),
  applying: false,
  applyError: /** @type {unknown} */ (null),
  applied: /** @type {Applied | null} */ (null),
};
/** Counts edits, so that the answer to an older one is dropped. */
let turn = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

const isDirty = () => state.filling || (state.draft !== null && state.file !== null && state.draft.text !== state.file.text);

export function enterFile() {
  state.applied = null;
  // Whoever comes for a mistake in the file is led to it.
  if (app().view.config_problem !== null) state.advanced = true;
  void readFile();
  addEventListener('focus', readFile);
}

export function leaveFile() {
  removeEventListener('focus', readFile);
}

/** Looks at the file again; a draft in work is not overwritten, only told about. */
async function readFile() {
  try {
    const found = await call('settings');
    state.error = null;
    if (!isDirty()) {
      state.file = found;
      state.draft = found;
      state.outdated = false;
      if (found.problems.length > 0) state.advanced = true;
    } else if (state.file && found.text !== state.file.text) {
      state.outdated = true;
    }
  } catch (error) {
    state.error = error;
  }
  redraw();
}

function discard() {
  clearTimeout(timer);
  turn += 1;
  state.filling = false;
  state.draft = state.file;
  state.outdated = false;
  void readFile();
}

/** @param {string} text */
function typedText(text) {
  if (!state.draft) return;
  state.draft = { ...state.draft, text };
  state.applied = null;
  later(null);
}

/** @param {Form} form */
function filledForm(form) {
  if (!state.draft) return;
  state.draft = { ...state.draft, form };
  state.applied = null;
  state.filling = true;
  later(form);
}

/** @param {Form | null} form */
function later(form) {
  turn += 1;
  clearTimeout(timer);
  timer = setTimeout(() => void ask(form), PAUSE_MS);
  redraw();
}

/** @param {Form | null} form */
async function ask(form) {
  clearTimeout(timer);
  const mine = turn;
  if (!state.draft) return;
  try {
    const answer = await call('fill_settings', { text: state.draft.text, form });
    if (mine !== turn || !state.draft) return;
    state.draft = answer;
  } catch (error) {
    if (mine === turn) complain(error);
  }
  if (mine === turn) state.filling = false;
  redraw();
}

async function review() {
  if (state.filling && state.draft) await ask(state.draft.form);
  if (!state.draft) return;
  try {
    state.diff = await call('diff_settings', { text: state.draft.text });
    state.applyError = null;
  } catch (error) {
    complain(error);
  }
  redraw();
}

async function apply() {
  if (!state.draft) return;
  state.applying = true;
  state.applyError = null;
  redraw();
  try {
    const applied = await call('apply_settings', { text: state.draft.text });
    state.applying = false;
    state.applied = applied;
    closeNamed('diff-dialog');
    if (applied.done) {
      state.file = state.draft;
      toast('good', t('ui.settings.applied'));
    }
    await readFile();
  } catch (error) {
    state.applying = false;
    state.applyError = error;
    redraw();
  }
}

export function fileEditor() {
  const { draft, error } = state;
  return card(
    t('ui.overview.here'),
    [
      error !== null && problem(error, 'settings-error', button(t('ui.common.again'), () => void readFile(), { test: 'settings-again' })),
      draft === null && error === null && h('p', { class: 'waiting' }, mark('busy'), t('ui.common.loading')),
      draft && editor(draft),
      state.diff && diffDialog(state.diff),
    ],
    { id: 'file-title', test: 'file' },
  );
}

/** @param {Settings} draft */
function editor(draft) {
  return [
    state.outdated &&
      banner(
        'warn',
        { what: t('ui.settings.outdated'), todo: t('ui.settings.outdated_text') },
        { test: 'settings-outdated', actions: button(t('ui.settings.reread'), discard, { test: 'settings-reread' }) },
      ),
    draft.form === null ? unreadable() : computerForm(draft.form, draft.problems, filledForm),
    folded('advanced', t('ui.settings.advanced'), advanced(draft), {
      open: state.advanced,
      ontoggle: (/** @type {Event} */ event) => {
        state.advanced = /** @type {HTMLDetailsElement} */ (event.target).open;
      },
    }),
    state.applied && outcome(state.applied),
    isDirty() && pending(draft),
  ];
}

/** The file itself, for whoever wants more than its two usual settings. @param {Settings} draft */
function advanced(draft) {
  const panel =
    state.view === 'form'
      ? draft.form === null
        ? h('p', { class: 'hint' }, t('ui.settings.unreadable_text'))
        : servicesForm(draft.form, draft.problems, app().view, filledForm)
      : source(draft.text, draft.problems, { readonly: state.filling, typed: typedText });
  return [
    facts([
      [
        t('ui.settings.file'),
        h(
          'span',
          { class: 'file-fact' },
          h('code', { dir: 'ltr' }, boot().about.config_path),
          button(t('ui.settings.show_file'), () => void call('show', { what: 'config', name: null }).catch(complain), { test: 'show-config', look: 'quiet', icon: 'folder' }),
        ),
      ],
    ]),
    ...tabs(
      t('ui.settings.views'),
      [
        { name: /** @type {'form' | 'source'} */ ('form'), text: t('ui.settings.form') },
        { name: 'source', text: t('ui.settings.source') },
      ],
      state.view,
      (view) => {
        state.view = view;
        // Nobody should have to wait for the pause between two keys.
        if (state.filling && state.draft) void ask(state.draft.form);
        redraw();
      },
      panel,
    ),
  ];
}

function unreadable() {
  return banner(
    'warn',
    { what: t('ui.settings.unreadable'), todo: t('ui.settings.unreadable_text') },
    {
      test: 'form-unreadable',
      actions: button(t('ui.settings.to_source'), () => ((state.view = 'source'), (state.advanced = true), redraw()), { test: 'to-source' }),
    },
  );
}

/** @param {Applied} applied */
function outcome({ done, rolled_back, words }) {
  const tone = done ? 'good' : rolled_back ? 'warn' : 'bad';
  return h('div', { role: 'status' }, banner(tone, words, { test: done ? 'applied' : rolled_back ? 'rolled-back' : 'not-applied' }));
}

/** @param {Settings} draft */
function pending(draft) {
  const wrong = draft.problems.length > 0;
  return h(
    'div',
    { class: 'pending', 'data-test': 'pending' },
    h('p', null, wrong ? t('ui.settings.pending_wrong') : t('ui.settings.pending')),
    h(
      'div',
      { class: 'actions' },
      button(t('ui.settings.discard'), discard, { test: 'settings-discard' }),
      button(t('ui.settings.review'), () => void review(), { test: 'settings-review', look: 'primary', disabled: wrong }),
    ),
  );
}

/** @param {Diff} diff */
function diffDialog(diff) {
  const wrong = diff.problems.length > 0;
  return dialog({
    test: 'diff-dialog',
    title: t('ui.settings.diff_title'),
    wide: true,
    busy: state.applying,
    closed: () => {
      state.diff = null;
      redraw();
    },
    body: [
      h('p', null, t('ui.settings.diff_text')),
      diffView(diff),
      diff.problems.map((found) => banner('bad', { what: found.message, todo: '' }, { test: 'diff-problem' })),
      state.applyError !== null && problem(state.applyError, 'apply-error'),
      state.applying && h('p', { class: 'waiting', role: 'status' }, mark('busy'), t('ui.settings.applying')),
    ],
    actions: [
      button(t('ui.common.cancel'), close, { test: 'diff-cancel', disabled: state.applying }),
      button(t('ui.settings.apply'), () => void apply(), { test: 'diff-apply', look: 'primary', busy: state.applying, disabled: wrong }),
    ],
  });
}
