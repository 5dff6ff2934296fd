// First run: paste the invite, look at who it is from, choose the program, start on login, done.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { call } from '../ipc.js';
import { createChoice } from '../parts/choice.js';
import { address, banner, button, facts, folded, pageHead, problem, sixWords, toggle, told } from '../parts/controls.js';
import { close, dialog } from '../parts/dialog.js';
import { fieldError, moment, sentence } from '../parts/format.js';
import { icon, mark } from '../parts/icons.js';
import { complain, wordsOf } from '../parts/live.js';
import { go } from '../router.js';
import { adopt, app, boot, redraw } from '../store.js';

/** @import { Invite, Refused, View } from '../contract.d.ts' */
/** @import { Child } from '../dom.js' */
/** @import { Choice } from '../parts/choice.js' */

const STEPS = /** @type {const} */ (['invite', 'check', 'service', 'login', 'done']);
/** @typedef {typeof STEPS[number]} Step */

/** The answer of `register` that is not the end: there is no keychain, but a file would do, if wanted. */
const NO_KEYCHAIN = 'no_keychain';

function fresh() {
  return {
    step: /** @type {Step} */ ('invite'),
    /** Emptied as soon as it has been used up. */
    text: '',
    fromLink: false,
    invite: /** @type {Invite | null} */ (null),
    error: /** @type {unknown} */ (null),
    busy: false,
    replacing: false,
    keyInFile: false,
    choice: /** @type {Choice | null} */ (null),
    /** Names of services that were set up before and that the vendor may reach as well. @type {Set<string>} */
    share: new Set(),
    /** What there is to know of the registration that was replaced. @type {import('../contract.d.ts').Words | null} */
    former: null,
    /** What `register` gave: the first service's name and its public address. */
    given: /** @type {{ service: string, url: string } | null} */ (null),
    startOnLogin: true,
    /** Nothing was set up when this began. */
    isFirst: app().view?.registered === null,
  };
}

let state = fresh();

/** @param {Partial<ReturnType<typeof fresh>>} change */
function become(change) {
  const stepped = change.step !== undefined && change.step !== state.step;
  Object.assign(state, change);
  redraw();
  // A new step is a new page to whoever listens or walks by keyboard.
  if (stepped) setTimeout(() => document.querySelector('h1')?.focus());
}

/** Fills in the invite that a link brought; nothing is done with it until the person says so. @param {string} text */
export function fillIn(text) {
  state = { ...fresh(), text, fromLink: true };
  redraw();
  focusInvite();
}

/** What is on the clipboard can be pasted at once. */
function focusInvite() {
  if (state.step === 'invite') setTimeout(() => document.getElementById('invite')?.focus());
}

/** Until there is something to look at, a menu would lead nowhere. */
export const isFirstRun = () => state.isFirst;

export const setup = {
  title: () => t('ui.nav.setup'),
  enter() {
    // Forgotten in between, what was begun has nothing to go on with.
    const forgotten = (state.step === 'service' || state.step === 'login') && app().view.can.register;
    // What was begun with nothing typed begins with what is so now.
    if (state.step === 'done' || forgotten || (state.step === 'invite' && state.text === '')) state = fresh();
    focusInvite();
  },
  leave() {},
  draw() {
    return h('div', { class: 'setup' }, stepper(), h('div', { key: state.step, class: 'setup-step', 'data-test': `step-${state.step}` }, STEP[state.step]()));
  },
};

/** @type {Record<Step, () => Child>} */
const STEP = { invite: inviteStep, check: checkStep, service: serviceStep, login: loginStep, done: doneStep };

function stepper() {
  const at = STEPS.indexOf(state.step);
  const names = [t('ui.setup.step_invite'), t('ui.setup.step_check'), t('ui.setup.step_service'), t('ui.setup.step_login')];
  return h(
    'ol',
    { class: 'stepper', 'aria-label': t('ui.setup.steps') },
    names.map((name, i) =>
      h(
        'li',
        { class: i < at ? 'past' : i === at ? 'current' : 'ahead', 'aria-current': i === at ? 'step' : undefined },
        h('span', { class: 'stepper-number', 'aria-hidden': 'true' }, i < at ? icon('check') : i + 1),
        h('span', { class: 'stepper-name' }, name),
        i < at && h('span', { class: 'unseen' }, t('ui.setup.step_past')),
      ),
    ),
  );
}

function inviteStep() {
  const wrong = state.error === null ? null : wordsOf(state.error);
  return h(
    'form',
    {
      novalidate: true,
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        void readInvite();
      },
    },
    pageHead(t('ui.setup.invite_title'), t('ui.setup.invite_lead')),
    state.fromLink && banner('warn', { what: t('ui.setup.link'), todo: t('ui.setup.link_advice') }, { test: 'invite-from-link' }),
    h(
      'div',
      { class: 'field' },
      h('label', { for: 'invite' }, t('ui.setup.invite_label')),
      h('textarea', {
        id: 'invite',
        class: 'input mono',
        'data-test': 'invite',
        dir: 'ltr',
        rows: 4,
        autocomplete: 'off',
        autocapitalize: 'none',
        spellcheck: 'false',
        'aria-invalid': wrong ? 'true' : undefined,
        'aria-describedby': wrong ? 'invite-error' : 'invite-hint',
        value: state.text,
        oninput: (/** @type {Event} */ event) => become({ text: /** @type {HTMLTextAreaElement} */ (event.target).value, error: null }),
        onkeydown: (/** @type {KeyboardEvent} */ event) => {
          // One thing is pasted here: Enter goes on, as in a line.
          if (event.key !== 'Enter' || event.shiftKey) return;
          event.preventDefault();
          void readInvite();
        },
      }),
      wrong
        ? h('p', { class: 'field-error', id: 'invite-error', role: 'alert', 'data-test': 'invite-error' }, mark('bad'), h('span', null, h('strong', null, wrong.what), ' ', wrong.todo))
        : h('p', { class: 'hint', id: 'invite-hint' }, t('ui.setup.invite_hint')),
    ),
    h(
      'div',
      { class: 'step-actions' },
      state.fromLink && button(t('ui.common.cancel'), () => cancel(), { test: 'setup-cancel' }),
      h(
        'button',
        { type: 'submit', class: 'button primary', 'data-test': 'invite-continue', 'aria-busy': state.busy ? 'true' : undefined },
        state.busy && mark('busy'),
        h('span', null, t('ui.common.continue')),
      ),
    ),
  );
}

function cancel() {
  state = fresh();
  redraw();
  go('overview');
}

async function readInvite() {
  if (state.busy) return;
  if (state.text.trim() === '') {
    const words = { what: t('ui.setup.invite_empty'), todo: '' };
    become({ error: { code: 'empty', words, field: null } });
    document.getElementById('invite')?.focus();
    return;
  }
  become({ busy: true, error: null });
  try {
    const invite = await call('read_invite', { text: state.text });
    const share = new Set(invite.kept.filter((kept) => kept.chosen).map((kept) => kept.name));
    become({ busy: false, invite, share, step: 'check', keyInFile: false });
  } catch (error) {
    become({ busy: false, error });
    document.getElementById('invite')?.focus();
  }
}

function checkStep() {
  const invite = /** @type {Invite} */ (state.invite);
  const refused = /** @type {Refused | null} */ (state.error);
  const noKeychain = refused?.code === NO_KEYCHAIN;
  return [
    pageHead(t('ui.setup.check_title'), t('ui.setup.check_lead')),
    invite.expired &&
      banner('bad', { what: t('ui.setup.expired', { time: moment(invite.not_after) }), todo: t('ui.setup.expired_advice') }, { test: 'invite-expired' }),
    h(
      'div',
      { class: 'card' },
      facts([
        [t('ui.setup.server'), h('strong', { 'data-test': 'invite-server', dir: 'ltr' }, invite.server)],
        invite.vendor !== null && [t('ui.setup.vendor'), [h('span', { 'data-test': 'invite-vendor', dir: 'auto' }, invite.vendor), h('p', { class: 'hint' }, t('ui.setup.vendor_hint'))]],
        [t('ui.setup.words'), [sixWords(invite.server_words, 'invite-words'), h('p', { class: 'hint' }, t('ui.setup.words_hint'))]],
        [t('ui.setup.exposes'), h('p', { 'data-test': 'invite-exposes' }, invite.exposes)],
        !invite.expired && [t('ui.setup.valid'), t('ui.setup.valid_until', { time: moment(invite.not_after) })],
      ]),
      folded('fingerprint', t('ui.setup.fingerprint'), h('code', { dir: 'ltr', 'data-test': 'invite-fingerprint' }, invite.fingerprint)),
      told(invite.told, 'invite-told'),
    ),
    invite.kept.length > 0 && kept(invite),
    invite.replaces !== null &&
      banner('warn', { what: t('ui.setup.replaces', { server: invite.replaces }), todo: t('ui.setup.replaces_text') }, { test: 'invite-replaces' }),
    refused && !noKeychain && problem(refused, 'register-error'),
    refused && noKeychain && keychainMissing(refused),
    h(
      'div',
      { class: 'step-actions' },
      button(t('ui.common.back'), () => become({ step: 'invite', error: null }), { test: 'setup-back' }),
      !invite.expired &&
        button(noKeychain && !state.keyInFile ? t('ui.common.again') : t('ui.setup.connect'), connect, {
          test: 'setup-connect',
          look: 'primary',
          busy: state.busy && !state.replacing,
        }),
    ),
    state.replacing && replaceDialog(invite),
  ];
}

/** What is set up already, with a tick each: nothing of it is reached unasked. @param {Invite} invite */
function kept(invite) {
  return h(
    'fieldset',
    { class: 'card', 'data-test': 'invite-kept' },
    h('legend', null, t('ui.setup.kept')),
    h('p', { class: 'hint' }, t('ui.setup.kept_hint')),
    h(
      'ul',
      { class: 'options' },
      invite.kept.map(({ name, target }) =>
        h(
          'li',
          { key: name },
          h(
            'label',
            { class: 'option' },
            h('input', {
              type: 'checkbox',
              'data-test': `share-${name}`,
              checked: state.share.has(name),
              onchange: (/** @type {Event} */ event) => {
                const share = new Set(state.share);
                if (/** @type {HTMLInputElement} */ (event.target).checked) share.add(name);
                else share.delete(name);
                become({ share });
              },
            }),
            h('span', { class: 'option-text' }, h('strong', null, name), h('span', { class: 'option-detail' }, h('code', { dir: 'ltr' }, target))),
          ),
        ),
      ),
    ),
  );
}

/** @param {Refused} refused */
function keychainMissing(refused) {
  return h(
    'div',
    { class: 'stack' },
    problem(refused, 'keychain-missing'),
    h(
      'label',
      { class: 'option' },
      h('input', {
        type: 'checkbox',
        'data-test': 'key-in-file',
        checked: state.keyInFile,
        onchange: (/** @type {Event} */ event) => become({ keyInFile: /** @type {HTMLInputElement} */ (event.target).checked }),
      }),
      h('span', { class: 'option-text' }, h('strong', null, t('ui.setup.key_in_file')), h('span', { class: 'hint' }, t('ui.setup.key_in_file_hint'))),
    ),
  );
}

function connect() {
  if (state.invite?.replaces) become({ replacing: true });
  else void register(false);
}

/** @param {Invite} invite */
function replaceDialog(invite) {
  const values = { server: invite.replaces ?? '', new: invite.server };
  return dialog({
    test: 'replace-dialog',
    title: t('ui.setup.replace_title', values),
    body: h('p', null, t('ui.setup.replace_text', values)),
    busy: state.busy,
    closed: () => become({ replacing: false }),
    actions: [
      button(t('ui.common.cancel'), close, { test: 'replace-cancel', disabled: state.busy, more: { autofocus: true } }),
      button(t('ui.setup.replace_do'), (event) => void register(true, event), { test: 'replace-confirm', look: 'danger', busy: state.busy }),
    ],
  });
}

/** @param {boolean} replace @param {Event} [event] */
async function register(replace, event) {
  const opened = event?.currentTarget;
  become({ busy: true, error: null });
  try {
    const given = await call('register', { text: state.text, key_store: state.keyInFile ? 'file' : 'keychain', replace });
    const known = state.invite?.kept.find((kept) => kept.name === given.service && state.share.has(kept.name));
    const choice = createChoice('choice', known ? { target: known.target, kind: known.kind } : null);
    // The invite has done its work; nothing of it is kept.
    become({ busy: false, replacing: false, given, former: given.former, choice, text: '', invite: null, step: 'service' });
    void choice.load();
  } catch (error) {
    if (opened instanceof Element) opened.closest('dialog')?.close();
    become({ busy: false, replacing: false, error });
  }
}

function serviceStep() {
  const choice = /** @type {Choice} */ (state.choice);
  // It may come up later, so it can be chosen all the same; what follows says that it is not there yet.
  const isDead = choice.isDead;
  const refused = /** @type {Refused | null} */ (state.error);
  const ofTarget = refused?.field?.endsWith('target') ? fieldError(refused) : null;
  return [
    pageHead(t('ui.setup.service_title'), t('ui.setup.service_lead')),
    state.former && banner('warn', state.former, { test: 'former' }),
    h('div', { class: 'card' }, choice.draw(ofTarget)),
    refused && ofTarget === null && problem(refused, 'service-error'),
    h(
      'div',
      { class: 'step-actions foot' },
      button(state.share.size > 0 ? t('ui.setup.only_kept') : t('ui.setup.later'), () => void choose(null), { test: 'service-later', look: 'quiet' }),
      button(isDead ? t('ui.setup.use_anyway') : t('ui.setup.use'), () => void useService(), {
        test: 'service-use',
        look: isDead ? 'plain' : 'primary',
        busy: state.busy,
        disabled: choice.value() === null,
      }),
    ),
  ];
}

async function useService() {
  const target = state.choice?.value();
  if (!target || !state.given) return;
  await choose({ name: state.given.service, kind: target.kind, target: target.target });
}

/** From here on the vendor reaches what was ticked, and this program. @param {import('../contract.d.ts').FormService | null} service */
async function choose(service) {
  become({ busy: true, error: null });
  try {
    if (service !== null || state.share.size > 0) await call('choose', { share: [...state.share], service });
    become({ busy: false, step: 'login' });
  } catch (error) {
    become({ busy: false, error });
  }
}

function loginStep() {
  return [
    pageHead(t('ui.setup.login_title'), t('ui.setup.login_lead')),
    h(
      'div',
      { class: 'card' },
      toggle('setup-login', t('ui.settings.start_on_login'), t('ui.setup.login_hint'), state.startOnLogin, (on) => become({ startOnLogin: on })),
    ),
    h('div', { class: 'step-actions' }, button(t('ui.setup.finish'), () => void finish(), { test: 'setup-finish', look: 'primary', busy: state.busy })),
  ];
}

async function finish() {
  become({ busy: true });
  try {
    adopt(await call('set_prefs', { prefs: { ...boot().prefs, start_on_login: state.startOnLogin } }));
  } catch (error) {
    // The tunnel is there all the same: say what did not work, and go on.
    complain(error);
  }
  become({ busy: false, step: 'done' });
}

/** How far it is: never more than what was seen. @param {View} view @returns {{ title: string, lead: string }} */
function outcome({ headline, services }) {
  const lead = t('ui.setup.done_lead');
  if (headline.tone === 'good') return { title: t('ui.setup.done_title'), lead };
  if (headline.tone === 'busy') return { title: t('ui.setup.done_trying_title'), lead };
  const isWhole = services.every((service) => service.light === 'green' || service.light === 'up_to_server');
  if (isWhole) return { title: t('ui.setup.done_unproved_title'), lead };
  return { title: t('ui.setup.done_down_title'), lead: t('ui.setup.done_down_lead') };
}

function doneStep() {
  const { view } = app();
  const given = state.given;
  const service = view.services.find((entry) => entry.name === given?.service) ?? view.services[0];
  const url = service?.url ?? (service?.name === given?.service ? given?.url : null);
  const { headline } = view;
  const { title, lead } = service ? outcome(view) : { title: t('ui.setup.done_without_title'), lead: t('ui.setup.done_without_lead') };
  return h(
    'div',
    { class: 'setup-done' },
    h('div', { class: `hero-mark tone-${service ? headline.tone : 'off'}` }, mark(service ? headline.tone : 'off', 'mark-large')),
    pageHead(title, lead),
    service &&
      h(
        'div',
        { class: 'setup-state', 'data-test': 'setup-state' },
        h('p', null, h('strong', null, headline.title)),
        h('p', null, sentence(headline.detail)),
        headline.advice !== '' && h('p', { class: 'advice' }, sentence(headline.advice)),
      ),
    url && service && address(url, { test: 'done-address', name: service.name }),
    h('div', { class: 'step-actions' }, button(t('ui.setup.to_overview'), () => go('overview'), { test: 'setup-done', look: 'primary' })),
  );
}
