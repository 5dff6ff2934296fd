// Begins: asks for everything once, listens to changes, draws.

import { draw, h } from './dom.js';
import { direction, language, t } from './i18n.js';
import { call, listen } from './ipc.js';
import { about } from './pages/about.js';
import { diagnostics } from './pages/diagnostics.js';
import { logs } from './pages/logs.js';
import { overview } from './pages/overview.js';
import { services } from './pages/services.js';
import { settings } from './pages/settings.js';
import { fillIn, isFirstRun, setup } from './pages/setup.js';
import { changes } from './parts/changes.js';
import { logo } from './parts/icons.js';
import { announce } from './parts/live.js';
import { shell } from './parts/shell.js';
import { begin, go } from './router.js';
import { adopt, app, onChange, set } from './store.js';

/** @import { Boot, Opening, Refused } from './contract.d.ts' */
/** @import { Child } from './dom.js' */
/** @import { PageName } from './store.js' */

/** @typedef {{ title: () => string, enter: () => void, leave: () => void, draw: () => Child }} Page */

/** @type {Record<PageName, Page>} */
const PAGES = { overview, setup, services, settings, logs, diagnostics, about };

const root = /** @type {HTMLElement} */ (document.getElementById('app'));

function drawAll() {
  const { boot, page, failed } = app();
  if (failed) return draw(root, failure(failed));
  if (!boot) return;
  const html = document.documentElement;
  html.lang = language();
  html.dir = direction();
  html.dataset['theme'] = boot.prefs.theme;
  if (boot.colour !== null && html.dataset['brand'] === undefined) wear(boot.colour);
  document.title = `${PAGES[page].title()} · ${t('ui.app')}`;
  draw(root, shell(PAGES[page].draw(), page === 'setup' && isFirstRun() ? 'folded' : 'beside'));
}

/** A vendor's own colour, which the program has looked at: all shades follow from it. @param {string} colour */
function wear(colour) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`:root { --brand: ${colour}; }`);
  document.adoptedStyleSheets = [sheet];
  document.documentElement.dataset['brand'] = '';
}

/**
 * Without an answer to the first question there is no catalogue either, so this one screen carries its words.
 * @param {Refused} failed
 */
function failure({ words }) {
  return h(
    'main',
    { class: 'failure', 'data-test': 'failure' },
    logo(),
    h('h1', { tabindex: -1 }, words.what || 'Petit does not answer'),
    h('p', null, words.todo),
    h('button', { type: 'button', class: 'button primary', 'data-test': 'failure-again', onclick: () => location.reload() }, 'Try again'),
  );
}

/** Where to begin, or where a click in the tray or a link leads. @param {Opening} opening @returns {PageName} */
function destination({ page, invite }) {
  if (invite !== null) {
    fillIn(invite);
    return 'setup';
  }
  // Before there is anything to look over, the overview is the way in.
  return page === 'overview' && app().view.state.kind === 'unregistered' ? 'setup' : page;
}

async function start() {
  onChange(drawAll);
  /** @type {Boot} */
  let boot;
  try {
    // Before the question, so that no change falls between it and its answer.
    await listen('view', (view) => {
      if (!app().boot) return;
      const before = app().view;
      set({ view });
      const news = changes(before, view);
      if (news !== '') announce(news);
    });
    await listen('open', (opening) => app().boot && go(destination(opening)));
    boot = await call('boot');
  } catch (error) {
    set({ failed: /** @type {Refused} */ (error) });
    return;
  }
  adopt(boot);
  const first = destination(boot.open);
  begin(first, (page, before) => {
    PAGES[before].leave();
    PAGES[page].enter();
    // To whoever listens or walks by keyboard a new page begins at its title.
    setTimeout(() => {
      document.querySelector('h1')?.focus();
      scrollTo(0, 0);
    });
  });
  PAGES[first].enter();
}

void start();
