// First run, end to end.

import { INVITE_TEXT, NOW, invite, said, views } from '../lib/fixtures.mjs';
import { at, calls, expect, open, show, test, unfold } from '../lib/open.mjs';

/** @import { Page } from '@playwright/test' */
/** @import { Start } from '../lib/open.mjs' */

test('from the invite to a working address, by mouse', async ({ page }) => {
  await open(page, { view: 'unregistered' });
  // An overview of nothing would help nobody: the first run begins by itself.
  await expect(page.locator(at('step-invite'))).toBeVisible();
  await page.locator(at('invite')).fill(`Dear Ms Meyer,\n${INVITE_TEXT}\nYours, Nordlicht`);
  await page.locator(at('invite-continue')).click();

  await expect(page.locator(at('invite-server'))).toHaveText('tunnel.nordlicht.example:8453');
  await expect(page.locator(`${at('invite-words-en')} li`)).toHaveText(invite.server_words.en.split(' '));
  await expect(page.locator(`${at('invite-words-de')} li`)).toHaveText(invite.server_words.de.split(' '));
  expect(await calls(page, 'register')).toEqual([]);
  await page.locator(at('setup-connect')).click();

  await page.locator(at('choice-option-0')).check();
  await expect(page.locator(at('choice-tried'))).toContainText('Answers, 12 ms');
  await page.locator(at('service-use')).click();

  await expect(page.locator(at('setup-login'))).toBeChecked();
  await page.locator(at('setup-finish')).click();
  await expect(page.locator(at('setup-state'))).toContainText('Working');
  await expect(page.locator(at('done-address-url'))).toHaveText('https://k3v5qyz2m7wbn4ta.nordlicht.example');

  expect((await calls(page, 'register'))[0]?.args).toEqual({ text: expect.stringContaining(INVITE_TEXT), key_store: 'keychain', replace: false });
  expect((await calls(page, 'choose')).map(({ args }) => args)).toEqual([{ share: [], service: { name: 'web', kind: 'http', target: 'localhost:8080' } }]);
  expect((await calls(page, 'set_prefs'))[0]?.args.prefs.start_on_login).toBe(true);
  await page.locator(at('setup-done')).click();
  await expect(page.locator(at('hero'))).toHaveAttribute('data-state', 'online');
  // Once done it is no place of its own any more.
  await expect(page.locator(at('nav-setup'))).toHaveCount(0);
});

test('from the invite to a working address, by keyboard alone', async ({ page }) => {
  await open(page, { view: 'unregistered' });
  const focused = page.locator(':focus');
  /** @param {string} name */
  const tabTo = async (name) => {
    for (let n = 0; n < 40; n += 1) {
      await page.keyboard.press('Tab');
      if ((await focused.getAttribute('data-test')) === name) return;
    }
    throw new Error(`Tab does not reach ${name}`);
  };
  await expect(page.locator(at('invite'))).toBeFocused();
  await page.keyboard.insertText(INVITE_TEXT);
  await page.keyboard.press('Enter');
  await expect(page.locator('h1')).toBeFocused();
  await tabTo('setup-connect');
  await page.keyboard.press('Enter');
  await page.locator(at('choice-option-0')).waitFor();
  await expect(page.locator('h1')).toBeFocused();
  await tabTo('choice-option-0');
  await page.keyboard.press('Space');
  await page.keyboard.press('ArrowDown');
  await expect(page.locator(at('choice-option-1'))).toBeChecked();
  await expect(page.locator(`${at('choice-tried')} .tried-line.tone-warn`)).toContainText('says “not found” at its front page');
  await tabTo('service-use');
  await page.keyboard.press('Enter');
  await page.locator(at('setup-login')).waitFor();
  await tabTo('setup-login');
  await page.keyboard.press('Space');
  await tabTo('setup-finish');
  await page.keyboard.press('Enter');
  await page.locator(at('setup-done')).waitFor();
  await tabTo('setup-done');
  await page.keyboard.press('Enter');
  await expect(page.locator(at('hero'))).toBeVisible();
  expect((await calls(page, 'choose'))[0]?.args.service.target).toBe('localhost:3000');
  expect((await calls(page, 'set_prefs'))[0]?.args.prefs.start_on_login).toBe(false);
});

test('a link only fills the invite in, and says so', async ({ page }) => {
  await open(page, { view: 'unregistered', boot: { open: { page: 'overview', invite: INVITE_TEXT } } });
  await expect(page.locator(at('invite'))).toHaveValue(INVITE_TEXT);
  await expect(page.locator(at('invite-from-link'))).toBeVisible();
  expect((await calls(page)).map(({ wish }) => wish)).toEqual(['boot']);
  await page.locator(at('setup-cancel')).click();
  await page.locator(at('nav-setup')).click();
  await expect(page.locator(at('invite'))).toHaveValue('');
});

test('a link that comes while the window is open leads to the invite', async ({ page }) => {
  await open(page, { view: 'online' });
  await page.evaluate((text) => /** @type {any} */ (window).fake.emit('open', { page: 'setup', invite: text }), INVITE_TEXT);
  await expect(page.locator(at('invite'))).toHaveValue(INVITE_TEXT);
  expect(await calls(page, 'read_invite')).toEqual([]);
});

test('what is no invite is said at its field, which keeps the focus', async ({ page }) => {
  await open(page, { view: 'unregistered' });
  await page.locator(at('invite-continue')).click();
  await expect(page.locator(at('invite-error'))).toContainText('Paste the invite first');
  await page.locator(at('invite')).fill('hello');
  await page.locator(at('invite-continue')).click();
  await expect(page.locator(at('invite-error'))).toContainText('This is not an invite. Copy the whole link');
  await expect(page.locator(at('invite'))).toBeFocused();
  await expect(page.locator(at('invite'))).toHaveAttribute('aria-invalid', 'true');
});

test('an expired invite leads nowhere but back', async ({ page }) => {
  await open(page, { view: 'unregistered', change: { invite: { ...invite, expired: true, not_after: NOW - 60 } } });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await expect(page.locator(at('invite-expired'))).toBeVisible();
  await expect(page.locator(at('setup-connect'))).toHaveCount(0);
  await page.locator(at('setup-back')).click();
  await expect(page.locator(at('invite'))).toHaveValue(INVITE_TEXT);
});

test('another registration is given up only after a second question', async ({ page }) => {
  await open(page, { page: 'setup', change: { invite: { ...invite, replaces: 'tunnel.altwerk.example' } } });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await page.locator(at('setup-connect')).click();
  await expect(page.locator(at('replace-cancel'))).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(page.locator(at('replace-dialog'))).toHaveCount(0);
  await expect(page.locator(at('setup-connect'))).toBeFocused();
  expect(await calls(page, 'register')).toEqual([]);
  await page.locator(at('setup-connect')).click();
  await page.locator(at('replace-confirm')).click();
  await expect(page.locator(at('step-service'))).toBeVisible();
  expect((await calls(page, 'register')).map(({ args }) => args.replace)).toEqual([true]);
  // In which order one ends and the other begins is not the page's business.
  expect(await calls(page, 'forget')).toEqual([]);
});

test('a replacement that fails leaves the question, and the registration, as they were', async ({ page }) => {
  const refuse = { code: 'register.withdrawn', words: { what: 'This invite was withdrawn', todo: 'Ask the vendor for a new one.' }, field: null };
  await open(page, { page: 'setup', change: { invite: { ...invite, replaces: 'Altwerk (tunnel.altwerk.example)' }, answers: { register: { refuse } } } });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await expect(page.locator(at('invite-replaces'))).toContainText('Altwerk (tunnel.altwerk.example)');
  await page.locator(at('setup-connect')).click();
  await page.locator(at('replace-confirm')).click();
  await expect(page.locator(at('register-error'))).toContainText('This invite was withdrawn');
  await expect(page.locator(at('invite-replaces'))).toBeVisible();
  expect(await calls(page, 'forget')).toEqual([]);
});

test('what is set up already is named, and shared only when it is ticked', async ({ page }) => {
  const kept = [
    { name: 'accounts', kind: /** @type {const} */ ('http'), target: 'localhost:28080', chosen: false },
    { name: 'archive', kind: /** @type {const} */ ('tcp'), target: 'nas.local:5432', chosen: false },
  ];
  await open(page, { view: 'unregistered', change: { invite: { ...invite, kept } } });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await expect(page.locator(at('invite-kept'))).toContainText('localhost:28080');
  await expect(page.locator(at('share-accounts'))).not.toBeChecked();
  await page.locator(at('share-archive')).check();
  await page.locator(at('setup-connect')).click();
  await page.locator(at('choice-option-0')).waitFor();
  expect(await calls(page, 'choose')).toEqual([]);
  await page.locator(at('service-later')).click();
  await page.locator(at('setup-finish')).click();
  await expect(page.locator(at('step-done'))).toContainText('All set');
  expect((await calls(page, 'choose')).map(({ args }) => args)).toEqual([{ share: ['archive'], service: null }]);
});

test('for the same server what it reached before is ticked already', async ({ page }) => {
  const kept = [{ name: 'accounts', kind: /** @type {const} */ ('http'), target: 'localhost:28080', chosen: true }];
  await open(page, { view: 'unregistered', change: { invite: { ...invite, kept } } });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await expect(page.locator(at('share-accounts'))).toBeChecked();
});

test('what could not be done about the former registration is said', async ({ page }) => {
  const former = { what: 'Altwerk (tunnel.altwerk.example) could not be told that its connection is over: The server does not answer', todo: 'It reaches nothing here any more all the same.' };
  const value = { service: 'web', url: 'https://k3v5qyz2m7wbn4ta.nordlicht.example', former };
  await open(page, { view: 'unregistered', change: { answers: { register: { value } } } });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await page.locator(at('setup-connect')).click();
  await expect(page.locator(at('former'))).toContainText('could not be told');
});

test('the first run can be pasted into at once', async ({ page }) => {
  await open(page, { view: 'unregistered' });
  await expect(page.locator(at('invite'))).toBeFocused();
});

test('whom the invite is from is said beside the server, with what it learns', async ({ page }) => {
  await open(page, { view: 'unregistered' });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await expect(page.locator(at('invite-vendor'))).toHaveText('Nordlicht');
  await expect(page.locator(at('invite-server'))).toHaveText('tunnel.nordlicht.example:8453');
  await expect(page.locator(at('invite-exposes'))).toContainText('Whoever Nordlicht (tunnel.nordlicht.example) lets in');
  await page.locator(`${at('invite-told')} summary`).click();
  await expect(page.locator(at('invite-told'))).toContainText('Front desk');
});

test('the key goes into a file only when the person says so', async ({ page }) => {
  const refuse = { code: 'no_keychain', words: { what: 'there is no keychain on this computer', todo: 'start it' }, field: null };
  await open(page, { view: 'unregistered', change: { answers: { register: { refuse } } } });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await page.locator(at('setup-connect')).click();
  await expect(page.locator(at('key-in-file'))).not.toBeChecked();
  await page.locator(at('setup-connect')).click();
  await expect.poll(async () => (await calls(page, 'register')).length).toBe(2);
  await page.evaluate(() => delete (/** @type {any} */ (window).fake.answers.register));
  await page.locator(at('key-in-file')).check();
  await page.locator(at('setup-connect')).click();
  await expect(page.locator(at('step-service'))).toBeVisible();
  expect((await calls(page, 'register')).map(({ args }) => args.key_store)).toEqual(['keychain', 'keychain', 'file']);
});

test('a typed address is tried once the typing rests, and a late answer does not speak for a newer one', async ({ page }) => {
  await open(page, { view: 'unregistered' });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await page.locator(at('setup-connect')).click();
  await page.locator(at('choice-other')).check();
  await page.locator(at('choice-target')).pressSequentially('localhost:5432', { delay: 5 });
  await page.locator(at('choice-kind-tcp')).check();
  await expect(page.locator(at('choice-tried'))).toContainText('Accepts connections in 3 ms');
  const tries = (await calls(page, 'try_target')).map(({ args }) => `${args.target} ${args.kind}`);
  expect(tries.at(-1)).toBe('localhost:5432 tcp');
  expect(tries.length).toBeLessThanOrEqual(3);
});

test('whoever does not know the program yet comes back to it later', async ({ page }) => {
  await open(page, { view: 'unregistered', change: { listening: [] } });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await page.locator(at('setup-connect')).click();
  await expect(page.locator(at('choice-none'))).toBeVisible();
  await expect(page.locator(at('choice-target'))).toBeVisible();
  await expect(page.locator(at('service-use'))).toHaveAttribute('aria-disabled', 'true');
  await page.locator(at('service-later')).click();
  await page.locator(at('setup-finish')).click();
  await expect(page.locator(at('step-done'))).toContainText('Nothing can be reached yet');
  await page.locator(at('setup-done')).click();
  await expect(page.locator(at('empty'))).toBeVisible();
});

test('setting up begins anew when the registration was forgotten half way', async ({ page }) => {
  await open(page, { view: 'unregistered' });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await page.locator(at('setup-connect')).click();
  await expect(page.locator(at('step-service'))).toBeVisible();
  await show(page, views('en').unregistered);
  await page.locator(at('menu')).click();
  await page.locator(at('nav-about')).click();
  await page.locator(at('nav-setup')).click();
  await expect(page.locator(at('step-invite'))).toBeVisible();
  await expect(page.locator(at('invite'))).toHaveValue('');
});

/** @param {Page} page @param {Start} [start] */
async function toService(page, start) {
  await open(page, { view: 'unregistered', ...start });
  await page.locator(at('invite')).fill(INVITE_TEXT);
  await page.locator(at('invite-continue')).click();
  await page.locator(at('setup-connect')).click();
  await page.locator(at('choice-other')).waitFor();
}

test('what is not there may be chosen, and is never called all set', async ({ page }) => {
  await toService(page);
  await expect(page.locator(at('service-use'))).toHaveText('Use this service');
  await page.locator(at('choice-other')).check();
  await page.locator(at('choice-target')).fill('localhost:9999');
  await expect(page.locator(at('choice-tried'))).toContainText('Nothing listens at localhost:9999');
  await expect(page.locator(at('service-use'))).toHaveText('Use it anyway');
  await page.locator(at('service-use')).click();
  await page.locator(at('setup-finish')).click();
  const done = page.locator(at('step-done'));
  await expect(done.locator('h1')).toHaveText('Set up, but not reachable yet');
  await expect(page.locator(at('setup-state'))).toContainText('Nothing listens at localhost:9999.Start the service');
  await expect(done).not.toContainText('All set');
  // It comes up while somebody looks.
  await show(page, views('en').online);
  await expect(done.locator('h1')).toHaveText('All set');
});

test('the end of setting up says no more than what was seen', async ({ page }) => {
  await toService(page);
  await page.locator(at('choice-option-0')).check();
  await page.locator(at('service-use')).click();
  await page.locator(at('setup-finish')).click();
  const title = page.locator(at('step-done')).locator('h1');
  await expect(title).toHaveText('All set');
  const words = /** @type {const} */ ([
    ['checking', 'Set up, and being tried'],
    ['connecting', 'Set up, and being tried'],
    ['upToServer', 'Set up'],
    ['serviceDown', 'Set up, but not reachable yet'],
    ['frontBroken', 'Set up, but not reachable yet'],
    ['stopped', 'Set up, but not reachable yet'],
    ['off', 'Set up, but not reachable yet'],
    ['empty', 'Connected'],
    ['twoServices', 'All set'],
  ]);
  for (const [view, expected] of words) {
    await show(page, views('en')[view]);
    await expect(title, view).toHaveText(expected);
  }
});

test('the menu is behind its button until there is something to go to', async ({ page }) => {
  await toService(page);
  await expect(page.locator(at('nav-services'))).toBeHidden();
  await expect(page.locator(at('side-state'))).toHaveCount(0);
  await page.locator(at('menu')).click();
  await expect(page.locator(at('nav-settings'))).toBeVisible();
  await page.locator(at('menu')).click();
  await page.locator(at('service-later')).click();
  await page.locator(at('setup-finish')).click();
  await expect(page.locator(at('nav-services'))).toBeHidden();
  await page.locator(at('setup-done')).click();
  await expect(page.locator(at('nav-services'))).toBeVisible();
});

test('whoever is registered already keeps the menu while entering another invite', async ({ page }) => {
  await open(page, { page: 'setup' });
  await expect(page.locator(at('nav-services'))).toBeVisible();
});

test('what came of a try stands in the row that was tried, and the way on stays in sight of a long list', async ({ page }) => {
  const many = said('en').listening.slice(0, 1).concat(
    Array.from({ length: 20 }, (_, n) => ({ target: `localhost:${4000 + n}`, program: `service ${n}`, process: '', found: 'answers, 2 ms', kind: /** @type {const} */ ('http'), usual: true })),
  );
  await toService(page, { change: { listening: many } });
  await expect(page.locator(at('service-use'))).toBeInViewport({ ratio: 1 });
  await page.locator(at('choice-option-0')).check();
  await expect(page.locator(`.option-row.picked ${at('choice-tried')}`)).toContainText('Answers, 12 ms');
  await expect(page.locator('.option-row.picked')).toContainText('Lexwright Accounts');
  // Whoever walks by keyboard sees where they are, above what stays.
  for (let n = 0; n < 20; n += 1) {
    await page.keyboard.press('ArrowDown');
    const hidden = await page.evaluate(() => {
      const row = /** @type {Element} */ (document.activeElement).getBoundingClientRect();
      const foot = /** @type {Element} */ (document.querySelector('.foot')).getBoundingClientRect();
      return row.bottom > foot.top;
    });
    expect(hidden, `row ${n}`).toBe(false);
  }
});

test('ports of the system stand behind what people share', async ({ page }) => {
  await toService(page);
  await expect(page.locator(at('choice-option-0'))).toBeVisible();
  await expect(page.getByText('cupsd')).toBeHidden();
  await unfold(page, 'choice-more');
  await expect(page.getByText('cupsd')).toBeVisible();
  await page.locator(at('choice-option-4')).check();
  await expect(page.locator('.option-row.picked')).toContainText('cupsd');
});
