// Services: list, add, change, remove.

import { service, views } from '../lib/fixtures.mjs';
import { at, calls, expect, open, show, test } from '../lib/open.mjs';

test('what was not chosen for this vendor is named apart, and can be', async ({ page }) => {
  const withheld = [{ name: 'archive', kind: /** @type {const} */ ('tcp'), target: 'nas.local:5432', chosen: false }];
  await open(page, { page: 'services' });
  await show(page, { ...views('en').online, withheld });
  await expect(page.locator(at('withheld'))).toContainText('not chosen for Nordlicht');
  await page.locator(at('share-archive')).click();
  await expect(page.locator(at('entry-archive'))).toBeVisible();
  await expect(page.locator(at('withheld'))).toHaveCount(0);
  expect((await calls(page, 'share')).map(({ args }) => args)).toEqual([{ name: 'archive' }]);
});

test('the name that the vendor waits for is suggested', async ({ page }) => {
  await open(page, { page: 'services' });
  await show(page, { ...views('en').online, suggested: 'orders', invited: 'orders' });
  await page.locator(at('service-add')).click();
  await expect(page.locator(at('service-name'))).toHaveValue('orders');
  await expect(page.locator('#service-name-hint')).toContainText('Your vendor calls it orders');
});

test('what passes to a database is counted in connections', async ({ page }) => {
  await open(page, { page: 'services', view: 'twoServices' });
  await expect(page.locator(at('entry-archive'))).toContainText('12 connections');
  await expect(page.locator(at('entry-accounts'))).toContainText('1,284 connections');
});

test('each service says who can come in, on both pages, and nothing where its server says nothing', async ({ page }) => {
  await open(page, { view: 'twoServices' });
  await expect(page.locator(at('admits-accounts'))).toHaveText('Who can come in: whoever your vendor lets in');
  await expect(page.locator(at('admits-archive'))).toHaveText('Who can come in: whoever knows the address');
  await open(page, { page: 'services', view: 'twoServices' });
  await expect(page.locator(at('entry-admits-archive'))).toHaveText('Who can come in: whoever knows the address');
  const { online } = views('en');
  const silent = { ...online, services: online.services.map((service) => ({ ...service, admits: null })) };
  await show(page, silent);
  await expect(page.locator(at('entry-accounts'))).toBeVisible();
  await expect(page.locator(at('entry-admits-accounts'))).toHaveCount(0);
});

test('a service is added from the list of what runs here', async ({ page }) => {
  await open(page, { page: 'services', view: 'empty' });
  await page.locator(at('service-add')).click();
  await expect(page.locator(at('service-name'))).toBeFocused();
  await page.locator(at('service-name')).fill('accounts');
  await page.locator(at('choice-option-2')).check();
  await expect(page.locator(at('choice-tried'))).toContainText('Accepts connections in 3 ms');
  await page.locator(at('service-save')).click();
  await expect(page.locator(at('service-dialog'))).toHaveCount(0);
  await expect(page.locator(at('target-accounts'))).toHaveText('localhost:5432');
  await expect(page.locator(at('live'))).toContainText('accounts was added.');
  await expect(page.locator(at('service-add'))).toBeFocused();
  expect((await calls(page, 'set_service'))[0]?.args).toEqual({ before: null, service: { name: 'accounts', kind: 'tcp', target: 'localhost:5432' } });
});

test('a mistake in the name is said at the name, and nothing is lost', async ({ page }) => {
  await open(page, { page: 'services', view: 'empty' });
  await page.locator(at('service-add')).click();
  await page.locator(at('service-name')).fill('My accounts');
  await page.locator(at('choice-option-0')).check();
  await page.locator(at('service-save')).click();
  await expect(page.locator(at('service-name-error'))).toContainText('A name may not contain “M”. Use lower-case letters');
  await expect(page.locator(at('service-name'))).toBeFocused();
  await expect(page.locator(at('service-name'))).toHaveAttribute('aria-describedby', /service-name-error/);
  await page.locator(at('service-name')).fill('accounts');
  await expect(page.locator(at('service-name-error'))).toHaveCount(0);
  await expect(page.locator(at('choice-option-0'))).toBeChecked();
});

test('a service is changed with what it has now filled in', async ({ page }) => {
  await open(page, { page: 'services', view: 'twoServices' });
  await page.locator(at('change-archive')).click();
  await expect(page.locator(at('service-name'))).toHaveValue('archive');
  await expect(page.locator(at('choice-target'))).toHaveValue('nas.local:5432');
  await expect(page.locator(at('choice-kind-tcp'))).toBeChecked();
  await page.locator(at('choice-target')).fill('nas.local:5433');
  await page.locator(at('service-save')).click();
  await expect(page.locator(at('target-archive'))).toHaveText('nas.local:5433');
  expect((await calls(page, 'set_service'))[0]?.args.before).toBe('archive');
});

test('removing asks what happens to the address; keeping it is the answer already chosen', async ({ page }) => {
  await open(page, { page: 'services', view: 'twoServices' });
  await page.locator(at('remove-accounts')).click();
  await expect(page.locator(at('remove-cancel'))).toBeFocused();
  await expect(page.locator(at('keep-address'))).toBeChecked();
  await page.keyboard.press('Escape');
  await expect(page.locator(at('remove-dialog'))).toHaveCount(0);
  await expect(page.locator(at('remove-accounts'))).toBeFocused();
  expect(await calls(page, 'remove_service')).toEqual([]);

  await page.keyboard.press('Enter');
  await page.locator(at('give-back-address')).check();
  await page.locator(at('remove-confirm')).click();
  await expect(page.locator(at('entry-accounts'))).toHaveCount(0);
  await expect(page.locator('h1')).toBeFocused();
  expect((await calls(page, 'remove_service'))[0]?.args).toEqual({ name: 'accounts', give_back: true });
});

test('a refusal to remove stays in the question', async ({ page }) => {
  const refuse = { code: 'offline', words: { what: 'the server cannot be reached', todo: 'keep the address, or try again later' }, field: null };
  await open(page, { page: 'services', view: 'twoServices', change: { answers: { remove_service: { refuse } } } });
  await page.locator(at('remove-accounts')).click();
  await page.locator(at('remove-confirm')).click();
  await expect(page.locator(at('remove-error'))).toContainText('The server cannot be reached.');
  await expect(page.locator(at('remove-dialog'))).toBeVisible();
});

test('views that come while a dialog is open leave it and what was typed alone', async ({ page }) => {
  await open(page, { page: 'services', view: 'twoServices' });
  await page.locator(at('service-add')).click();
  await page.locator(at('service-name')).fill('third');
  for (let n = 0; n < 5; n += 1) await show(page, { ...views('en').twoServices, services: [service('en', { visits: n })] });
  await expect(page.locator(at('service-name'))).toHaveValue('third');
  await expect(page.locator(at('service-name'))).toBeFocused();
});

test('before the computer is registered there is nothing to add', async ({ page }) => {
  await open(page, { page: 'services', view: 'unregistered' });
  await expect(page.locator(at('services-unregistered'))).toBeVisible();
  await expect(page.locator(at('service-add'))).toHaveCount(0);
});
