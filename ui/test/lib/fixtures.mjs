// Every state that the page can be handed, in both languages: the program's own answers, as a test of it has written
// them down in examples.json. Here is only what holds no sentence of the program's.

import { readFileSync } from 'node:fs';

/** @import { About, Applied, Boot, Bundle, Check, Invite, Listening, LogLine, Prefs, Refused, Service, Settings, Tried, View, Words } from '../../app/contract.d.ts' */

/** @typedef {'en' | 'de'} Lang */
/** @typedef {'unregistered' | 'online' | 'twoServices' | 'serviceDown' | 'frontBroken' | 'upToServer' | 'checking' | 'empty' | 'withheld' | 'off' | 'paused' | 'connecting' | 'waiting' | 'stopped' | 'locked' | 'broken' | 'notices'} ViewName */
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
  return JSON.parse(beside(`../../../petit-client/i18n/${lang}.json`));
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
  return { lang, texts: catalogue(lang), about, prefs, view: views(lang)[name], open: { page: 'overview', invite: null }, ...change };
}

export const INVITE_TEXT = examples.link;

/** @type {Invite} */
export const invite = examples.en.invites.new;

export const CONFIG = beside('config.toml');

/** @type {Bundle} */
export const bundle = {
  name: 'petit-report-2026-11-24.zip',
  files: [
    { name: 'checks.txt', bytes: 812, text: '✔ config file            /home/███/.petit/config.toml\n✔ registration           with tunnel.nordlicht.example\n✔ key of this computer   in the keychain\n✔ way to the server      answers in 18 ms\n' },
    { name: 'config.toml', bytes: CONFIG.length, text: CONFIG },
    { name: 'petit.log', bytes: 48_213, text: '2026-11-24T10:41:02Z INFO session opened round_trip=18.4ms\n2026-11-24T10:41:09Z INFO visit service=accounts status=200 took=12ms\n' },
    { name: 'versions.txt', bytes: 143, text: 'petit 0.1.0\nprotocol 1\nLinux 6.1, GNOME 43, X11\n' },
  ],
};

/** @param {number} count @returns {LogLine[]} */
export function logLines(count) {
  /** @type {[LogLine['level'], string][]} */
  const kinds = [
    ['INFO', 'visit service=accounts method=GET status=200 took=12ms bytes=18240'],
    ['INFO', 'visit service=accounts method=POST status=201 took=31ms bytes=512'],
    ['DEBUG', 'session{id=7f3a} ping answered round_trip=18.4ms'],
    ['INFO', 'whole way tried service=accounts result=good took=34ms'],
    ['WARN', 'service refused the connection service=archive target=nas.local:5432'],
    ['INFO', 'visit service=accounts method=GET status=304 took=4ms bytes=0'],
    ['ERROR', 'session lost cause=name_not_found server=tunnel.nordlicht.example retry_in=8s'],
    ['INFO', 'session opened server=tunnel.nordlicht.example round_trip=18.4ms features=[drain, pins, probe]'],
  ];
  return Array.from({ length: count }, (_, id) => {
    const [level, text] = /** @type {[LogLine['level'], string]} */ (kinds[(id * 7 + (id >> 3)) % kinds.length]);
    return { id, at: new Date((NOW - (count - id) * 3) * 1000).toISOString(), level, text: `petit_client::client: ${text}` };
  });
}
