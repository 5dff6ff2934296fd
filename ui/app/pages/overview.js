// Does it work, for whom, since when: the first page.

import { h } from '../dom.js';
import { plural, t } from '../i18n.js';
import { call } from '../ipc.js';
import { address, banner, button, card, empty, facts, folded, sixWords, told } from '../parts/controls.js';
import { areas, bars } from '../parts/chart.js';
import { ago, bytes, duration, moment, number, sentence, took } from '../parts/format.js';
import { mark } from '../parts/icons.js';
import { complain } from '../parts/live.js';
import { menu } from '../parts/menu.js';
import { path } from '../parts/path.js';
import { go } from '../router.js';
import { app, redraw } from '../store.js';

/** @import { Action, Registered, Service, Traffic, View } from '../contract.d.ts' */

/** Seconds that a sample of the traffic covers. */
const SAMPLE = 2;
/** How often "2 minutes ago" is looked at again, and how often seconds that count down, in milliseconds. */
const TICK_MS = 10_000;
const SECOND_MS = 1000;

/** @type {ReturnType<typeof setInterval> | undefined} */
let tick;
/** @type {ReturnType<typeof setInterval> | undefined} */
let second;
/** Services whose whole way is being tried on request. @type {Set<string>} */
const pinging = new Set();
/** The wish on its way, so that its button shows it. @type {string | null} */
let wishing = null;

export const overview = {
  title: () => t('ui.nav.overview'),
  enter() {
    tick = setInterval(redraw, TICK_MS);
    second = setInterval(() => app().view.state.kind === 'waiting' && redraw(), SECOND_MS);
  },
  leave() {
    clearInterval(tick);
    clearInterval(second);
  },
  draw() {
    const { view } = app();
    return [
      h('h1', { class: 'unseen', tabindex: -1, 'data-test': 'title' }, t('ui.nav.overview')),
      hero(view),
      view.registered && view.services.length === 0 && view.withheld.length === 0 && nothingYet(),
      view.services.map((entry) => service(entry, view.headline.detail)),
      view.registered && moves(view) && traffic(view.traffic),
      view.registered && here(view.registered),
    ];
  },
};

/** @param {View} view */
function hero({ headline, state, can, actions }) {
  return h(
    'section',
    { class: `hero tone-${headline.tone}`, 'aria-labelledby': 'hero-title', 'data-test': 'hero', 'data-state': state.kind },
    h('div', { class: 'hero-mark' }, mark(headline.tone, 'mark-large')),
    h(
      'div',
      { class: 'hero-text' },
      h('h2', { id: 'hero-title', 'data-test': 'headline' }, headline.fact || headline.title),
      headline.detail !== '' && h('p', { 'data-test': 'detail' }, sentence(headline.detail)),
      headline.advice !== '' && h('p', { class: 'advice', 'data-test': 'advice' }, sentence(headline.advice)),
      when(state, headline),
    ),
    h(
      'div',
      { class: 'actions hero-actions' },
      actions.filter((action) => action.wish !== 'stop').map(offer),
      can.pause &&
        menu('pause', t('ui.overview.pause'), 'pause', [
          { test: 'pause-15min', text: t('ui.overview.pause_15min'), act: () => pause('15min') },
          { test: 'pause-1h', text: t('ui.overview.pause_1h'), act: () => pause('1h') },
          { test: 'pause-tomorrow', text: t('ui.overview.pause_tomorrow'), act: () => pause('tomorrow') },
        ]),
      actions.filter((action) => action.wish === 'stop').map(offer),
    ),
  );
}

/**
 * Times, in small print: with the state, where the headline says something else. Seconds have a line of their own, so
 * that what they do moves nothing.
 * @param {View['state']} state @param {View['headline']} headline
 */
function when({ kind, since, until }, { fact, title }) {
  if (kind === 'paused' && until !== null) {
    return h('p', { class: 'since', 'data-test': 'since' }, t('ui.overview.paused_until', { time: moment(until) }));
  }
  if (since === null || kind === 'unregistered') return null;
  const values = { time: moment(since), duration: duration(Date.now() / 1000 - since) };
  const left = kind === 'waiting' && until !== null ? Math.max(1, Math.ceil(until - Date.now() / 1000)) : null;
  return [
    left !== null && h('p', { class: 'since next-try', 'data-test': 'next-try' }, t('ui.overview.next_try', { s: number(left) })),
    h('p', { class: 'since', 'data-test': 'since' }, fact === '' ? t('ui.overview.since', values) : t('ui.overview.since_state', { state: title, ...values })),
  ];
}

/** What each wish looks like. @type {Record<Action['wish'], import('../parts/icons.js').IconName | undefined>} */
const PICTURES = { start: 'play', resume: 'play', unlock: 'key', stop: 'stop', register: undefined, services: 'plus', settings: undefined, diagnostics: undefined };
/** Wishes that lead to a page. @type {Partial<Record<Action['wish'], import('../store.js').PageName>>} */
const PAGES = { register: 'setup', services: 'services', settings: 'settings', diagnostics: 'diagnostics' };

/** A wish that the program offers in this state. @param {Action} action */
function offer({ wish, label, primary }) {
  const page = PAGES[wish];
  const test = wish === 'register' ? 'go-setup' : page ? `go-${wish}` : wish;
  return button(label, () => void (page ? go(page) : grant(wish)), {
    test,
    look: primary ? 'primary' : 'plain',
    icon: PICTURES[wish],
    busy: wishing === wish,
    more: { key: wish },
  });
}

/** @param {Action['wish']} wish */
async function grant(wish) {
  wishing = wish;
  redraw();
  try {
    // What was paused goes on by being started; the program knows no other word for it.
    await call(/** @type {'start' | 'stop' | 'unlock'} */ (wish === 'resume' ? 'start' : wish));
  } catch (error) {
    complain(error);
  }
  wishing = null;
  redraw();
}

/** @param {'15min' | '1h' | 'tomorrow'} time */
function pause(time) {
  void call('pause', { for: time }).catch(complain);
}

function nothingYet() {
  return empty(
    t('ui.overview.empty_title'),
    t('ui.overview.empty_text'),
    button(t('ui.services.add'), () => go('services'), { test: 'go-services', look: 'primary', icon: 'plus' }),
    'empty',
  );
}

/** @param {Service} service @param {string} said  What the state says already. */
function service(service, said) {
  const { name, target, url, aliases, admits, light, words, proved_at, can_check } = service;
  return h(
    'section',
    { key: `service-${name}`, class: 'card service-card', 'aria-labelledby': `service-${name}`, 'data-test': `service-${name}`, 'data-light': light },
    h(
      'div',
      { class: 'card-head' },
      h('div', null, h('h2', { id: `service-${name}` }, name), h('p', { class: 'hint' }, h('code', { dir: 'ltr' }, target))),
      h(
        'div',
        { class: 'actions' },
        proved_at !== null && h('span', { class: 'hint', 'data-test': `proved-${name}` }, t('ui.overview.proved', { ago: ago(proved_at) })),
        can_check &&
          button(t('ui.overview.ping'), () => void ping(name), {
            test: `ping-${name}`,
            look: 'quiet',
            icon: 'again',
            busy: pinging.has(name),
            label: t('ui.overview.ping_label', { name }),
          }),
      ),
    ),
    (light === 'red' || light === 'up_to_server') && words.what !== said && banner(light === 'red' ? 'bad' : 'warn', words, { test: `words-${name}` }),
    path(service),
    // Who visits knows them; here they are only there to be passed on.
    url !== null &&
      h(
        'div',
        { class: 'addresses', role: 'group', 'aria-label': t('ui.overview.addresses') },
        aliases.map((alias) => address(alias, { test: `alias-${name}`, name: alias, only: 'copy' })),
        address(url, { test: `address-${name}`, name }),
      ),
    admits !== null && h('p', { class: 'hint', 'data-test': `admits-${name}` }, admits),
  );
}

/** @param {string} name */
async function ping(name) {
  pinging.add(name);
  redraw();
  try {
    await call('ping', { name });
  } catch (error) {
    complain(error);
  }
  pinging.delete(name);
  redraw();
}

/** An empty drawing says nothing while nothing can come. @param {View} view */
function moves({ state, services, traffic }) {
  const some = traffic.active > 0 || traffic.samples.some((sample) => sample.visits > 0);
  return services.length > 0 && (state.kind === 'online' || some);
}

/** @param {Traffic} traffic */
function traffic({ active, samples }) {
  const visits = samples.map((sample) => sample.visits);
  const total = visits.reduce((sum, n) => sum + n, 0);
  const out = samples.map((sample) => sample.from_service_bytes / SAMPLE);
  const into = samples.map((sample) => sample.to_service_bytes / SAMPLE);
  const now = samples.at(-1);
  const perSecond = now ? (now.from_service_bytes + now.to_service_bytes) / SAMPLE : 0;
  return h(
    'div',
    { class: 'pair' },
    card(
      t('ui.overview.requests'),
      [
        h('p', { class: 'figure', 'data-test': 'requests' }, h('strong', null, number(total)), h('span', null, t('ui.overview.last_two_minutes'))),
        bars(visits, plural(total, 'ui.overview.requests_chart_one', 'ui.overview.requests_chart')),
        h('p', { class: 'hint', 'data-test': 'active' }, active === 0 ? t('ui.overview.active_none') : plural(active, 'ui.overview.active_one', 'ui.overview.active')),
      ],
      { id: 'requests-title', test: 'requests-card' },
    ),
    card(
      t('ui.overview.data'),
      [
        h('p', { class: 'figure', 'data-test': 'throughput' }, h('strong', null, t('ui.overview.per_second', { size: bytes(perSecond) })), h('span', null, t('ui.overview.now'))),
        areas(out, into, t('ui.overview.data_chart', { size: bytes(perSecond) })),
        h(
          'p',
          { class: 'hint legend' },
          h('span', { class: 'legend-out' }, t('ui.overview.data_out')),
          h('span', { class: 'legend-in' }, t('ui.overview.data_in')),
        ),
      ],
      { id: 'data-title', test: 'data-card' },
    ),
  );
}

/** @param {Registered} registered */
function here({ server, vendor, name, since, server_words, key_words, told: list, round_trip_us }) {
  return card(
    t('ui.overview.here'),
    [
      facts([
        [t('ui.overview.server'), h('span', { 'data-test': 'server', dir: 'ltr' }, server)],
        vendor !== null && [t('ui.setup.vendor'), h('span', { 'data-test': 'vendor', dir: 'auto' }, vendor)],
        since !== null && [t('ui.overview.registered_since'), h('span', { 'data-test': 'registered-since' }, moment(since))],
        [t('ui.overview.device'), h('span', { 'data-test': 'device', dir: 'auto' }, name)],
      ]),
      folded('support', t('ui.overview.support'), [
        facts([
          round_trip_us !== null && [t('ui.overview.round_trip'), h('span', { 'data-test': 'round-trip', dir: 'ltr' }, took(round_trip_us))],
          [t('ui.overview.server_words'), [sixWords(server_words, 'server-words'), h('p', { class: 'hint' }, t('ui.overview.server_words_hint'))]],
          [t('ui.overview.key_words'), [sixWords(key_words, 'key-words'), h('p', { class: 'hint' }, t('ui.overview.key_words_hint'))]],
        ]),
      ]),
      told(list, 'told'),
    ],
    { id: 'here-title', test: 'here' },
  );
}
