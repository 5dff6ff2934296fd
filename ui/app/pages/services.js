// What of this computer can be reached: list, add, change, remove.

import { h } from '../dom.js';
import { plural, t } from '../i18n.js';
import { call } from '../ipc.js';
import { createChoice } from '../parts/choice.js';
import { address, badge, banner, button, card, empty, field, pageHead, problem } from '../parts/controls.js';
import { close, closeNamed, dialog } from '../parts/dialog.js';
import { ago, bytes, fieldError } from '../parts/format.js';
import { complain, toast } from '../parts/live.js';
import { app, redraw } from '../store.js';

/** @import { Refused, Service, View } from '../contract.d.ts' */
/** @import { Choice } from '../parts/choice.js' */
/** @import { Tone } from '../contract.d.ts' */

/** @type {{ before: string | null, name: string, choice: Choice, busy: boolean, error: Refused | null } | null} */
let editing = null;
/** @type {{ service: Service, giveBack: boolean, busy: boolean, error: unknown } | null} */
let removing = null;

export const services = {
  title: () => t('ui.nav.services'),
  enter() {},
  leave() {
    editing = null;
    removing = null;
  },
  draw() {
    const { view } = app();
    const canAdd = view.registered !== null;
    return [
      pageHead(
        t('ui.nav.services'),
        t('ui.services.lead'),
        canAdd && button(t('ui.services.add'), () => edit(null), { test: 'service-add', look: 'primary', icon: 'plus' }),
      ),
      !canAdd && empty(t('ui.services.unregistered_title'), t('ui.services.unregistered_text'), null, 'services-unregistered'),
      canAdd && view.services.length === 0 && view.withheld.length === 0 && empty(t('ui.overview.empty_title'), t('ui.overview.empty_text'), null, 'services-empty'),
      h('ul', { class: 'service-list', 'data-test': 'services' }, view.services.map(entry)),
      view.withheld.length > 0 && withheld(view),
      editing && editDialog(editing),
      removing && removeDialog(removing),
    ];
  },
};

/** Set up before this vendor, and not chosen for it. @param {View} view */
function withheld({ withheld, registered }) {
  const vendor = registered?.vendor ?? registered?.server ?? '';
  return card(
    t('ui.services.withheld'),
    [
      h('p', { class: 'hint' }, t('ui.services.withheld_text', { vendor })),
      h(
        'ul',
        { class: 'plain-list' },
        withheld.map(({ name, target }) =>
          h(
            'li',
            { key: name, class: 'withheld', 'data-test': `withheld-${name}` },
            h('span', null, h('strong', null, name), ' ', h('code', { dir: 'ltr' }, target)),
            button(t('ui.services.share'), () => void share(name), { test: `share-${name}`, label: t('ui.services.share_label', { name }) }),
          ),
        ),
      ),
    ],
    { id: 'withheld-title', test: 'withheld' },
  );
}

/** @param {string} name */
async function share(name) {
  try {
    await call('share', { name });
    toast('good', t('ui.services.shared', { name }));
  } catch (error) {
    complain(error);
  }
}

/** @type {Record<Service['light'], Tone>} */
const TONES = { green: 'good', up_to_server: 'warn', red: 'bad', checking: 'busy', off: 'off' };

/** @param {Service} service */
function light({ light, name }) {
  switch (light) {
    case 'green':
      return badge(TONES[light], t('ui.light.green'), `light-${name}`);
    case 'up_to_server':
      return badge(TONES[light], t('ui.light.up_to_server'), `light-${name}`);
    case 'red':
      return badge(TONES[light], t('ui.light.red'), `light-${name}`);
    case 'checking':
      return badge(TONES[light], t('ui.light.checking'), `light-${name}`);
    case 'off':
      return badge(TONES[light], t('ui.light.off'), `light-${name}`);
  }
}

/** @param {Service} service */
function entry(service) {
  const { name, kind, target, url, admits } = service;
  return h(
    'li',
    { key: name, class: 'card service-entry', 'data-test': `entry-${name}`, 'data-light': service.light },
    h(
      'div',
      { class: 'card-head' },
      h('div', { class: 'service-title' }, h('h2', null, name), light(service)),
      h(
        'div',
        { class: 'actions' },
        button(t('ui.services.change'), () => edit(service), { test: `change-${name}`, look: 'quiet', icon: 'edit', label: t('ui.services.change_label', { name }) }),
        button(t('ui.services.remove'), () => remove(service), { test: `remove-${name}`, look: 'quiet', icon: 'bin', label: t('ui.services.remove_label', { name }) }),
      ),
    ),
    service.light === 'red' && banner('bad', service.words, { test: `entry-words-${name}` }),
    h(
      'p',
      { class: 'service-where' },
      h('code', { dir: 'ltr', 'data-test': `target-${name}` }, target),
      h('span', { class: 'hint' }, kind === 'http' ? t('ui.kind.http') : t('ui.kind.tcp')),
    ),
    url === null ? h('p', { class: 'hint' }, t('ui.services.no_address')) : address(url, { test: `entry-address-${name}`, name }),
    admits !== null && h('p', { class: 'hint', 'data-test': `entry-admits-${name}` }, admits),
    h('p', { class: 'hint' }, counts(service)),
  );
}

/** @param {Service} service */
function counts({ visits, from_service_bytes, to_service_bytes, proved_at }) {
  const parts = [
    visits === 0 ? t('ui.services.connections_none') : plural(visits, 'ui.services.connections_one', 'ui.services.connections'),
    visits > 0 && t('ui.services.bytes', { out: bytes(from_service_bytes), in: bytes(to_service_bytes) }),
    proved_at !== null && t('ui.overview.proved', { ago: ago(proved_at) }),
  ];
  return parts.filter(Boolean).join(' · ');
}

/** @param {Service | null} service */
function edit(service) {
  editing = {
    before: service?.name ?? null,
    name: service?.name ?? app().view.suggested,
    choice: createChoice('choice', service ? { target: service.target, kind: service.kind } : null),
    busy: false,
    error: null,
  };
  redraw();
  void editing.choice.load();
}

/** @param {NonNullable<typeof editing>} state */
function editDialog(state) {
  const { before, name, choice, busy, error } = state;
  /** @param {string} of */
  const about = (of) => (error?.field?.split('.').at(-1) === of ? fieldError(error) : null);
  const elsewhere = error && about('name') === null && about('target') === null;
  return dialog({
    test: 'service-dialog',
    title: before === null ? t('ui.services.add_title') : t('ui.services.change_title', { name: before }),
    wide: true,
    busy,
    closed: () => {
      editing = null;
      redraw();
    },
    body: [
      field('service-name', { label: t('ui.services.name'), hint: hint(before), error: about('name') }, (tie) =>
        h('input', {
          ...tie,
          type: 'text',
          class: 'input',
          dir: 'ltr',
          'data-test': 'service-name',
          autocomplete: 'off',
          autocapitalize: 'none',
          spellcheck: 'false',
          value: name,
          oninput: (/** @type {Event} */ event) => {
            state.name = /** @type {HTMLInputElement} */ (event.target).value;
            state.error = null;
            redraw();
          },
        }),
      ),
      choice.draw(about('target')),
      elsewhere && problem(error, 'service-error'),
    ],
    actions: [
      button(t('ui.common.cancel'), close, { test: 'service-cancel', disabled: busy }),
      button(before === null ? t('ui.services.add_do') : t('ui.common.save'), () => void save(state), {
        test: 'service-save',
        look: 'primary',
        busy,
        disabled: choice.value() === null || name.trim() === '',
      }),
    ],
  });
}

/** The name that the vendor waits for, as long as no service has it. @param {string | null} before */
function hint(before) {
  const { invited } = app().view;
  return before === null && invited !== null ? t('ui.services.name_invited', { name: invited }) : t('ui.services.name_hint');
}

/** @param {NonNullable<typeof editing>} state */
async function save(state) {
  const target = state.choice.value();
  if (!target) return;
  state.busy = true;
  state.error = null;
  redraw();
  try {
    const name = state.name.trim();
    await call('set_service', { before: state.before, service: { name, kind: target.kind, target: target.target } });
    state.busy = false;
    closeNamed('service-dialog');
    toast('good', state.before === null ? t('ui.services.added', { name }) : t('ui.services.changed', { name }));
  } catch (error) {
    state.busy = false;
    state.error = /** @type {Refused} */ (error);
    redraw();
    if (state.error.field?.endsWith('name')) document.getElementById('service-name')?.focus();
  }
}

/** @param {Service} service */
function remove(service) {
  removing = { service, giveBack: false, busy: false, error: null };
  redraw();
}

/** @param {NonNullable<typeof removing>} state */
function removeDialog(state) {
  const { service, giveBack, busy, error } = state;
  const values = { name: service.name };
  /** @param {boolean} back @param {string} test @param {string} title @param {string} text */
  const option = (back, test, title, text) =>
    h(
      'label',
      { class: 'option' },
      h('input', {
        type: 'radio',
        name: 'give-back',
        'data-test': test,
        checked: giveBack === back,
        onchange: () => {
          state.giveBack = back;
          redraw();
        },
      }),
      h('span', { class: 'option-text' }, h('strong', null, title), h('span', { class: 'hint' }, text)),
    );
  return dialog({
    test: 'remove-dialog',
    title: t('ui.services.remove_title', values),
    busy,
    closed: () => {
      removing = null;
      redraw();
    },
    body: [
      h('p', null, t('ui.services.remove_text')),
      service.url !== null &&
        h(
          'fieldset',
          null,
          h('legend', null, t('ui.services.remove_address')),
          h('p', { class: 'hint' }, h('code', { dir: 'ltr' }, service.url)),
          h(
            'div',
            { class: 'options' },
            option(false, 'keep-address', t('ui.services.keep'), t('ui.services.keep_text')),
            option(true, 'give-back-address', t('ui.services.give_back'), t('ui.services.give_back_text')),
          ),
        ),
      error !== null && problem(error, 'remove-error'),
    ],
    actions: [
      button(t('ui.common.cancel'), close, { test: 'remove-cancel', disabled: busy, more: { autofocus: true } }),
      button(t('ui.services.remove_do'), () => void removeNow(state), { test: 'remove-confirm', look: 'danger', busy }),
    ],
  });
}

/** @param {NonNullable<typeof removing>} state */
async function removeNow(state) {
  const { name } = state.service;
  state.busy = true;
  redraw();
  try {
    await call('remove_service', { name, give_back: state.giveBack });
    state.busy = false;
    closeNamed('remove-dialog');
    // The button that opened the question went with its service.
    setTimeout(() => document.querySelector('h1')?.focus());
    toast('good', t('ui.services.removed', { name }));
  } catch (error) {
    state.busy = false;
    state.error = error;
    redraw();
    if (!removing) complain(error);
  }
}
