// Settings: one file, as a form and as text.

import { CONFIG, said } from '../lib/fixtures.mjs';
import { at, calls, expect, open, show, test, unfold } from '../lib/open.mjs';
import { views } from '../lib/fixtures.mjs';

const { settings } = said('en');
const start = /** @type {const} */ ({ page: 'settings', view: 'twoServices' });

test('what is entered in the form stands in the text, with comments and order kept', async ({ page }) => {
  await open(page, start);
  await unfold(page, 'advanced');
  await page.locator(at('form-name')).fill('Back office');
  await page.locator(at('form-log-level')).selectOption('debug');
  await page.locator(at('form-services-1-target')).fill('nas.local:5433');
  await page.locator(at('tab-source')).click();
  await expect(page.locator(at('source'))).toHaveValue(
    CONFIG.replace('Front desk', 'Back office').replace('"info"', '"debug"').replace('5432', '5433'),
  );
});

test('what is typed in the text stands in the form', async ({ page }) => {
  await open(page, start);
  await unfold(page, 'advanced');
  await page.locator(at('tab-source')).click();
  await page.locator(at('source')).fill(CONFIG.replace('Front desk', 'Reception').replace('localhost:8080', 'localhost:8081'));
  await page.locator(at('tab-form')).click();
  await expect(page.locator(at('form-name'))).toHaveValue('Reception');
  await expect(page.locator(at('form-services-0-target'))).toHaveValue('localhost:8081');
});

test('a service is added and taken out in the form', async ({ page }) => {
  await open(page, start);
  await unfold(page, 'advanced');
  await page.locator(at('form-add')).click();
  await page.locator(at('form-services-2-name')).fill('shop');
  await page.locator(at('form-services-0-remove')).click();
  await expect(page.locator(at('form-add'))).toBeFocused();
  await page.locator(at('tab-source')).click();
  await expect(page.locator(at('source'))).toHaveValue(/name = "shop"\ntarget = "localhost:3000"\nkind = "http"/);
  await expect(page.locator(at('source'))).not.toHaveValue(/"accounts"/);
});

test('a mistake stands at its line in the text and at its field in the form', async ({ page }) => {
  await open(page, start);
  await unfold(page, 'advanced');
  await page.locator(at('form-services-0-target')).fill('localhost');
  await expect(page.locator(at('form-services-0-target-error'))).toContainText('This is no host and port. Write host and port, such as localhost:3000.');
  await expect(page.locator(at('form-services-0-target'))).toHaveAttribute('aria-invalid', 'true');
  await expect(page.locator(at('settings-review'))).toHaveAttribute('aria-disabled', 'true');
  await page.locator(at('tab-source')).click();
  await page.locator(at('problem-line-14')).click();
  await expect(page.locator(at('source'))).toBeFocused();
  const selected = await page.locator(at('source')).evaluate((area) => {
    const { value, selectionStart, selectionEnd } = /** @type {HTMLTextAreaElement} */ (area);
    return value.slice(selectionStart, selectionEnd);
  });
  expect(selected).toBe('"localhost"');
});

test('a text that cannot be read has no form, and the way back to the text', async ({ page }) => {
  await open(page, start);
  await unfold(page, 'advanced');
  await page.locator(at('tab-source')).click();
  await page.locator(at('source')).fill(CONFIG.replace('"archive"', '"archive'));
  await expect(page.locator(at('source-problems'))).toContainText('Line 18:');
  await page.locator(at('tab-form')).click();
  await expect(page.locator(at('form-unreadable'))).toBeVisible();
  await page.locator(at('to-source')).click();
  await page.locator(at('source')).fill(CONFIG);
  await expect(page.locator(at('pending'))).toHaveCount(0);
});

test('changes are shown line by line before they are applied, and what became of them after', async ({ page }) => {
  await open(page, start);
  await unfold(page, 'advanced');
  await page.locator(at('form-services-0-target')).fill('localhost:8081');
  await page.locator(at('settings-review')).click();
  await expect(page.locator(`${at('diff')} .removed`)).toContainText('target = "localhost:8080"');
  await expect(page.locator(`${at('diff')} .added`)).toContainText('target = "localhost:8081"');
  expect(await calls(page, 'apply_settings')).toEqual([]);
  await page.locator(at('diff-apply')).click();
  await expect(page.locator(at('applied'))).toContainText('The settings are in force');
  await expect(page.locator(at('pending'))).toHaveCount(0);
  expect((await calls(page, 'apply_settings'))[0]?.args.text).toContain('localhost:8081');
});

test('settings that did not come online are said to be rolled back, and are kept to be corrected', async ({ page }) => {
  const words = { what: 'it did not come online, the former settings are in force', todo: '' };
  await open(page, { ...start, change: { answers: { apply_settings: { value: { done: false, rolled_back: true, words } } } } });
  await unfold(page, 'advanced');
  await page.locator(at('form-services-0-target')).fill('localhost:8081');
  await page.locator(at('settings-review')).click();
  await page.locator(at('diff-apply')).click();
  await expect(page.locator(at('rolled-back'))).toContainText('It did not come online');
  await expect(page.locator(at('form-services-0-target'))).toHaveValue('localhost:8081');
  await expect(page.locator(at('pending'))).toBeVisible();
  await page.locator(at('settings-discard')).click();
  await expect(page.locator(at('form-services-0-target'))).toHaveValue('localhost:8080');
});

test('a refused apply leaves the dialog and the draft', async ({ page }) => {
  const refuse = { code: 'changed', words: { what: 'the file has been changed meanwhile', todo: 'read it anew' }, field: null };
  await open(page, { ...start, change: { answers: { apply_settings: { refuse } } } });
  await page.locator(at('form-name')).fill('Back office');
  await page.locator(at('settings-review')).click();
  await page.locator(at('diff-apply')).click();
  await expect(page.locator(at('apply-error'))).toContainText('The file has been changed meanwhile.');
  await page.locator(at('diff-cancel')).click();
  await expect(page.locator(at('form-name'))).toHaveValue('Back office');
});

test('a file changed elsewhere is taken over at once, or asked about when there is a draft', async ({ page }) => {
  await open(page, start);
  await expect(page.locator(at('form-name'))).toHaveValue('Front desk');
  const write = (/** @type {string} */ name) => page.evaluate((text) => (/** @type {any} */ (window).fake.setFile(text), window.dispatchEvent(new Event('focus'))), CONFIG.replace('Front desk', name));
  await write('Elsewhere');
  await expect(page.locator(at('form-name'))).toHaveValue('Elsewhere');
  await page.locator(at('form-name')).fill('Mine');
  await expect(page.locator(at('pending'))).toBeVisible();
  await write('Theirs');
  await expect(page.locator(at('settings-outdated'))).toBeVisible();
  await expect(page.locator(at('form-name'))).toHaveValue('Mine');
  await page.locator(at('settings-reread')).click();
  await expect(page.locator(at('form-name'))).toHaveValue('Theirs');
});

test('a mistake in the file is told on every page, in sentences', async ({ page }) => {
  await open(page, { view: 'notices' });
  const notice = page.locator(at('notice-config'));
  await expect(notice).toContainText('did you mean “target”? Until it is corrected');
  await page.locator(at('notice-config-open')).click();
  await expect(page.locator(at('page-settings'))).toBeVisible();
});

test('a draft survives a look at another page', async ({ page }) => {
  await open(page, start);
  await page.locator(at('form-name')).fill('Back office');
  await page.locator(at('nav-logs')).click();
  await page.locator(at('nav-settings')).click();
  await expect(page.locator(at('form-name'))).toHaveValue('Back office');
});

test('the two views are one stop of Tab, and the arrows change between them', async ({ page }) => {
  await open(page, start);
  await unfold(page, 'advanced');
  await page.locator(at('tab-form')).focus();
  await page.keyboard.press('ArrowRight');
  await expect(page.locator(at('tab-source'))).toBeFocused();
  await expect(page.locator(at('tab-source'))).toHaveAttribute('aria-selected', 'true');
  await page.keyboard.press('Tab');
  await expect(page.locator(at('source'))).toBeFocused();
  await page.keyboard.press('Tab');
  await expect(page.locator(at('source'))).not.toBeFocused();
});

test('forgetting this computer says what is lost, and asks', async ({ page }) => {
  await open(page, start);
  await page.locator(at('forget')).click();
  await expect(page.locator(at('forget-cancel'))).toBeFocused();
  await page.locator(at('forget-confirm')).click();
  await expect(page.locator(at('hero'))).toHaveAttribute('data-state', 'unregistered');
  await expect(page.locator(at('live'))).toContainText('This computer has been forgotten.');
});

test('a key kept in a file is told about for good', async ({ page }) => {
  await open(page, start);
  await expect(page.locator(at('key-store'))).toHaveText("in this computer's keychain");
  const view = views('en').twoServices;
  await show(page, { ...view, registered: view.registered && { ...view.registered, key_store: 'file' } });
  await expect(page.locator(at('registration'))).toContainText('The keychain is safer.');
});

test('a switch that was refused goes back to what is true', async ({ page }) => {
  const refuse = { code: 'autostart', words: { what: 'the entry could not be written', todo: '' }, field: null };
  await open(page, { ...start, change: { answers: { set_prefs: { refuse } } } });
  await page.locator(at('start-on-login')).click();
  await expect(page.locator(at('toast'))).toContainText('The entry could not be written.');
  await expect(page.locator(at('start-on-login'))).toBeChecked();
});

test('the file and its services stand behind “Advanced”, until something is wrong with them', async ({ page }) => {
  await open(page, start);
  await expect(page.locator(at('form-name'))).toBeVisible();
  for (const name of ['tab-source', 'show-config', 'form-service-0']) await expect(page.locator(at(name))).toBeHidden();
  await open(page, { ...start, view: 'notices' });
  await expect(page.locator(at('tab-source'))).toBeVisible();
  await open(page, { ...start, change: { config: settings.target.text } });
  await expect(page.locator(at('form-services-0-target-error'))).toBeVisible();
});

test('which of two views is chosen is seen in the dark too', async ({ page }) => {
  await page.emulateMedia({ colorScheme: 'dark' });
  await open(page, start);
  await unfold(page, 'advanced');
  const ratio = await page.evaluate(() => {
    /** @param {string} colour */
    const light = (colour) => {
      const [r = 0, g = 0, b = 0] = (colour.match(/[\d.]+/g) ?? []).slice(0, 3).map((part) => {
        const c = Number(part) / 255;
        return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const style = (/** @type {string} */ selector) => getComputedStyle(/** @type {Element} */ (document.querySelector(selector)));
    // The ring around the one that is chosen, against the ground that both stand on.
    const ring = /rgba?\([^)]*\)/.exec(style('.tabs [aria-selected="true"]').boxShadow)?.[0] ?? '';
    const [a, b] = [light(ring), light(style('.tabs').backgroundColor)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
  expect(ratio).toBeGreaterThan(3);
});
