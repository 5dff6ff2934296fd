// Redraws docs/screenshots: every page and state in light, the main ones in dark, with forced colours, in German,
// narrow and at 200 %, and what stands outside the window. With names as arguments only those. `--to FOLDER` draws somewhere else.

import { spawnSync } from 'node:child_process';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from '@playwright/test';

import { desktop, desktopNames } from './lib/desktop.mjs';
import { open } from './lib/open.mjs';
import { names, picture } from './lib/pictures.mjs';
import { serve } from './lib/server.mjs';

/** @import { BrowserContextOptions } from '@playwright/test' */
/** @import { PictureName } from './lib/pictures.mjs' */
/** @import { Lang } from './lib/fixtures.mjs' */

/** The window as it opens, drawn at 1200 × 853. @type {BrowserContextOptions} */
const WINDOW = { viewport: { width: 900, height: 640 }, deviceScaleFactor: 4 / 3, locale: 'en-GB', timezoneId: 'UTC', reducedMotion: 'reduce' };

/** @typedef {{ suffix: string, names: PictureName[], options: BrowserContextOptions, lang?: Lang }} Series */

/** @type {Series[]} */
const SERIES = [
  { suffix: '', names, options: {} },
  {
    suffix: '-dark',
    names: ['overview', 'overview-service-down', 'overview-waiting', 'setup-check', 'setup-service', 'services', 'settings', 'settings-source', 'settings-diff', 'logs', 'diagnostics-bad', 'about'],
    options: { colorScheme: 'dark' },
  },
  { suffix: '-forced', names: ['overview-service-down', 'settings-form', 'settings-source'], options: { forcedColors: 'active' } },
  { suffix: '-de', names: ['overview', 'setup-check', 'services-remove', 'settings-form'], options: { locale: 'de-DE' }, lang: 'de' },
  { suffix: '-narrow', names: ['overview', 'settings-form'], options: { viewport: { width: 420, height: 640 }, deviceScaleFactor: 4 / 3 } },
  { suffix: '-200', names: ['overview', 'setup-service'], options: { viewport: { width: 450, height: 320 }, deviceScaleFactor: 8 / 3 } },
];

const argv = process.argv.slice(2);
const to = argv.includes('--to') ? String(argv.splice(argv.indexOf('--to'), 2)[1]) : fileURLToPath(new URL('../../docs/screenshots/', import.meta.url));

/** Every file that this script draws. */
export const files = [...SERIES.flatMap(({ suffix, names: of }) => of.map((name) => `${name}${suffix}.png`)), ...desktopNames.map((name) => `${name}.png`)];

/** @param {Set<string>} only */
async function drawAll(only) {
  await mkdir(to, { recursive: true });
  const server = await serve();
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
    env: { ...process.env, FONTCONFIG_FILE: fileURLToPath(new URL('lib/fonts.conf', import.meta.url)) },
  });
  for (const { suffix, names: of, options, lang = 'en' } of SERIES) {
    for (const name of of) {
      const file = `${name}${suffix}.png`;
      if (only.size > 0 && !only.has(`${name}${suffix}`)) continue;
      const context = await browser.newContext({ ...WINDOW, ...options, baseURL: server.origin });
      const page = await context.newPage();
      const { start, go } = picture(name);
      await open(page, { ...start, lang });
      await go?.(page);
      await page.mouse.move(0, 0);
      await page.screenshot({ path: `${to}/${file}`, animations: 'disabled', caret: 'hide' });
      await context.close();
    }
  }
  for (const name of desktopNames) {
    if (only.size > 0 && !only.has(name)) continue;
    const page = await browser.newPage({ ...WINDOW, viewport: { width: 640, height: 460 } });
    await desktop(page, name);
    await page.screenshot({ path: `${to}/${name}.png` });
    await page.close();
  }
  await browser.close();
  server.stop();
}

/** Fewer colours: a page has few. Without pngquant the pictures are only larger. @param {Set<string>} only */
async function shrink(only) {
  const isNew = (/** @type {string} */ file) => files.includes(file) && (only.size === 0 || only.has(file.slice(0, -'.png'.length)));
  const drawn = (await readdir(to)).filter(isNew).map((file) => `${to}/${file}`);
  const { error, status } = spawnSync('pngquant', ['--force', '--skip-if-larger', '--strip', '--speed', '1', '--ext', '.png', '96', ...drawn]);
  if (error) console.log('pngquant is not installed: the pictures stay large');
  else if (status !== 0 && status !== 98) throw new Error(`pngquant failed: ${status}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const only = new Set(argv);
  await drawAll(only);
  if (only.size === 0) {
    for (const file of await readdir(to)) if (file.endsWith('.png') && !files.includes(file)) await rm(`${to}/${file}`);
  }
  await shrink(only);
  console.log(`${only.size || files.length} pictures in ${to}`);
}
