// Every state that the page can be handed, in both languages: the program's own answers, as a test of it has written
// them down in examples.json. Here is only what holds no sentence of the program's.

import { readFileSync } from 'node:fs';

/** @import { About, Applied, Boot, Bundle, Check, Invite, Listening, LogLine, Prefs, Refused, Service, Settings, Tried, View, Words } from '../../app/contract.d.ts' */

/** @typedef {'en' | 'de'} Lang */
/** @typedef {'unregistered' | 'online' | 'twoServices' | 'serviceDown' | 'notThere' | 'frontBroken' | 'upToServer' | 'checking' | 'empty' | 'withheld' | 'off' | 'paused' | 'connecting' | 'waiting' | 'stopped' | 'locked' | 'broken' | 'notices' | 'newer' | 'outdated' | 'installable' | 'updating' | 'installing' | 'notSigned'} ViewName */
/** @typedef {{ line: string } | { separator: true } | { entry: string, checked?: boolean, items?: MenuItem[] }} MenuItem */
/** @typedef {{ icon: string, line: string, items: MenuItem[] }} Tray */

/**
 * @typedef {object} Examples
 * @property {Record<ViewName, View>} views
 * @property {Record<string, View>} states      Every state there is.
 * @property {Record<'new' | 'expired' | 'replacing', Invite>} invites
 * @property {Listening[]} listening
 * @property {Record<string, Tried>} tried      By target.
 * @property {Record<'well' | 'unwell', Check[]>} checks
 * @property {Record<'good' | 'changed' | 'target' | 'wrong' | 'unreadable', Settings>} settings
 * @property {Record<'not_an_invite' | 'used' | 'no_keychain' | 'not_written' | 'offline' | 'target' | 'name', Refused>} refusals
 * @property {Record<'done' | 'rolled_back', Words>} applied
 * @property {Record<string, Tray>} trays
 * @property {{ title: string, body: string, button: string }[]} notifications
 */

/** @param {string} file */
const beside = (file) => readFileSync(new URL(file, import.meta.url), 'utf8');

/** @type {{ now: number, link: string } & Record<Lang, Examples>} */
const examples = JSON.parse(beside('examples.json'));

/** @param {Lang} lang @returns {Examples} */
export const said = (lang) => structuredClone(examples[lang]);

/** The clock of every picture and test: a Tuesday, 10:42 UTC. */
export const NOW = examples.now;

/** @param {Lang} lang @returns {Record<string, string>} */
export function catalogue(lang) {
  return JSON.parse(beside(`../../../petit-app/i18n/${lang}.json`));
}

/** @type {About} */
const about = {
  version: '0.1.0',
  protocol: 1,
  config_path: '/home/anna/.petit/config.toml',
  log_path: '/home/anna/.petit/logs/petit.log',
  data_path: '/home/anna/.petit',
  licence: 'MIT OR Apache-2.0',
};

/** @type {Prefs} */
export const prefs = { start_on_login: true, notify_down: true, notify_back: true, theme: 'system', lang: 'system' };

/** @param {Lang} lang */
export const views = (lang) => said(lang).views;

/** @param {Lang} lang @param {Partial<Service>} [change] @returns {Service} */
export function service(lang, change = {}) {
  return { .../** @type {Service} */ (said(lang).views.online.services[0]), ...change };
}

/** @param {Lang} lang @param {ViewName} name @param {Partial<Boot>} [change] @returns {Boot} */
export function boot(lang, name, change = {}) {
  return { lang, texts: catalogue(lang), about, prefs, view: views(lang)[name], open: { page: 'overview', invite: null }, colour: null, ...change };
}

export const INVITE_TEXT = examples.link;

/** @type {Invite} */
export const invite = examples.en.invites.new;

export const CONFIG = beside('config.toml');

/** @type {Bundle} */
export const bundle = {
  name: 'petit-diagnostics-20261124T104200Z.zip',
  files: [
    { name: 'about.json', bytes: 143, text: '{\n  "version": "0.1.0",\n  "os": "linux",\n  "arch": "x86_64"\n}\n' },
    { name: 'doctor.txt', bytes: 812, text: 'good    config file: ~/.petit/config.toml\ngood    registration: with tunnel.nordlicht.example\ngood    key of this computer: in the keychain\ngood    way to the server: answers in 18 ms\n' },
    { name: 'config.toml', bytes: CONFIG.length, text: CONFIG },
    { name: 'client.log', bytes: 48_213, text: '2026-11-24T10:41:02Z INFO petit_engine::agent: online server=tunnel.nordlicht.example:8453\n2026-11-24T10:41:03Z INFO petit_engine::agent: reachable service=accounts\n' },
  ],
};

/** Lines as the program writes them. @param {number} count @returns {LogLine[]} */
export function logLines(count) {
  /** @type {[LogLine['level'], string][]} */
  const kinds = [
    ['DEBUG', 'visit service=accounts visitor=192.0.2.44:51322 request=1283'],
    ['DEBUG', 'visit service=accounts visitor=192.0.2.44:51324 request=1284'],
    ['DEBUG', 'connecting server=tunnel.nordlicht.example:8453'],
    ['INFO', 'reachable service=accounts url=https://k3v5qyz2m7wbn4ta.nordlicht.example'],
    ['WARN', 'the server did not register the service service=archive cause=NoPort'],
    ['INFO', 'config applied services=2'],
    ['ERROR', 'the config file has a mistake; nothing was changed error=/home/anna/.petit/config.toml:14:1: [client.service] has no key "targt"; did you mean "target"?'],
    ['INFO', 'online server=tunnel.nordlicht.example:8453 device=abcdefghijklmnopqrstuvwxyz'],
  ];
  return Array.from({ length: count }, (_, id) => {
    const [level, text] = /** @type {[LogLine['level'], string]} */ (kinds[(id * 7 + (id >> 3)) % kinds.length]);
    return { id, at: new Date((NOW - (count - id) * 3) * 1000).toISOString(), level, text: `petit_engine::agent: ${text}` };
  });
}
