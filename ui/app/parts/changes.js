// Which changes are worth saying aloud: another state, a service that fell out or came back, a new notice.
// Numbers that run and seconds that count down are not.

import { t } from '../i18n.js';
import { sentence } from './format.js';

/** @import { View } from '../contract.d.ts' */

/**
 * @param {View} before
 * @param {View} now
 * @returns {string} Empty when there is nothing to say.
 */
export function changes(before, now) {
  /** @type {string[]} */
  const news = [];
  const { headline } = now;
  if (before.state.kind !== now.state.kind || before.headline.tone !== headline.tone) {
    news.push(sentence(headline.title), sentence(headline.detail), sentence(headline.advice));
  }
  for (const service of now.services) {
    const former = before.services.find((known) => known.name === service.name);
    if (!former || former.light === service.light) continue;
    if (service.light === 'green') news.push(t('ui.live.service_good', { name: service.name }));
    if (service.light === 'red') news.push(t('ui.live.service_bad', { name: service.name, what: sentence(service.words.what) }));
  }
  const known = new Set(before.notices.map((notice) => notice.id));
  for (const notice of now.notices) if (!known.has(notice.id)) news.push(sentence(notice.text));
  if (now.config_problem && !before.config_problem) news.push(t('ui.notice.config'));
  return news.filter((text) => text !== '').join(' ');
}
