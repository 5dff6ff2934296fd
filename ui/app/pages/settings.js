// Everything that can be set: what belongs to this app, and the config file as a form and as its text.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { call } from '../ipc.js';
import { button, card, facts, folded, pageHead, problem, sixWords, toggle } from '../parts/controls.js';
import { close, closeNamed, dialog } from '../parts/dialog.js';
import { complain, toast } from '../parts/live.js';
import { fileEditor, enterFile, leaveFile } from '../parts/file-editor.js';
import { go } from '../router.js';
import { adopt, app, boot, redraw } from '../store.js';

/** @import { Prefs, Registered } from '../contract.d.ts' */

/** @type {{ busy: boolean, error: unknown } | null} */
let forgetting = null;

export const settings = {
  title: () => t('ui.nav.settings'),
  enter() {
    enterFile();
  },
  leave() {
    forgetting = null;
    leaveFile();
  },
  draw() {
    const { view } = app();
    return [
      pageHead(t('ui.nav.settings'), ''),
      thisApp(boot().prefs),
      fileEditor(),
      view.registered && registration(view.registered),
      forgetting && forgetDialog(forgetting),
    ];
  },
};

/** @param {Partial<Prefs>} change */
async function prefer(change) {
  try {
    adopt(await call('set_prefs', { prefs: { ...boot().prefs, ...change } }));
  } catch (error) {
    complain(error);
    // The switch goes back to what is true.
    redraw();
  }
}

/** @param {Prefs} prefs */
function thisApp(prefs) {
  return card(
    t('ui.settings.app'),
    h(
      'div',
      { class: 'rows' },
      toggle('start-on-login', t('ui.settings.start_on_login'), t('ui.settings.start_on_login_hint'), prefs.start_on_login, (on) => void prefer({ start_on_login: on })),
      toggle('notify-down', t('ui.settings.notify_down'), t('ui.settings.notify_down_hint'), prefs.notify_down, (on) => void prefer({ notify_down: on })),
      toggle('notify-back', t('ui.settings.notify_back'), '', prefs.notify_back, (on) => void prefer({ notify_back: on })),
      choose('theme', t('ui.settings.theme'), prefs.theme, [
        ['system', t('ui.settings.theme_system')],
        ['light', t('ui.settings.theme_light')],
        ['dark', t('ui.settings.theme_dark')],
      ]),
      choose('lang', t('ui.settings.lang'), prefs.lang, [
        ['system', t('ui.settings.lang_system')],
        ['en', 'English'],
        ['de', 'Deutsch'],
      ]),
    ),
    { id: 'app-title', test: 'prefs' },
  );
}

/**
 * @param {'theme' | 'lang'} name
 * @param {string} label
 * @param {string} value
 * @param {[string, string][]} options
 */
function choose(name, label, value, options) {
  return h(
    'div',
    { class: 'toggle' },
    h('div', { class: 'toggle-text' }, h('label', { for: name }, label)),
    h(
      'select',
      {
        id: name,
        class: 'input select',
        'data-test': name,
        value,
        onchange: (/** @type {Event} */ event) => void prefer({ [name]: /** @type {HTMLSelectElement} */ (event.target).value }),
      },
      options.map(([key, text]) => h('option', { value: key }, text)),
    ),
  );
}

/** @param {Registered} registered */
function registration({ server, vendor, name, device, server_words, key_words, key_store }) {
  const inFile = key_store === 'file';
  return card(
    t('ui.settings.registration'),
    [
      facts([
        [t('ui.overview.server'), h('span', { dir: 'ltr' }, server)],
        vendor !== null && [t('ui.setup.vendor'), h('span', { dir: 'auto' }, vendor)],
        [t('ui.overview.device'), h('span', { 'data-test': 'settings-device', dir: 'auto' }, name)],
        [
          t('ui.settings.key_store'),
          [
            h('span', { 'data-test': 'key-store' }, inFile ? t('ui.settings.key_file') : t('ui.settings.key_keychain')),
            inFile && h('p', { class: 'hint' }, t('ui.settings.key_file_hint')),
          ],
        ],
      ]),
      folded(
        'settings-support',
        t('ui.overview.support'),
        facts([
          [t('ui.settings.device_id'), h('code', { dir: 'ltr' }, device)],
          [t('ui.overview.server_words'), sixWords(server_words, 'settings-server-words')],
          [t('ui.overview.key_words'), sixWords(key_words, 'settings-words')],
        ]),
      ),
      app().view.can.forget &&
        h(
          'div',
          { class: 'card-foot' },
          h('p', { class: 'hint' }, t('ui.settings.forget_hint')),
          button(t('ui.settings.forget'), () => ((forgetting = { busy: false, error: null }), redraw()), { test: 'forget', look: 'danger' }),
        ),
    ],
    { id: 'registration-title', test: 'registration' },
  );
}

/** @param {NonNullable<typeof forgetting>} state */
function forgetDialog(state) {
  const registered = app().view.registered;
  const vendor = registered?.vendor ?? registered?.server ?? '';
  return dialog({
    test: 'forget-dialog',
    title: t('ui.settings.forget_title'),
    busy: state.busy,
    closed: () => {
      forgetting = null;
      redraw();
    },
    body: [
      h('p', null, t('ui.settings.forget_text', { vendor })),
      h('ul', { class: 'plain-list' }, h('li', null, t('ui.settings.forget_key')), h('li', null, t('ui.settings.forget_addresses')), h('li', null, t('ui.settings.forget_invite'))),
      state.error !== null && problem(state.error, 'forget-error'),
    ],
    actions: [
      button(t('ui.common.cancel'), close, { test: 'forget-cancel', disabled: state.busy, more: { autofocus: true } }),
      button(t('ui.settings.forget_do'), () => void forget(state), { test: 'forget-confirm', look: 'danger', busy: state.busy }),
    ],
  });
}

/** @param {NonNullable<typeof forgetting>} state */
async function forget(state) {
  state.busy = true;
  redraw();
  try {
    await call('forget');
    state.busy = false;
    closeNamed('forget-dialog');
    toast('good', t('ui.settings.forgotten'));
    go('overview');
  } catch (error) {
    state.busy = false;
    state.error = error;
    redraw();
  }
}
