// What surrounds every page: the way past the menu, the menu with the state above it, the place for the page.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { go } from '../router.js';
import { app, set } from '../store.js';
import { icon, logo, mark } from './icons.js';
import { liveRegion, toasts } from './live.js';
import { notices } from './notices.js';

/** @import { Child } from '../dom.js' */
/** @import { PageName } from '../store.js' */

/** @returns {[PageName, string][]} */
function entries() {
  const { view, page } = app();
  /** @type {[PageName, string][]} */
  const all = [
    ['overview', t('ui.nav.overview')],
    ['services', t('ui.nav.services')],
    ['settings', t('ui.nav.settings')],
    ['logs', t('ui.nav.logs')],
    ['diagnostics', t('ui.nav.diagnostics')],
    ['about', t('ui.nav.about')],
  ];
  // Setting up is no place of its own once it is done.
  if (page === 'setup' || view.registered === null) all.splice(1, 0, ['setup', t('ui.nav.setup')]);
  return all;
}

/** @param {Child} page @param {'beside' | 'folded'} look  Of the menu: beside the page where there is room, or behind its button. */
export function shell(page, look) {
  const { page: name, menu } = app();
  return [
    h(
      'a',
      {
        class: 'skip',
        href: '#main',
        'data-test': 'skip',
        onclick: (/** @type {Event} */ event) => {
          // The part after # names the page here; the jump is made by hand.
          event.preventDefault();
          document.querySelector('h1')?.focus();
        },
      },
      t('ui.nav.skip'),
    ),
    h(
      'div',
      { class: `shell menu-${look}` },
      h(
        'header',
        { class: 'side' },
        h('div', { class: 'brand' }, logo(), h('span', null, t('ui.app'))),
        look === 'beside' && sideState(),
        h(
          'button',
          {
            type: 'button',
            class: 'button quiet menu-button',
            'data-test': 'menu',
            'aria-expanded': menu,
            'aria-controls': 'nav',
            onclick: () => set({ menu: !menu }),
          },
          icon(menu ? 'close' : 'menu'),
          h('span', null, t('ui.nav.menu')),
        ),
        h(
          'nav',
          {
            id: 'nav',
            class: menu ? 'nav open' : 'nav',
            'aria-label': t('ui.nav.label'),
            onkeydown: (/** @type {KeyboardEvent} */ event) => {
              if (event.key !== 'Escape' || !menu) return;
              /** @type {HTMLElement | null} */ (document.querySelector('.menu-button'))?.focus();
              set({ menu: false });
            },
          },
          h(
            'ul',
            null,
            entries().map(([page, text]) =>
              h(
                'li',
                { key: page },
                h(
                  'a',
                  {
                    href: `#${page}`,
                    'data-test': `nav-${page}`,
                    'aria-current': page === name ? 'page' : undefined,
                    onclick: () => page === name && go(page),
                  },
                  icon(page),
                  h('span', null, text),
                ),
              ),
            ),
          ),
        ),
      ),
      h('main', { id: 'main', class: `main page-${name}` }, h('div', { class: 'page' }, notices(), h('div', { key: name, class: 'page-body', 'data-test': `page-${name}` }, page))),
    ),
    liveRegion(),
    toasts(),
  ];
}

/** The state in a word, on every page but the one that begins with it. */
function sideState() {
  const { headline, state } = app().view;
  return h(
    'p',
    { class: `side-state tone-${headline.tone}`, 'data-test': 'side-state', 'data-state': state.kind },
    mark(headline.tone),
    h('span', null, headline.title),
  );
}
