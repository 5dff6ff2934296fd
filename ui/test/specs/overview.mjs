// The first page, its wishes, and what is said aloud.

import { NOW, service, views } from '../lib/fixtures.mjs';
import { at, calls, expect, open, show, test, unfold } from '../lib/open.mjs';

test('each hop has its light, in words and in shape', async ({ page }) => {
  await open(page, { view: 'serviceDown' });
  const hops = page.locator(`${at('path-accounts')} ${at('hop-service')}`);
  await expect(hops).toHaveAttribute('data-tone', 'bad');
  await expect(hops).toContainText('does not work');
  await expect(page.locator(`${at('path-accounts')} ${at('hop-front')}`)).toContainText('2.1 ms');
  await expect(page.locator(at('words-accounts'))).toContainText('Nothing listens at localhost:8080.Start the service, or correct its address.');
  await expect(page.locator(at('service-archive'))).toHaveAttribute('data-light', 'green');
});

test('start, stop, resume and unlock are offered only where they may be wished for', async ({ page }) => {
  await open(page, { view: 'off' });
  await expect(page.locator(at('stop'))).toHaveCount(0);
  await page.locator(at('start')).click();
  await expect(page.locator(at('hero'))).toHaveAttribute('data-state', 'online');
  await page.locator(at('stop')).click();
  await expect(page.locator(at('hero'))).toHaveAttribute('data-state', 'off');
  await show(page, views('en').paused);
  await page.locator(at('resume')).click();
  await expect(page.locator(at('hero'))).toHaveAttribute('data-state', 'online');
  await show(page, views('en').locked);
  await page.locator(at('unlock')).click();
  await expect(page.locator(at('hero'))).toHaveAttribute('data-state', 'online');
});

test('whoever was revoked is led to a new invite', async ({ page }) => {
  await open(page, { view: 'stopped' });
  await expect(page.locator(at('start'))).toHaveCount(0);
  await page.locator(at('go-setup')).click();
  await expect(page.locator(at('step-invite'))).toBeVisible();
});

test('the whole way is tried only where there is one', async ({ page }) => {
  await open(page, { view: 'off' });
  await expect(page.locator(at('ping-accounts'))).toHaveCount(0);
  await show(page, views('en').online);
  await expect(page.locator(at('ping-accounts'))).toBeVisible();
});

test('the pause menu is walked with arrows, closed with Escape, and gives the focus back', async ({ page }) => {
  await open(page);
  await page.locator(at('pause')).focus();
  await page.keyboard.press('Enter');
  await expect(page.locator(at('pause-15min'))).toBeFocused();
  await page.keyboard.press('ArrowUp');
  await expect(page.locator(at('pause-tomorrow'))).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(page.locator(at('pause'))).toBeFocused();
  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect(page.locator(at('hero'))).toHaveAttribute('data-state', 'paused');
  await expect(page.locator(at('since'))).toHaveText('Until 10:55');
  expect((await calls(page, 'pause'))[0]?.args).toEqual({ for: '1h' });
});

test('a click elsewhere closes the menu', async ({ page }) => {
  await open(page);
  await page.locator(at('pause')).click();
  await page.locator(at('headline')).click();
  await expect(page.locator(at('pause-15min'))).toHaveCount(0);
});

test('the address is copied and opened by the program, not by the page', async ({ page }) => {
  await open(page);
  await page.locator(at('address-accounts-copy')).click();
  await expect(page.locator(at('toast'))).toContainText('Copied');
  await page.locator(at('address-accounts-open')).click();
  expect((await calls(page, 'copy'))[0]?.args).toEqual({ text: 'https://k3v5qyz2m7wbn4ta.nordlicht.example' });
  expect((await calls(page, 'show'))[0]?.args).toEqual({ what: 'url', name: 'accounts' });
});

test('a refusal is shown in its words and stays until it is closed', async ({ page }) => {
  const refuse = { code: 'disk', words: { what: 'the disk is full', todo: 'make room' }, field: null };
  await open(page, { change: { answers: { stop: { refuse } } } });
  await page.locator(at('stop')).click();
  await expect(page.locator(at('toast'))).toContainText('The disk is full.Make room.');
  await expect(page.locator(at('live'))).toContainText('The disk is full.');
  await page.locator(at('toast')).getByRole('button', { name: 'Close' }).click();
  await expect(page.locator(at('toast'))).toHaveCount(0);
});

test('an answer outside the contract has our own general words', async ({ page }) => {
  await open(page, { change: { answers: { stop: { refuse: 'invalid args for command stop' } } } });
  await page.locator(at('stop')).click();
  await expect(page.locator(at('toast'))).toContainText('That did not work.');
});

test('another state is said aloud once; seconds that count down are not', async ({ page }) => {
  await open(page);
  const live = page.locator(at('live'));
  await expect(live).toHaveText('');
  const waiting = views('en').waiting;
  await show(page, waiting);
  await expect(live).toHaveText(/^Reconnecting.* The server's name was not found\. Check the internet connection\./);
  await expect(page.locator(at('next-try'))).toHaveText('Next try in 8 s');
  const before = await live.textContent();
  await show(page, { ...waiting, state: { ...waiting.state, until: NOW + 7 } });
  await expect(page.locator(at('next-try'))).toHaveText('Next try in 7 s');
  await expect(page.locator(at('headline'))).toHaveText('Reconnecting');
  expect(await live.textContent()).toBe(before);
  await show(page, views('en').online);
  await expect(live).toContainText('Working');
});

test('a service that falls out or comes back is said aloud', async ({ page }) => {
  await open(page, { view: 'twoServices' });
  const two = views('en').twoServices;
  const down = { ...two, services: two.services.map((known) => (known.name === 'archive' ? { ...known, light: /** @type {const} */ ('red'), words: { what: 'nothing listens there', todo: '' } } : known)) };
  await show(page, down);
  await expect(page.locator(at('live'))).toHaveText('archive cannot be reached. Nothing listens there.');
  await show(page, two);
  await expect(page.locator(at('live'))).toHaveText('archive can be reached again.');
});

test('five drawings a second leave the focus, an open menu and a selection where they are', async ({ page }) => {
  await open(page);
  await page.locator(at('pause')).click();
  await expect(page.locator(at('pause-15min'))).toBeFocused();
  for (let n = 0; n < 10; n += 1) await show(page, { ...views('en').online, services: [service('en', { visits: n })] });
  await expect(page.locator(at('pause-15min'))).toBeFocused();
});

test('a notice carries out a simple wish or leads to a page, and nothing else', async ({ page }) => {
  await open(page, { view: 'notices' });
  await page.locator(at('notice-other-action')).click();
  await expect.poll(async () => (await calls(page, 'stop')).length).toBe(1);
  await show(page, { ...views('en').online, notices: [{ id: 'y', tone: /** @type {const} */ ('warn'), text: 'a text', action: { wish: 'diagnostics', label: 'Look' } }] });
  await page.locator(at('notice-y-action')).click();
  await expect(page.locator(at('page-diagnostics'))).toBeVisible();
  const hostile = { ...views('en').online, notices: [{ id: 'x', tone: /** @type {const} */ ('bad'), text: 'a text', action: { wish: 'forget', label: 'Do it' } }] };
  await show(page, hostile);
  await page.locator(at('notice-x-action')).click();
  expect(await calls(page, 'forget')).toEqual([]);
});

test('without an answer at the beginning there are words and a way to try again', async ({ page }) => {
  await open(page, { change: { answers: { boot: { refuse: { code: 'busy', words: { what: 'Petit is still starting', todo: 'wait a moment' }, field: null } } } } });
  await expect(page.locator(at('failure'))).toContainText('Petit is still starting');
  await expect(page.locator(at('failure-again'))).toBeVisible();
});

test('what only has to be known is said on the overview, in a sentence that stands out and the rest', async ({ page }) => {
  const note = { id: 'no_tray', tone: /** @type {const} */ ('warn'), text: 'There is no tray. Petit lives here. Close it.', action: null };
  await open(page);
  await show(page, { ...views('en').online, notices: [note] });
  await expect(page.locator(`${at('notice-no_tray')} strong`)).toHaveText('There is no tray.');
  await expect(page.locator(at('notice-no_tray'))).toContainText('Petit lives here. Close it.');
  await page.locator(at('nav-logs')).click();
  await expect(page.locator(at('notice-no_tray'))).toHaveCount(0);
});

test('a newer version is told with whoever installs it, and asks for nothing here', async ({ page }) => {
  await open(page, { view: 'newer' });
  const newer = page.locator(at('notice-update'));
  await expect(newer.locator('strong')).toHaveText('Version 0.2.0 of Petit is there.');
  await expect(newer).toContainText('your IT department installs it');
  await expect(newer.locator('button')).toHaveCount(0);
  await page.locator(at('nav-logs')).click();
  await expect(newer).toHaveCount(0);
  await open(page, { view: 'outdated', lang: 'de' });
  await expect(page.locator(`${at('notice-standing')} strong`)).toHaveText('Diese Version von Petit soll nicht mehr benutzt werden.');
  await expect(page.locator(at('notice-update'))).toContainText('Version 0.2.0 von Petit ist da.');
});

test('a newer version that can be installed here has a button, and says how far it is and what went wrong', async ({ page }) => {
  await open(page, { view: 'installable' });
  const update = page.locator(at('notice-update'));
  await expect(update).toContainText('settings and addresses stay as they are');
  await page.locator(at('nav-logs')).click();
  await page.locator(at('notice-update-action')).click();
  await expect.poll(async () => (await calls(page, 'install_update')).length).toBe(1);
  await page.locator(at('nav-overview')).click();
  await expect(update.locator('strong')).toHaveText('Version 0.2.0 of Petit is being fetched: 37 %.');
  await expect(update.locator('button')).toHaveCount(0);
  await show(page, views('en').installing);
  await expect(update).toContainText('starts again by itself');
  await show(page, views('en').notSigned);
  await expect(update).toContainText('Nothing was changed; please tell your vendor.');
  await expect(page.locator(at('notice-update-action'))).toHaveText('Try again');
});

test('what is largest is who reaches what; the state is its small print, and stands in the menu too', async ({ page }) => {
  await open(page);
  await expect(page.locator(at('headline'))).toHaveText('Nordlicht reaches accounts');
  await expect(page.locator(at('since'))).toHaveText('Working since 08:28 (2 h 14 min)');
  await expect(page.locator(at('side-state'))).toHaveText('Working');
  const size = (/** @type {string} */ name) => page.locator(at(name)).evaluate((element) => parseFloat(getComputedStyle(element).fontSize));
  expect(await size('headline')).toBeGreaterThan(1.5 * (await size('address-accounts-url')));
  // What does not work is said before anything else.
  await show(page, views('en').serviceDown);
  await expect(page.locator(at('headline'))).toHaveText('Connected, but not all of it works');
  await expect(page.locator(at('since'))).toHaveText('Since 08:28 (2 h 14 min)');
});

test('what only support asks for is there on wish', async ({ page }) => {
  await open(page);
  for (const name of ['round-trip', 'server-words', 'key-words']) await expect(page.locator(at(name))).toBeHidden();
  await unfold(page, 'support');
  await expect(page.locator(at('round-trip'))).toHaveText('18 ms');
  await expect(page.locator(at('key-words'))).toBeVisible();
  // It stays open while drawings come.
  await show(page, { ...views('en').online, services: [service('en', { visits: 1 })] });
  await expect(page.locator(at('key-words'))).toBeVisible();
});

test('an outage is said once, not once more for each service', async ({ page }) => {
  await open(page, { view: 'waiting' });
  await expect(page.locator('main').getByText("The server's name was not found")).toHaveCount(1);
  await show(page, views('en').serviceDown);
  await expect(page.locator(at('words-accounts'))).toBeVisible();
});

for (const [width, least] of /** @type {const} */ ([[960, 480], [600, 400], [400, 220]])) {
  test(`the state has its width beside any buttons, and seconds move nothing, in a window of ${width} px`, async ({ page }) => {
    await page.setViewportSize({ width, height: 640 });
    const height = () => page.locator(at('hero')).evaluate((hero) => hero.getBoundingClientRect().height);
    for (const lang of /** @type {const} */ (['en', 'de'])) {
      await open(page, { lang, view: 'waiting' });
      for (const [name, view] of Object.entries(views(lang))) {
        await show(page, view);
        const text = await page.locator('.hero-text').boundingBox();
        expect(text?.width, `${lang} ${name}`).toBeGreaterThan(least);
      }
      const { waiting } = views(lang);
      const heights = new Set();
      for (const left of [120, 60, 10, 9, 2, 1, 0]) {
        await show(page, { ...waiting, state: { ...waiting.state, until: NOW + left } });
        await expect(page.locator(at('next-try'))).toContainText(String(Math.max(1, left)));
        heights.add(await height());
      }
      expect([...heights]).toHaveLength(1);
    }
  });
}
