// The log, and the diagnostics.

import { logLines, said } from '../lib/fixtures.mjs';
import { at, calls, expect, open, test } from '../lib/open.mjs';

/** @import { Page } from '@playwright/test' */

/** @param {Page} page @param {import('../../app/contract.d.ts').LogLine[]} lines */
const arrive = (page, lines) => page.evaluate((fresh) => /** @type {any} */ (window).fake.emit('log', fresh), lines);
/** @param {number} id @param {string} text */
const line = (id, text, level = /** @type {const} */ ('INFO')) => ({ id, at: '10:42:00', level, text });
const drawn = '.log-line';

test('ten thousand lines are there at once, stay smooth, and do not grow', async ({ page }) => {
  await open(page, { page: 'logs', change: { logs: logLines(10_000) } });
  await expect(page.locator(at('logs-count'))).toHaveText('10,000 lines');
  await expect(page.locator(drawn)).toHaveCount(10_000);
  // The newest is in sight, and stays so.
  await expect(page.locator(drawn).last()).toBeInViewport();
  // What one batch of new lines costs this page, the layout of what is in sight included.
  const millis = await page.evaluate(async () => {
    const list = /** @type {Element} */ (document.querySelector('.log-list'));
    const batches = 20;
    let spent = 0;
    for (let n = 0; n < batches; n += 1) {
      const fresh = Array.from({ length: 50 }, (_, i) => ({ id: 20_000 + n * 50 + i, at: '10:42:00', level: 'INFO', text: `line ${n}.${i}` }));
      const from = performance.now();
      /** @type {any} */ (window).fake.emit('log', fresh);
      await Promise.resolve();
      list.getBoundingClientRect();
      void list.scrollTop;
      spent += performance.now() - from;
      await new Promise(requestAnimationFrame);
    }
    return spent / batches;
  });
  // A frame has 16; a busy machine is given five.
  expect(millis).toBeLessThan(80);
  await expect(page.locator(drawn).last()).toContainText('line 19.49');
  await expect(page.locator(drawn).last()).toBeInViewport();
  expect(await page.locator(drawn).count()).toBeLessThanOrEqual(10_100);
});

test('whoever reads further up keeps their place', async ({ page }) => {
  await open(page, { page: 'logs', change: { logs: logLines(2000) } });
  const list = page.locator(at('log-list'));
  await expect(page.locator(drawn)).toHaveCount(2000);
  await list.evaluate((element) => (element.scrollTop = 500));
  await arrive(page, [line(5000, 'a new one')]);
  await expect(page.locator(drawn)).toHaveCount(2001);
  expect(await list.evaluate((element) => element.scrollTop)).toBe(500);
});

test('going up by little steps is going up, too', async ({ page }) => {
  await open(page, { page: 'logs', change: { logs: logLines(2000) } });
  await expect(page.locator(drawn).last()).toBeInViewport();
  const list = page.locator(at('log-list'));
  const stood = await list.evaluate(async (element) => {
    for (let n = 0; n < 10; n += 1) {
      element.scrollTop -= 8;
      await new Promise(requestAnimationFrame);
    }
    return element.scrollTop;
  });
  await arrive(page, [line(5000, 'a new one')]);
  await expect(page.locator(drawn)).toHaveCount(2001);
  expect(await list.evaluate((element) => element.scrollTop)).toBe(stood);
});

test('finding, problems only, and the way back to all', async ({ page }) => {
  await open(page, { page: 'logs' });
  await expect(page.locator(drawn)).toHaveCount(120);
  await page.locator(at('logs-problems')).check();
  await expect(page.locator('.level-info')).toHaveCount(0);
  await page.locator(at('logs-filter')).fill('ARCHIVE');
  await expect(page.locator(at('logs-count'))).toHaveText('15 lines');
  await expect(page.locator(at('live'))).toHaveText('15 lines');
  await arrive(page, [line(900, 'nothing of interest'), { ...line(901, 'archive again'), level: /** @type {'WARN'} */ ('WARN') }]);
  await expect(page.locator(at('logs-count'))).toHaveText('16 lines');
  await page.locator(at('logs-filter')).fill('no such thing');
  await expect(page.locator(at('logs-nothing'))).toBeVisible();
  await page.locator(at('logs-clear')).click();
  await expect(page.locator(drawn)).toHaveCount(122);
});

test('paused, the page holds still and says how much waits', async ({ page }) => {
  await open(page, { page: 'logs' });
  await page.locator(at('logs-pause')).click();
  await arrive(page, [line(900, 'first'), line(901, 'second')]);
  await expect(page.locator(at('logs-count'))).toContainText('2 new lines are waiting');
  await expect(page.locator(drawn)).toHaveCount(120);
  await page.locator(at('logs-pause')).click();
  await expect(page.locator(drawn)).toHaveCount(122);
  await expect(page.locator(drawn).last()).toContainText('second');
});

test('what is shown can be copied', async ({ page }) => {
  await open(page, { page: 'logs', change: { logs: [line(1, 'one'), line(2, 'two')] } });
  await expect(page.locator(drawn)).toHaveCount(2);
  await page.locator(at('logs-copy')).click();
  await expect(page.locator(at('toast'))).toContainText('Copied');
  expect((await calls(page, 'copy'))[0]?.args.text).toBe('10:42:00  Note  one\n10:42:00  Note  two');
});

test('how much is written is changed at once; a refusal changes it back', async ({ page }) => {
  await open(page, { page: 'logs' });
  await expect(page.locator(at('log-level'))).toHaveValue('info');
  await page.locator(at('log-level')).selectOption('debug');
  expect((await calls(page, 'log_level'))[0]?.args).toEqual({ level: 'debug' });
  await page.evaluate(() => (/** @type {any} */ (window).fake.answers.log_level = { refuse: { code: 'x', words: { what: 'it could not be changed', todo: '' }, field: null } }));
  await page.locator(at('log-level')).selectOption('trace');
  await expect(page.locator(at('log-level'))).toHaveValue('debug');
});

test('leaving the page stops the flow', async ({ page }) => {
  await open(page, { page: 'logs' });
  await page.locator(at('nav-about')).click();
  await expect.poll(async () => (await calls(page, 'logs')).map(({ args }) => args.follow)).toEqual([true, false]);
  await page.locator(at('nav-logs')).click();
  await expect(page.locator(drawn)).toHaveCount(120);
});

test('the checks run on arrival, are counted, and say what to do', async ({ page }) => {
  await open(page, { page: 'diagnostics', change: { checks: said('en').checks.unwell } });
  await expect(page.locator(at('doctor-summary'))).toHaveText('3 things need attention');
  await expect(page.locator(at('live'))).toHaveText('3 things need attention');
  await expect(page.locator(`${at('check')}[data-result="bad"]`).first()).toContainText('Check the internet connection');
  await page.locator(at('doctor-run')).click();
  await expect.poll(async () => (await calls(page, 'doctor')).length).toBe(2);
});

test('the report is looked at before it is saved, and a change of mind saves nothing', async ({ page }) => {
  await open(page, { page: 'diagnostics', change: { answers: { save_bundle: { value: null } } } });
  await page.locator(at('bundle')).click();
  await page.locator(at('bundle-file')).selectOption('3');
  await expect(page.locator(at('bundle-text'))).toContainText('online server=tunnel.nordlicht.example');
  await page.locator(at('bundle-save')).click();
  await expect(page.locator(at('bundle-dialog'))).toBeVisible();
  await page.evaluate(() => delete (/** @type {any} */ (window).fake.answers.save_bundle));
  await page.locator(at('bundle-save')).click();
  await expect(page.locator(at('toast'))).toContainText('/home/anna/petit-diagnostics-20261124T104200Z.zip');
  await expect(page.locator(at('bundle-dialog'))).toHaveCount(0);
});

test('a line is shown in short and copied as it was written', async ({ page }) => {
  const written = { id: 1, at: '2026-11-24T10:42:07.123456Z', level: /** @type {const} */ ('INFO'), text: 'petit_engine::agent: online server=x' };
  await open(page, { page: 'logs', change: { logs: [written] } });
  await expect(page.locator('.log-at')).toHaveText('10:42:07');
  await expect(page.locator('.log-text')).toHaveText('online server=x');
  await page.locator(at('logs-copy')).click();
  expect((await calls(page, 'copy'))[0]?.args.text).toBe(`${written.at}  Note  ${written.text}`);
});

test('what only the makers know is in the copy, and in no tooltip', async ({ page }) => {
  await open(page, { page: 'logs' });
  await page.locator('.log-line').last().waitFor();
  const titles = await page.locator('.log-line [title]').evaluateAll((all) => all.map((element) => /** @type {HTMLElement} */ (element).title));
  expect(titles.length).toBeGreaterThan(0);
  for (const title of titles) expect(title).toMatch(/^24 Nov 2026, \d\d:\d\d:\d\d$/);
  await page.locator(at('logs-copy')).click();
  const [copied] = await calls(page, 'copy');
  expect(copied?.args.text).toMatch(/^2026-11-24T\d\d:\d\d:\d\d\.\d{3}Z  .*petit_engine::agent: /);
});
