// Pictures of what stands outside the window: the icons, the menu behind them, and notifications. The words and shapes are
// the program's; the frames around them are each desktop's own, and here only a plain one.

import { readFileSync } from 'node:fs';

import { said } from './fixtures.mjs';

/** @import { Page } from '@playwright/test' */
/** @import { Lang, MenuItem } from './fixtures.mjs' */

const ICONS = ['online', 'partly', 'connecting', 'waiting', 'paused', 'off', 'unregistered', 'locked', 'stopped', 'broken'];

/** @param {string} name */
const icon = (name) => readFileSync(new URL(`../../../icons/tray/${name}.svg`, import.meta.url), 'utf8');
/** @param {string} text */
const safe = (text) => text.replace(/[&<>]/g, (c) => `&#${c.codePointAt(0)};`);

const STYLE = `body { margin: 0; font: 14px/1.5 system-ui, sans-serif; background: #d9dce3; color: #1d1f24; display: grid; place-items: center; min-height: 100vh }
  .bar { display: flex; gap: 14px; padding: 10px 18px; align-items: center } .bar svg { width: 22px; height: 22px }
  .dark { background: #24262b } .light { background: #f1f2f4 } .bars { display: grid; border-radius: 10px; overflow: hidden }
  table { border-spacing: 14px 6px } td { vertical-align: middle } td svg { width: 32px; height: 32px; display: block }
  .menu { background: #fff; border-radius: 10px; padding: 6px 0; width: 430px; box-shadow: 0 8px 30px #0003 } .menu > div { padding: 5px 16px }
  .menu hr { border: 0; border-top: 1px solid #d9dce3; margin: 5px 0 } .said { color: #5c6270 } .more { float: right }
  .note { background: #fff; border-radius: 12px; padding: 14px 18px; width: 400px; margin: 7px; box-shadow: 0 8px 30px #0003; display: grid; grid-template-columns: 40px 1fr; gap: 12px }
  .note svg { width: 36px; height: 36px } .note p { margin: 2px 0 8px } .note b { font-size: 15px } .act { border: 1px solid #c3c8d2; border-radius: 7px; padding: 3px 12px; display: inline-block }`;

/** @param {MenuItem} item @returns {string} */
function entry(item) {
  if ('separator' in item) return '<hr>';
  if ('line' in item) return `<div class="said">${safe(item.line)}</div>`;
  const check = item.checked === undefined ? '' : item.checked ? '✓ ' : '';
  return `<div>${check}${safe(item.entry)}${item.items ? '<span class="more">▸</span>' : ''}</div>`;
}

/** @param {Lang} lang @param {string} state */
const menu = (lang, state) => `<div class="menu">${said(lang).trays[state]?.items.map(entry).join('')}</div>`;

/** @param {Lang} lang */
const notes = (lang) => {
  const shapes = ['partly', 'online', 'stopped'];
  const note = (/** @type {{ title: string, body: string, button: string }} */ { title, body, button }, /** @type {number} */ n) =>
    `<div class="note">${icon(String(shapes[n]))}<div><b>${safe(title)}</b><p>${safe(body)}</p><span class="act">${safe(button)}</span></div></div>`;
  return `<div>${said(lang).notifications.map(note).join('')}</div>`;
};

function icons() {
  const bar = ICONS.map(icon).join('');
  // The first state of each icon that is named here is the one that explains it.
  const { online, serviceDown, ...others } = said('en').trays;
  const trays = [online, serviceDown, ...Object.values(others)];
  const rows = ICONS.map((name) => [name, trays.find((tray) => tray?.icon === name)?.line ?? '']).filter(([, line]) => line !== '');
  return `<div><div class="bars"><div class="bar dark">${bar}</div><div class="bar light">${bar}</div></div>
    <table>${rows.map(([name, line]) => `<tr><td>${icon(String(name))}</td><td>${safe(String(line))}</td></tr>`).join('')}</table></div>`;
}

/** @type {Record<string, () => string>} */
const PICTURES = {
  'tray-icons': icons,
  'tray-menu': () => menu('en', 'twoServices'),
  'tray-menu-stopped': () => menu('en', 'stopped'),
  'tray-menu-de': () => menu('de', 'serviceDown'),
  notifications: () => notes('en'),
  'notifications-de': () => notes('de'),
};

export const desktopNames = Object.keys(PICTURES);

/** @param {Page} page @param {string} name */
export async function desktop(page, name) {
  await page.setContent(`<!doctype html><meta charset="utf-8"><style>${STYLE}</style>${PICTURES[name]?.()}`);
}
