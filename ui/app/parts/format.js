// Numbers and times, in the person's language.

import { language, locale, plural, t } from '../i18n.js';

/** @param {number} n */
export function number(n) {
  return new Intl.NumberFormat(locale()).format(n);
}

/** The same letters in every language we speak. */
const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** @param {number} n */
export function bytes(n) {
  let at = 0;
  while (n >= 999.5 && at < UNITS.length - 1) {
    n /= 1000;
    at += 1;
  }
  const digits = at > 0 && n < 10 ? 1 : 0;
  return `${new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(n)}\u00a0${UNITS[at]}`;
}

/** How long a hop took. @param {number} micros */
export function took(micros) {
  const ms = micros / 1000;
  const text = ms < 1 ? '<1' : new Intl.NumberFormat(locale(), { maximumFractionDigits: ms < 10 ? 1 : 0 }).format(ms);
  return t('ui.format.ms', { ms: text });
}

/** A moment of today as a time, an earlier one with its day. @param {number} seconds since 1970 */
export function moment(seconds) {
  const at = new Date(seconds * 1000);
  const today = at.toDateString() === new Date().toDateString();
  /** @type {Intl.DateTimeFormatOptions} */
  const day = today ? {} : { weekday: 'short', day: 'numeric', month: 'short' };
  return new Intl.DateTimeFormat(locale(), { ...day, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(at);
}

/** How long ago, coarse enough not to flicker. @param {number} seconds since 1970 */
export function ago(seconds) {
  const past = Math.max(0, Date.now() / 1000 - seconds);
  if (past < 10) return t('ui.format.just_now');
  if (past < 60) return plural(Math.floor(past / 10) * 10, 'ui.format.seconds_ago', 'ui.format.seconds_ago');
  if (past < 3600) return plural(Math.floor(past / 60), 'ui.format.minute_ago', 'ui.format.minutes_ago');
  return moment(seconds);
}

/** "2 h 14 min". @param {number} seconds */
export function duration(seconds) {
  const minutes = Math.max(0, Math.floor(seconds / 60));
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (days > 0) return plural(days, 'ui.format.day', 'ui.format.days');
  if (hours > 0) return t('ui.format.hours_minutes', { h: number(hours), min: number(minutes % 60) });
  if (minutes > 0) return t('ui.format.minutes', { min: number(minutes) });
  return t('ui.format.under_a_minute');
}

/** With a capital at the beginning, unless that is an address. @param {string} text */
export function opening(text) {
  const address = /^\S*[.:/_\d]\S/.test(text);
  return address ? text : text.charAt(0).toLocaleUpperCase(language()) + text.slice(1);
}

/**
 * Causes arrive as sentences without their first capital and full stop. An address at the beginning keeps its letters.
 * @param {string} text
 */
export function sentence(text) {
  if (text === '') return '';
  const first = opening(text);
  // An address alone is no sentence.
  if (!first.includes(' ')) return first;
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

/** What is said at a field: what is wrong with it, and what would be right. @param {import('../contract.d.ts').Refused} refused */
export function fieldError({ words }) {
  return [words.what, words.todo].filter((text) => text !== '').map(sentence).join(' ');
}
