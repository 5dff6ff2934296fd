// Every page and state, looked at for what must hold everywhere: no error, nothing leaves, everybody can read it,
// nothing is cut off.

import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';

import { catalogue } from '../lib/fixtures.mjs';
import { expect, open, test } from '../lib/open.mjs';
import { layout } from '../lib/layout.mjs';
import { names, picture } from '../lib/pictures.mjs';
import { files } from '../screenshots.mjs';

/** @import { Page } from '@playwright/test' */

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** @param {Page} page @param {string[]} [only] */
async function accessibility(page, only) {
  const options = { resultTypes: ['violations'], ...(only && { runOnly: only }) };
  const { violations } = await page.evaluate((given) => /** @type {any} */ (window).axe.run(document, given), options);
  return violations.map((/** @type {any} */ { id, nodes }) => ({ id, where: nodes.map((/** @type {any} */ node) => `${node.target}: ${node.any?.[0]?.message ?? ''}`) }));
}

for (const name of names) {
  const { start, go } = picture(name);

  test(`${name} is drawn, and can be used by everybody, in light and in dark`, async ({ page }) => {
    await page.emulateMedia({ reducedMotion: 'reduce', colorScheme: 'light' });
    await open(page, start);
    await go?.(page);
    await page.evaluate(AXE);
    expect(await accessibility(page)).toEqual([]);
    expect(await page.evaluate(layout)).toEqual([]);
    // Nothing but the colours differs.
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await accessibility(page, ['color-contrast'])).toEqual([]);
  });

  test(`${name} fits a narrow window, a large font, longer words and the other direction`, async ({ page }) => {
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await open(page, { ...start, boot: { ...start?.boot, lang: 'ar', texts: pseudo(catalogue('en')) } });
    await go?.(page);
    await expect(page.locator('html')).toHaveAttribute('dir', 'rtl');
    expect(await page.evaluate(layout)).toEqual([]);
    // 400 px are also what 200 % leave of a window of 800 px.
    await page.setViewportSize({ width: 400, height: 640 });
    expect(await page.evaluate(layout)).toEqual([]);
    await page.evaluate(() => document.documentElement.setAttribute('dir', 'ltr'));
    expect(await page.evaluate(layout)).toEqual([]);
  });
}

// The lightest that may be, one that is hardly a colour, and one in between.
for (const colour of ['#767676', '#000060', '#c62828', '#0a6b4f']) {
  for (const name of /** @type {const} */ (['settings', 'overview'])) {
    test(`${name} can be read in ${colour}, too`, async ({ page }) => {
      await page.emulateMedia({ reducedMotion: 'reduce' });
      await open(page, { page: name, boot: { colour } });
      await page.evaluate(AXE);
      for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
        await page.emulateMedia({ colorScheme });
        expect(await accessibility(page, ['color-contrast'])).toEqual([]);
      }
    });
  }
}

/** Accents and four tenths more letters: about what other languages need. @param {Record<string, string>} texts */
function pseudo(texts) {
  /** @type {Record<string, string>} */
  const accents = { a: 'á', e: 'é', i: 'î', o: 'ö', u: 'û', A: 'Å', E: 'É', O: 'Ø', n: 'ñ', c: 'ç' };
  const stretch = (/** @type {string} */ text) => {
    const more = Math.ceil(text.length * 0.4);
    const words = text.replace(/\{\w+\}|[aeiouAEOnc]/g, (found) => accents[found] ?? found);
    return `${words}${' ~~~~~'.repeat(Math.ceil(more / 6)).slice(0, more)}`;
  };
  return Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, stretch(text)]));
}

test('German is complete and lays out like English', async ({ page }) => {
  for (const name of /** @type {const} */ (['overview', 'services', 'settings', 'logs', 'diagnostics', 'about'])) {
    const { start, go } = picture(name);
    await open(page, { ...start, lang: 'de' });
    await go?.(page);
    expect(await page.evaluate(layout)).toEqual([]);
    expect(await page.locator('body').innerText()).not.toMatch(/\bui\.[a-z_.]+/);
  }
});

test('the pictures in docs/screenshots are those of this list, and small', () => {
  const folder = new URL('../../../docs/screenshots/', import.meta.url);
  expect(existsSync(folder)).toBe(true);
  const there = readdirSync(folder).filter((file) => file.endsWith('.png'));
  expect(there.sort()).toEqual([...files].sort());
  const bytes = there.reduce((sum, file) => sum + statSync(new URL(file, folder)).size, 0);
  expect(bytes).toBeLessThan(4_000_000);
});
