// The way of a visitor, drawn as a path: visitor → server → this computer → service, with a light for each hop.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { took } from './format.js';
import { icon, mark } from './icons.js';

/** @import { Hop, Service } from '../contract.d.ts' */

/** @param {Service} service */
export function path(service) {
  return h(
    'ol',
    { class: 'path', 'aria-label': t('ui.path.label', { name: service.name }), 'data-test': `path-${service.name}` },
    h(
      'li',
      { class: 'hop visitor' },
      h('span', { class: 'hop-node' }, icon('visitor')),
      h('span', { class: 'hop-label' }, t('ui.path.visitor')),
    ),
    service.hops.map(hop),
  );
}

/** @param {Hop} hop */
function hop({ id, label, tone, said, took_us }) {
  const time = took_us === null || tone !== 'good' ? '' : took(took_us);
  return h(
    'li',
    { key: id, class: `hop hop-${id} tone-${tone}`, 'data-test': `hop-${id}`, 'data-tone': tone },
    h('span', { class: 'hop-node' }, icon(id), mark(tone)),
    h('span', { class: 'hop-label' }, label),
    h('span', { class: `hop-said ${time === '' ? '' : 'has-time'}` }, h('span', { class: time === '' ? '' : 'unseen' }, said), time && h('span', { dir: 'ltr' }, time)),
  );
}
