// The catalogue, and the rules that the page's own code keeps.

import { readFileSync, readdirSync } from 'node:fs';

import { catalogue } from '../lib/fixtures.mjs';
import { csp } from '../lib/server.mjs';
import { expect, test } from '../lib/open.mjs';

const APP = new URL('../../app/', import.meta.url);

/** @param {URL} folder @returns {{ name: string, text: string }[]} */
function sources(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return sources(new URL(`${entry.name}/`, folder));
    return [{ name: entry.name, text: readFileSync(new URL(entry.name, folder), 'utf8') }];
  });
}

const all = sources(APP);
const scripts = all.filter(({ name }) => name.endsWith('.js'));
const en = catalogue('en');
const de = catalogue('de');

/** @param {string} text */
const holes = (text) => [...text.matchAll(/\{(\w+)\}/g)].map((found) => found[1]).sort();

test('both languages have the same keys with the same places to fill in', () => {
  expect(Object.keys(de).sort()).toEqual(Object.keys(en).sort());
  for (const key of Object.keys(en)) expect(holes(String(de[key])), key).toEqual(holes(String(en[key])));
});

test('no text is empty or left untranslated by accident', () => {
  const alike = new Set(['ui.settings.lang_system']);
  for (const [key, text] of Object.entries(en).filter(([key]) => key.startsWith('ui.'))) {
    expect(text.trim(), key).not.toBe('');
    expect(String(de[key]).trim(), key).not.toBe('');
    if (text.split(' ').length > 3 && !alike.has(key)) expect(de[key], key).not.toBe(text);
  }
});

test('German speaks to the person with Sie', () => {
  for (const [key, text] of Object.entries(de)) if (key.startsWith('ui.')) expect(text, key).not.toMatch(/\b([Dd]u|[Dd]ein\w*|[Dd]ich|[Dd]ir)\b/);
});

test('every key of the page is used, and every used key is there', () => {
  const used = new Set(scripts.flatMap(({ text }) => [...text.matchAll(/'(ui\.[a-z0-9_.]+)'/g)].map((found) => String(found[1]))));
  const known = Object.keys(en).filter((key) => key.startsWith('ui.'));
  expect([...used].sort()).toEqual(known.sort());
});

test('only ipc.js names the bridge, and nothing goes around the policy', () => {
  for (const { name, text } of scripts) {
    if (name !== 'ipc.js') expect(text, name).not.toContain('__TAURI__');
    expect(text, name).not.toMatch(/\b(fetch|XMLHttpRequest|WebSocket|EventSource|eval|localStorage|sessionStorage)\b|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\.style\b|new Function/);
  }
  for (const { name, text } of all) if (name.endsWith('.html')) expect(text, name).not.toMatch(/ on\w+=|style=|<style|javascript:|https?:/);
});

test('the policy forbids everything that it does not name', () => {
  expect(csp).toBe(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src ipc: http://ipc.localhost; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  );
});

test('no file has more than 500 lines', () => {
  for (const { name, text } of all) expect(text.split('\n').length, name).toBeLessThanOrEqual(500);
});

test('every name for tests in the README is one that the page has', () => {
  const readme = readFileSync(new URL('../README.md', APP), 'utf8');
  const section = readme.slice(readme.indexOf('## Names for tests'), readme.indexOf('## Flows'));
  const code = scripts.map(({ text }) => text).join('\n');
  // The parts of a name that are written in the code: what stands for something else lies between them.
  const literals = new Set([...code.matchAll(/['`]([a-z0-9-]*(?:\$\{[^}]+\}[a-z0-9-]*)*)['`]/g)].map((found) => String(found[1])));
  const patterns = [...literals].filter((text) => /[a-z0-9]/.test(text.replace(/\$\{[^}]+\}/g, ''))).map((text) => new RegExp(`^${text.replace(/\$\{[^}]+\}/g, '[A-Za-z0-9-]+')}$`));
  const named = [...section.matchAll(/`([a-zA-Z0-9-]+)`/g)].map((found) => String(found[1]));
  const unknown = named.filter((name) => !name.startsWith('data-') && !patterns.some((pattern) => pattern.test(name)));
  expect(named.length).toBeGreaterThan(150);
  expect(unknown).toEqual([]);
});
