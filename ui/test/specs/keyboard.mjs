// Every flow without a mouse: Tab to it, Enter, Space, arrows, Escape. (Setting up is walked in setup.mjs.)

import { at, calls, expect, open, test } from '../lib/open.mjs';

/** @import { Page } from '@playwright/test' */

/** @param {Page} page @param {string} name */
async function tabTo(page, name) {
  for (let n = 0; n < 60; n += 1) {
    await page.keyboard.press('Tab');
    const reached = await page.evaluate(() => document.activeElement?.getAttribute('data-test'));
    if (reached === name) return;
  }
  throw new Error(`Tab does not reach ${name}`);
}

/** @param {Page} page @param {string} name */
async function press(page, name) {
  await tabTo(page, name);
  await page.keyboard.press('Enter');
}

test('stop, start and pause', async ({ page }) => {
  await open(page);
  await press(page, 'stop');
  await page.locator(at('start')).waitFor();
  await press(page, 'start');
  await page.locator(at('pause')).waitFor();
  await press(page, 'pause');
  await page.keyboard.press('End');
  await page.keyboard.press('Enter');
  await expect(page.locator(at('hero'))).toHaveAttribute('data-state', 'paused');
  expect((await calls(page, 'pause'))[0]?.args).toEqual({ for: 'tomorrow' });
});

test('add a service, then remove it and give its address back', async ({ page }) => {
  await open(page, { page: 'services', view: 'empty' });
  await press(page, 'service-add');
  await page.locator(at('choice-option-0')).waitFor();
  await tabTo(page, 'choice-option-0');
  await page.keyboard.press('Space');
  await press(page, 'service-save');
  await page.locator(at('entry-accounts')).waitFor();
  await press(page, 'remove-accounts');
  await expect(page.locator(at('remove-cancel'))).toBeFocused();
  await tabTo(page, 'keep-address');
  await page.keyboard.press('ArrowDown');
  await press(page, 'remove-confirm');
  await expect(page.locator(at('entry-accounts'))).toHaveCount(0);
  expect((await calls(page, 'remove_service'))[0]?.args).toEqual({ name: 'accounts', give_back: true });
});

test('change the settings in the text, look at the difference, apply', async ({ page }) => {
  await open(page, { page: 'settings', view: 'twoServices' });
  await page.locator(at('advanced-open')).waitFor();
  await press(page, 'advanced-open');
  await tabTo(page, 'tab-form');
  await page.keyboard.press('ArrowRight');
  await tabTo(page, 'source');
  await page.keyboard.press('Control+Home');
  await page.keyboard.type('# Ours.\n');
  await page.locator(at('pending')).waitFor();
  await press(page, 'settings-review');
  await page.locator(at('diff')).waitFor();
  await press(page, 'diff-apply');
  await expect(page.locator(at('applied'))).toBeVisible();
  expect((await calls(page, 'apply_settings'))[0]?.args.text).toMatch(/^# Ours\.\n/);
});

test('a switch, a list and the log', async ({ page }) => {
  await open(page, { page: 'settings' });
  await tabTo(page, 'notify-back');
  await page.keyboard.press('Space');
  expect((await calls(page, 'set_prefs'))[0]?.args.prefs.notify_back).toBe(false);
  await page.locator(at('nav-logs')).focus();
  await page.keyboard.press('Enter');
  await page.locator('.log-line').last().waitFor();
  await tabTo(page, 'logs-filter');
  await page.keyboard.type('archive');
  await expect(page.locator(at('logs-count'))).toHaveText('15 lines');
  // The list itself is a stop, so that it can be scrolled.
  await tabTo(page, 'log-list');
  await page.keyboard.press('Home');
  await expect.poll(() => page.locator(at('log-list')).evaluate((list) => list.scrollTop)).toBe(0);
});

test('save the report, and quit', async ({ page }) => {
  await open(page, { page: 'diagnostics' });
  await page.locator(at('doctor-summary')).waitFor();
  await press(page, 'bundle');
  await expect(page.locator(at('bundle-file'))).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await press(page, 'bundle-save');
  await expect(page.locator(at('bundle-dialog'))).toHaveCount(0);
  await expect(page.locator(at('bundle'))).toBeFocused();
  await page.locator(at('nav-about')).focus();
  await page.keyboard.press('Enter');
  await page.locator(at('quit')).waitFor();
  await press(page, 'quit');
  await press(page, 'quit-confirm');
  expect(await calls(page, 'quit')).toHaveLength(1);
});

test('Tab stays inside a question until it is answered', async ({ page }) => {
  await open(page, { page: 'about' });
  await page.locator(at('quit')).click();
  for (let n = 0; n < 8; n += 1) {
    await page.keyboard.press('Tab');
    const outside = await page.evaluate(() => {
      const element = document.activeElement;
      return element !== null && element !== document.body && !element.closest('dialog');
    });
    expect(outside).toBe(false);
  }
});
