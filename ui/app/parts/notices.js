// Things to know that are no state, and a config file with a mistake in it: above every page.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { call } from '../ipc.js';
import { go, isPage } from '../router.js';
import { app } from '../store.js';
import { banner, button } from './controls.js';
import { sentence } from './format.js';
import { complain } from './live.js';

/** @import { Notice } from '../contract.d.ts' */
/** @import { PageName } from '../store.js' */

/** The only wishes that a notice may carry: those that need no argument and no question. */
const SIMPLE = /** @type {const} */ (['start', 'stop', 'unlock', 'quit', 'install_update']);

/** @param {string} wish */
function act(wish) {
  const simple = SIMPLE.find((name) => name === wish);
  if (simple) void call(simple).catch(complain);
  else if (isPage(wish)) go(wish);
}

export function notices() {
  const { view, page } = app();
  const mistake = view.config_problem;
  return h(
    'div',
    { class: 'notices' },
    view.notices.filter((notice) => belongs(notice, page)).map((notice) => h('div', { key: notice.id }, one(notice))),
    mistake &&
      page !== 'settings' &&
      banner(
        'warn',
        {
          what: mistake.line === null ? t('ui.notice.config') : t('ui.notice.config_line', { line: mistake.line }),
          todo: `${sentence(mistake.message)} ${t('ui.notice.config_former')}`,
        },
        {
          test: 'notice-config',
          actions: button(t('ui.notice.config_open'), () => go('settings'), { test: 'notice-config-open' }),
        },
      ),
  );
}

/** What asks for nothing is said where people look first, and not on every page. @param {Notice} notice @param {PageName} page */
const belongs = ({ tone, action }, page) => tone === 'bad' || action !== null || page === 'overview' || page === 'setup';

/** @param {Notice} notice */
function one({ id, tone, text, action }) {
  const [what = text, todo = ''] = text.split(/(?<=\.) (.*)/s);
  return banner(tone, { what, todo }, {
    test: `notice-${id}`,
    actions: action && button(action.label, () => act(action.wish), { test: `notice-${id}-action` }),
  });
}
