// Which Petit this is, where its files lie, and the way out.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { call } from '../ipc.js';
import { button, card, copy, facts } from '../parts/controls.js';
import { close, closeNamed, dialog } from '../parts/dialog.js';
import { logo } from '../parts/icons.js';
import { complain } from '../parts/live.js';
import { app, boot, redraw } from '../store.js';

let quitting = false;

export const about = {
  title: () => t('ui.nav.about'),
  enter() {},
  leave() {
    quitting = false;
  },
  draw() {
    const { version, protocol, licence, config_path, log_path, data_path } = boot().about;
    return [
      h(
        'header',
        { class: 'about-head' },
        logo(),
        h('div', null, h('h1', { tabindex: -1, 'data-test': 'title' }, t('ui.app')), h('p', { class: 'lead', 'data-test': 'version' }, t('ui.about.version', { version }))),
      ),
      h('p', { class: 'about-text' }, t('ui.about.text')),
      card(
        t('ui.about.files'),
        facts([
          [t('ui.about.config'), file(config_path, 'config')],
          [t('ui.about.log'), file(log_path, 'log')],
          [t('ui.about.data'), file(data_path, 'data')],
        ]),
        { id: 'files-title' },
      ),
      card(
        t('ui.about.details'),
        facts([
          [t('ui.about.protocol'), String(protocol)],
          [t('ui.about.licence'), licence],
        ]),
        { id: 'details-title' },
      ),
      h('div', { class: 'about-quit' }, button(t('ui.about.quit'), ask, { test: 'quit', icon: 'power' })),
      quitting && quitDialog(),
    ];
  },
};

/** @param {string} path @param {string} name */
function file(path, name) {
  return h(
    'div',
    { class: 'file-fact' },
    h('code', { dir: 'ltr', 'data-test': `${name}-path` }, path),
    button(t('ui.common.copy'), () => void copy(path), { test: `${name}-path-copy`, look: 'quiet', icon: 'copy', label: t('ui.common.copy_path', { path }) }),
  );
}

function ask() {
  // Only what somebody relies on needs a question.
  if (app().view.can.stop) {
    quitting = true;
    redraw();
  } else {
    void call('quit').catch(complain);
  }
}

function quitDialog() {
  return dialog({
    test: 'quit-dialog',
    title: t('ui.about.quit_title'),
    closed: () => {
      quitting = false;
      redraw();
    },
    body: h('p', null, t('ui.about.quit_text')),
    actions: [
      button(t('ui.common.cancel'), close, { test: 'quit-cancel', more: { autofocus: true } }),
      button(t('ui.about.quit_do'), () => {
        closeNamed('quit-dialog');
        void call('quit').catch(complain);
      }, { test: 'quit-confirm', look: 'danger' }),
    ],
  });
}
