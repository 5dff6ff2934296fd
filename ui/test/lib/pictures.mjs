// Every page and state that is worth a picture: how to get there. Used to draw docs/screenshots, and by the tests
// that look at each of them for accessibility and layout.

import { at, unfold } from './open.mjs';
import { INVITE_TEXT, said } from './fixtures.mjs';

/** @import { Page } from '@playwright/test' */
/** @import { Start } from './open.mjs' */

/**
 * @typedef {object} Picture
 * @property {Start} [start]
 * @property {(page: Page) => Promise<void>} [go]  From the opened page to what the picture shows.
 */

const { invites, refusals, applied, settings } = said('en');

/** @param {Page} page */
async function paste(page) {
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await page.locator(at('step-check')).waitFor();
}

/** @param {Page} page */
async function connect(page) {
  await paste(page);
  await page.locator(at('setup-connect')).click();
  await page.locator(at('choice-option-0')).waitFor();
}

/** @param {Page} page */
async function useFirst(page) {
  await connect(page);
  await page.locator(at('choice-option-0')).check();
  await page.locator(`${at('choice-tried')} .tried-line.tone-good`).waitFor();
}

/** @param {Page} page */
async function login(page) {
  await useFirst(page);
  await page.locator(at('service-use')).click();
  await page.locator(at('setup-finish')).waitFor();
}

/** @param {Page} page @param {string} text */
async function sourceOf(page, text) {
  await unfold(page, 'advanced');
  await page.locator(at('tab-source')).click();
  await page.locator(at('source')).fill(text);
  await page.locator(at('pending')).waitFor();
  // The answer to the last key.
  await page.waitForTimeout(350);
}

/** @satisfies {Record<string, Picture>} */
export const pictures = {
  overview: {},
  'overview-two-services': { start: { view: 'twoServices' } },
  'overview-service-down': { start: { view: 'serviceDown' } },
  'overview-front-broken': { start: { view: 'frontBroken' } },
  'overview-up-to-server': { start: { view: 'upToServer' } },
  'overview-checking': { start: { view: 'checking' } },
  'overview-withheld': { start: { view: 'withheld' } },
  'overview-empty': { start: { view: 'empty' } },
  'overview-off': { start: { view: 'off' } },
  'overview-paused': { start: { view: 'paused' } },
  'overview-connecting': { start: { view: 'connecting' } },
  'overview-waiting': { start: { view: 'waiting' } },
  'overview-stopped': { start: { view: 'stopped' } },
  'overview-locked': { start: { view: 'locked' } },
  'overview-broken': { start: { view: 'broken' } },
  'overview-notices': { start: { view: 'notices' } },
  'overview-newer': { start: { view: 'newer' } },
  'overview-installable': { start: { view: 'installable' } },
  'overview-updating': { start: { view: 'updating' } },
  'overview-not-signed': { start: { view: 'notSigned' } },
  'overview-outdated': { start: { view: 'outdated' } },
  'overview-pause-menu': { go: (page) => page.locator(at('pause')).click() },
  'overview-refused': {
    start: { change: { answers: { stop: { refuse: refusals.not_written } } } },
    go: async (page) => {
      await page.locator(at('stop')).click();
      await page.locator(at('toast')).waitFor();
    },
  },

  'setup-invite': { start: { view: 'unregistered' } },
  'setup-invite-link': { start: { view: 'unregistered', boot: { open: { page: 'setup', invite: INVITE_TEXT.replace(/^[^#]*/, 'petit://enroll') } } } },
  'setup-invite-wrong': {
    start: { view: 'unregistered' },
    go: async (page) => {
      await page.locator(at('invite')).fill('Dear Ms Meyer, thank you for your order.');
      await page.locator(at('invite-continue')).click();
      await page.locator(at('invite-error')).waitFor();
    },
  },
  'setup-check': { start: { view: 'unregistered' }, go: paste },
  'setup-check-expired': { start: { view: 'unregistered', change: { invite: invites.expired } }, go: paste },
  'setup-check-replace': {
    start: { page: 'setup', view: 'stopped', change: { invite: invites.replacing } },
    go: async (page) => {
      await paste(page);
      await page.locator(at('setup-connect')).click();
      await page.locator(at('replace-dialog')).waitFor();
    },
  },
  'setup-check-no-keychain': {
    start: { view: 'unregistered', change: { answers: { register: { refuse: refusals.no_keychain } } } },
    go: async (page) => {
      await paste(page);
      await page.locator(at('setup-connect')).click();
      await page.locator(at('key-in-file')).waitFor();
    },
  },
  'setup-service': { start: { view: 'unregistered' }, go: useFirst },
  'setup-service-typed': {
    start: { view: 'unregistered' },
    go: async (page) => {
      await connect(page);
      await page.locator(at('choice-other')).check();
      await page.locator(at('choice-target')).fill('localhost:9999');
      await page.locator(`${at('choice-tried')} .tried-line.tone-bad`).waitFor();
    },
  },
  'setup-login': { start: { view: 'unregistered' }, go: login },
  'setup-done': {
    start: { view: 'unregistered' },
    go: async (page) => {
      await login(page);
      await page.locator(at('setup-finish')).click();
      await page.locator(at('done-address-url')).waitFor();
    },
  },

  'setup-done-down': {
    start: { view: 'unregistered' },
    go: async (page) => {
      await connect(page);
      await page.locator(at('choice-other')).check();
      await page.locator(at('choice-target')).fill('localhost:9999');
      await page.locator(`${at('choice-tried')} .tried-line.tone-bad`).waitFor();
      await page.locator(at('service-use')).click();
      await page.locator(at('setup-finish')).click();
      await page.locator(at('done-address-url')).waitFor();
    },
  },

  services: { start: { page: 'services', view: 'twoServices' } },
  'services-down': { start: { page: 'services', view: 'serviceDown' } },
  'services-withheld': { start: { page: 'services', view: 'withheld' } },
  'services-empty': { start: { page: 'services', view: 'empty' } },
  'services-add': {
    start: { page: 'services', view: 'twoServices' },
    go: async (page) => {
      await page.locator(at('service-add')).click();
      await page.locator(at('choice-option-1')).check();
      await page.locator(`${at('choice-tried')} .tried-line.tone-warn`).waitFor();
    },
  },
  'services-remove': {
    start: { page: 'services', view: 'twoServices' },
    go: async (page) => {
      await page.locator(at('remove-accounts')).click();
      await page.locator(at('remove-dialog')).waitFor();
    },
  },

  settings: { start: { page: 'settings', view: 'twoServices' }, go: (page) => page.locator(at('form-name')).waitFor() },
  'settings-form': {
    start: { page: 'settings', view: 'twoServices' },
    go: async (page) => {
      await unfold(page, 'advanced');
      await page.locator(at('form-services-0-target')).fill('localhost');
      await page.locator(at('form-services-0-target-error')).waitFor();
      await page.locator(at('form-service-1')).scrollIntoViewIfNeeded();
    },
  },
  'settings-source': {
    start: { page: 'settings', view: 'twoServices' },
    go: async (page) => {
      await unfold(page, 'advanced');
      await page.locator(at('tab-source')).click();
      await page.locator(at('source')).scrollIntoViewIfNeeded();
    },
  },
  'settings-source-wrong': {
    start: { page: 'settings', view: 'twoServices' },
    go: async (page) => {
      await sourceOf(page, settings.wrong.text);
      await page.locator(at('source-problems')).scrollIntoViewIfNeeded();
    },
  },
  'settings-unreadable': {
    start: { page: 'settings', view: 'twoServices' },
    go: async (page) => {
      await sourceOf(page, settings.unreadable.text);
      await page.locator(at('tab-form')).click();
      await page.locator(at('form-unreadable')).scrollIntoViewIfNeeded();
    },
  },
  'settings-diff': {
    start: { page: 'settings', view: 'twoServices' },
    go: async (page) => {
      await sourceOf(page, settings.changed.text);
      await page.locator(at('settings-review')).click();
      await page.locator(at('diff')).waitFor();
    },
  },
  'settings-rolled-back': {
    start: {
      page: 'settings',
      view: 'twoServices',
      change: { answers: { apply_settings: { value: { done: false, rolled_back: true, words: applied.rolled_back } } } },
    },
    go: async (page) => {
      await sourceOf(page, settings.changed.text);
      await page.locator(at('settings-review')).click();
      await page.locator(at('diff-apply')).click();
      await page.locator(at('rolled-back')).scrollIntoViewIfNeeded();
    },
  },
  'settings-forget': {
    start: { page: 'settings', view: 'twoServices' },
    go: async (page) => {
      await page.locator(at('forget')).click();
      await page.locator(at('forget-dialog')).waitFor();
    },
  },

  logs: { start: { page: 'logs' }, go: (page) => page.locator('.log-line').last().waitFor() },
  'logs-filtered': {
    start: { page: 'logs' },
    go: async (page) => {
      await page.locator(at('logs-problems')).check();
      await page.locator(at('logs-filter')).fill('archive');
      await page.waitForTimeout(200);
      await page.locator(at('logs-pause')).click();
    },
  },
  'logs-empty': { start: { page: 'logs', change: { logs: [] } } },

  diagnostics: { start: { page: 'diagnostics' }, go: (page) => page.locator(at('doctor-summary')).waitFor() },
  'diagnostics-bad': { start: { page: 'diagnostics', view: 'waiting', change: { checks: said('en').checks.unwell } }, go: (page) => page.locator(at('doctor-summary')).waitFor() },
  'diagnostics-report': {
    start: { page: 'diagnostics' },
    go: async (page) => {
      await page.locator(at('bundle')).click();
      await page.locator(at('bundle-text')).waitFor();
    },
  },

  about: { start: { page: 'about' } },
  'about-quit': {
    start: { page: 'about' },
    go: async (page) => {
      await page.locator(at('quit')).click();
      await page.locator(at('quit-dialog')).waitFor();
    },
  },
};

/** @typedef {keyof typeof pictures} PictureName */
export const names = /** @type {PictureName[]} */ (Object.keys(pictures));

/** @param {PictureName} name @returns {Picture} */
export const picture = (name) => pictures[name];

