// What surrounds the pages: the menu, the keyboard, the look.

import { prefs } from '../lib/fixtures.mjs';
import { at, calls, expect, open, test, unwatched } from '../lib/open.mjs';

const PAGES = /** @type {const} */ (['services', 'settings', 'logs', 'diagnostics', 'about', 'overview']);

test('every page is reached from the menu by keyboard, and begins at its title', async ({ page }) => {
  await open(page);
  for (const name of PAGES) {
    await page.locator(at(`nav-${name}`)).focus();
    await page.keyboard.press('Enter');
    await expect(page.locator(at(`page-${name}`))).toBeVisible();
    await expect(page.locator('h1')).toBeFocused();
    await expect(page.locator(at(`nav-${name}`))).toHaveAttribute('aria-current', 'page');
    await expect(page).toHaveTitle(/· Petit$/);
  }
});

test('back leads to the page before, and a reload stays', async ({ page }) => {
  await open(page);
  await page.locator(at('nav-logs')).click();
  await page.locator(at('nav-about')).click();
  await page.goBack();
  await expect(page.locator(at('page-logs'))).toBeVisible();
});

test('the first stop of Tab leads past the menu', async ({ page }) => {
  await open(page, { page: 'about' });
  await page.keyboard.press('Tab');
  await expect(page.locator(at('skip'))).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.locator('h1')).toBeFocused();
});

test('whatever has the focus shows it', async ({ page }) => {
  for (const name of /** @type {const} */ (['overview', 'settings', 'logs'])) {
    await open(page, { page: name });
    for (let n = 0; n < 20; n += 1) {
      await page.keyboard.press('Tab');
      const ring = await page.evaluate(() => {
        const element = document.activeElement;
        if (!element || element === document.body) return 'none needed';
        const style = getComputedStyle(element.closest('.option, .source') ?? element);
        return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 ? 'shown' : `hidden on ${element.getAttribute('data-test')}`;
      });
      expect(ring).not.toContain('hidden');
    }
  }
});

test('a narrow window has a menu button that says whether it is open', async ({ page }) => {
  await page.setViewportSize({ width: 420, height: 640 });
  await open(page);
  await expect(page.locator(at('nav-logs'))).toBeHidden();
  await page.locator(at('menu')).click();
  await expect(page.locator(at('menu'))).toHaveAttribute('aria-expanded', 'true');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Escape');
  await expect(page.locator(at('nav-logs'))).toBeHidden();
  await expect(page.locator(at('menu'))).toBeFocused();
  await page.locator(at('menu')).click();
  await page.locator(at('nav-logs')).click();
  await expect(page.locator(at('page-logs'))).toBeVisible();
  await expect(page.locator(at('nav-logs'))).toBeHidden();
});

test('light and dark follow the person before the system', async ({ page }) => {
  await page.emulateMedia({ colorScheme: 'dark' });
  await open(page, { boot: { prefs: { ...prefs, theme: 'light' } } });
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  expect(await ground()).toBe('rgb(246, 246, 248)');
  await page.locator(at('nav-settings')).click();
  await page.locator(at('theme')).selectOption('dark');
  await expect.poll(ground).toBe('rgb(19, 20, 23)');
  expect((await calls(page, 'set_prefs'))[0]?.args.prefs.theme).toBe('dark');
});

test("a vendor's colour is that of buttons and of what is chosen, in light and in dark", async ({ page }) => {
  await page.emulateMedia({ colorScheme: 'light' });
  await open(page, { page: 'settings', boot: { colour: '#0a6b4f' } });
  /** @param {string} name */
  const shade = (name) => page.evaluate((given) => {
    const probe = document.createElement('i');
    probe.style.color = `var(${given})`;
    document.body.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  }, name);
  expect(await shade('--accent')).toBe('rgb(10, 107, 79)');
  expect(await shade('--on-accent')).toBe('rgb(255, 255, 255)');
  await page.emulateMedia({ colorScheme: 'dark' });
  expect(await shade('--accent')).not.toBe('rgb(10, 107, 79)');
  expect(await shade('--accent')).not.toBe('rgb(154, 169, 255)');
});

test('nothing moves for whoever asked for calm', async ({ page }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await open(page, { view: 'connecting' });
  const moving = await page.evaluate(() => document.getAnimations().filter((animation) => animation.playState === 'running').length);
  expect(moving).toBe(0);
});

test('forced colours keep shapes, borders and the chosen entry', async ({ page }) => {
  await page.emulateMedia({ forcedColors: 'active' });
  await open(page, { view: 'serviceDown' });
  const seen = await page.evaluate(() => ({
    card: getComputedStyle(/** @type {Element} */ (document.querySelector('.card'))).borderTopStyle,
    current: getComputedStyle(/** @type {Element} */ (document.querySelector('[aria-current]'))).textDecorationLine,
    mark: getComputedStyle(/** @type {Element} */ (document.querySelector('.hop-service .mark'))).display,
  }));
  expect(seen).toEqual({ card: 'solid', current: 'underline', mark: 'block' });
});

test('another language redraws everything at once', async ({ page }) => {
  const { boot } = await import('../lib/fixtures.mjs');
  await open(page, { page: 'settings', change: { answers: { set_prefs: { value: boot('de', 'online', { prefs: { ...prefs, lang: 'de' } }) } } } });
  await page.locator(at('lang')).selectOption('de');
  await expect(page.locator('h1')).toHaveText('Einstellungen');
  await expect(page.locator('html')).toHaveAttribute('lang', 'de');
  await expect(page.locator(at('side-state'))).toHaveText('Alles läuft');
});

test('what was said in another language is not left standing', async ({ page }) => {
  const { boot } = await import('../lib/fixtures.mjs');
  await open(page, { page: 'settings', change: { answers: { set_prefs: { value: boot('de', 'online', { prefs: { ...prefs, lang: 'de' } }) }, stop: { refuse: { code: 'x', words: { what: 'The disk is full', todo: '' }, field: null } } } } });
  await page.locator(at('nav-overview')).click();
  await page.locator(at('stop')).click();
  await expect(page.locator(at('toast'))).toContainText('The disk is full');
  await page.locator(at('nav-settings')).click();
  await page.locator(at('lang')).selectOption('de');
  await expect(page.locator('h1')).toHaveText('Einstellungen');
  await expect(page.locator(at('toast'))).toHaveCount(0);
  await expect(page.locator(at('live'))).toHaveText('');
});

test('quitting asks first while somebody relies on it', async ({ page }) => {
  await open(page, { page: 'about' });
  await page.locator(at('quit')).click();
  await expect(page.locator(at('quit-cancel'))).toBeFocused();
  await page.locator(at('quit-cancel')).click();
  await expect(page.locator(at('quit'))).toBeFocused();
  expect(await calls(page, 'quit')).toEqual([]);
  await page.locator(at('quit')).click();
  await page.locator(at('quit-confirm')).click();
  expect(await calls(page, 'quit')).toHaveLength(1);
});

// The browser writes about each of them, which any other test takes for a failure.
unwatched('the policy really blocks inline script, inline style and other hosts', async ({ page }) => {
  await open(page);
  const blocked = await page.evaluate(async () => {
    /** @type {string[]} */
    const found = [];
    document.addEventListener('securitypolicyviolation', (event) => found.push(event.effectiveDirective));
    const script = document.createElement('script');
    script.textContent = 'window.hacked = true';
    document.body.append(script);
    const div = document.createElement('div');
    div.setAttribute('style', 'color: red');
    document.body.append(div);
    await fetch('http://localhost:9/').catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 100));
    return { found: found.sort(), hacked: 'hacked' in window };
  });
  expect(blocked).toEqual({ found: ['connect-src', 'script-src-elem', 'style-src-attr'], hacked: false });
});
