// Opens the page against the fake and watches that nothing untoward happens.

import { expect, test as base } from '@playwright/test';

import { install } from './fake.mjs';
import { CONFIG, NOW, boot, bundle, logLines, said } from './fixtures.mjs';
import { serve } from './server.mjs';

/** @import { Page } from '@playwright/test' */
/** @import { Boot, Opening } from '../../app/contract.d.ts' */
/** @import { Lang, ViewName } from './fixtures.mjs' */
/** @import { Scenario } from './fake.mjs' */

/** @typedef {{ view?: ViewName, lang?: Lang, page?: Opening['page'], boot?: Partial<Boot>, change?: Partial<Scenario> }} Start */

/** @param {Start} start @returns {Scenario} */
export function scenario({ view = 'online', lang = 'en', page = 'overview', boot: change, change: rest }) {
  return {
    boot: boot(lang, view, { open: { page, invite: null }, ...change }),
    said: said(lang),
    invite: said(lang).invites.new,
    listening: said(lang).listening,
    config: CONFIG,
    checks: said(lang).checks.well,
    bundle,
    logs: logLines(120),
    answers: {},
    ...rest,
  };
}

/** @param {Page} page @param {Start} [start] */
export async function open(page, start = {}) {
  await page.clock.setFixedTime(NOW * 1000);
  await page.addInitScript(install, scenario(start));
  await page.goto('/');
  await page.locator('main').waitFor();
}

/** @param {string} name */
export const at = (name) => `[data-test="${name}"]`;

/** Unfolds what is shown on wish. @param {Page} page @param {string} name */
export async function unfold(page, name) {
  await page.locator(at(`${name}-open`)).click();
}

/** What the page has asked for so far. @param {Page} page @param {string} [wish] @returns {Promise<{ wish: string, args: any }[]>} */
export async function calls(page, wish) {
  const all = await page.evaluate(() => /** @type {any} */ (window).fake.calls);
  return wish === undefined ? all : all.filter((/** @type {{ wish: string }} */ call) => call.wish === wish);
}

/** Shows a view as if it had just changed. @param {Page} page @param {import('../../app/contract.d.ts').View} view */
export async function show(page, view) {
  await page.evaluate((next) => /** @type {any} */ (window).fake.show(next), view);
}

/** @typedef {import('@playwright/test').PlaywrightTestArgs & import('@playwright/test').PlaywrightTestOptions} TestArgs */
/** @typedef {import('@playwright/test').PlaywrightWorkerArgs & import('@playwright/test').PlaywrightWorkerOptions} WorkerArgs */

/** Each worker serves the page to itself. @type {import('@playwright/test').Fixtures<{}, { origin: string }, TestArgs, WorkerArgs>} */
const served = {
  origin: [
    async ({}, use) => {
      const server = await serve();
      await use(server.origin);
      server.stop();
    },
    { scope: 'worker' },
  ],
  baseURL: async ({ origin }, use) => use(origin),
};

/** For what is meant to go wrong. */
export const unwatched = base.extend(served);

/** A test fails when the page wrote an error, broke the policy, or asked for anything beyond its origin. */
export const test = unwatched.extend({
  page: async ({ page, baseURL }, use) => {
    /** @type {string[]} */
    const wrong = [];
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && wrong.push(message.text()));
    page.on('pageerror', (error) => wrong.push(String(error)));
    page.on('requestfailed', (request) => wrong.push(`failed: ${request.url()}`));
    page.on('request', (request) => {
      if (!request.url().startsWith(String(baseURL)) && !request.url().startsWith('data:')) wrong.push(`left the origin: ${request.url()}`);
    });
    await use(page);
    expect(wrong).toEqual([]);
  },
});

export { expect };
