// Line drawings on a grid of 20, in the colour of the text beside them. All decoration: the text says it too.

import { h } from '../dom.js';

/** @import { VNode } from '../dom.js' */

/** @satisfies {Record<string, string[]>} */
const PATHS = {
  overview: ['M3 11.5a7 7 0 1 1 14 0', 'M10 11.5l3-3.5', 'M3.5 15.5h13'],
  services: ['M4 4h12a1 1 0 0 1 1 1v3a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1z', 'M4 11h12a1 1 0 0 1 1 1v3a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1v-3a1 1 0 0 1 1-1z', 'M6 6.5h.01', 'M6 13.5h.01'],
  settings: ['M3 6h7', 'M14 6h3', 'M12 4v4', 'M3 14h3', 'M10 14h7', 'M8 12v4'],
  logs: ['M5 3h7l4 4v9a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1z', 'M7 9.5h6', 'M7 13h4'],
  diagnostics: ['M2.5 10.5h3.2l2-5 3.6 9.5 2.2-4.5h4'],
  about: ['M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14z', 'M10 9.5v4', 'M10 6.7h.01'],
  setup: ['M10 3l1.6 4.4L16 9l-4.4 1.6L10 15l-1.6-4.4L4 9l4.4-1.6z', 'M15.5 14.5v3', 'M14 16h3'],
  visitor: ['M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14z', 'M3 10h14', 'M10 3c2.2 2 3.2 4.3 3.2 7s-1 5-3.2 7c-2.2-2-3.2-4.3-3.2-7S7.8 5 10 3z'],
  front: ['M5.8 15.5a3.8 3.8 0 0 1-.4-7.58 5 5 0 0 1 9.55 1.1 3.3 3.3 0 0 1-.45 6.480z'],
  tunnel: ['M6 9h8a1 1 0 0 1 1 1v5a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-5a1 1 0 0 1 1-1z', 'M7 9V6.5a3 3 0 0 1 6 0V9'],
  client: ['M4.5 4h11a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1h-11a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1z', 'M2 16h16'],
  service: ['M4 4h12a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1z', 'M3 7.5h14', 'M5.3 5.8h.01', 'M7.3 5.8h.01'],
  copy: ['M8 7h7a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H8a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1z', 'M13 7V5a1 1 0 0 0-1-1H5a1 1 0 0 0-1 1v7a1 1 0 0 0 1 1h2'],
  check: ['M4.5 10.5l3.5 3.5 7.5-8'],
  open: ['M11 4h5v5', 'M16 4l-7 7', 'M14 12v3a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1h3'],
  plus: ['M10 4.5v11', 'M4.5 10h11'],
  menu: ['M3.5 6h13', 'M3.5 10h13', 'M3.5 14h13'],
  close: ['M5 5l10 10', 'M15 5L5 15'],
  down: ['M6 8.5l4 4 4-4'],
  pause: ['M7.5 5v10', 'M12.5 5v10'],
  play: ['M7 4.8l8.5 5.2L7 15.2z'],
  stop: ['M6.5 5.5h7a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1h-7a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1z'],
  again: ['M15.5 10a5.5 5.5 0 1 1-1.6-3.9', 'M14.5 3v3.3h-3.3'],
  edit: ['M4 16l.8-3.3L13 4.5a1 1 0 0 1 1.4 0l1.1 1.1a1 1 0 0 1 0 1.4L7.3 15.2z'],
  bin: ['M4 6h12', 'M8 6V4.5a.5.5 0 0 1 .5-.5h3a.5.5 0 0 1 .5.5V6', 'M5.5 6l.7 9.1a1 1 0 0 0 1 .9h5.6a1 1 0 0 0 1-.9l.7-9.1'],
  folder: ['M3 6a1 1 0 0 1 1-1h4l1.5 2H16a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1z'],
  search: ['M9 14.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11z', 'M13 13l3.5 3.5'],
  key: ['M7 14a3.5 3.5 0 1 1 3.1-5.1H17v2.6h-2v2h-2.5v-2h-2.4A3.5 3.5 0 0 1 7 14z', 'M6.5 10.5h.01'],
  power: ['M10 3v6.5', 'M6 5.5a6.5 6.5 0 1 0 8 0'],
};

/** @typedef {keyof typeof PATHS} IconName */

/**
 * @param {IconName} name
 * @returns {VNode}
 */
export function icon(name) {
  return h(
    'svg',
    { class: `icon icon-${name}`, viewBox: '0 0 20 20', 'aria-hidden': 'true', focusable: 'false' },
    PATHS[name].map((d) => h('path', { d })),
  );
}

/** The sign of Petit: a small gate, and the one way through it. */
export function logo() {
  return h(
    'svg',
    { class: 'logo', viewBox: '0 0 32 32', 'aria-hidden': 'true', focusable: 'false' },
    h('rect', { class: 'logo-ground', width: 32, height: 32, rx: 9 }),
    h('path', { class: 'logo-gate', d: 'M9 24v-8a7 7 0 0 1 14 0v8' }),
    h('circle', { class: 'logo-way', cx: 16, cy: 22, r: 2.5 }),
  );
}

/** @import { Tone } from '../contract.d.ts' */

/** Drawn solid; the sign inside is cut out in the colour of the ground. @type {Record<Tone, () => VNode[]>} */
const MARKS = {
  good: () => [
    h('circle', { class: 'mark-body', cx: 10, cy: 10, r: 8 }),
    h('path', { class: 'mark-sign', d: 'M6.3 10.3l2.5 2.5 4.9-5.3' }),
  ],
  busy: () => [
    h('circle', { class: 'mark-track', cx: 10, cy: 10, r: 7 }),
    h('path', { class: 'mark-turn', d: 'M10 3a7 7 0 0 1 7 7' }),
  ],
  warn: () => [
    h('path', { class: 'mark-body', d: 'M8.7 2.8a1.5 1.5 0 0 1 2.6 0l7 12.2a1.5 1.5 0 0 1-1.3 2.2H3a1.5 1.5 0 0 1-1.3-2.2z' }),
    h('path', { class: 'mark-sign', d: 'M10 7.5v4M10 14.2v.01' }),
  ],
  bad: () => [
    h('path', { class: 'mark-body', d: 'M6.7 2h6.6L18 6.7v6.6L13.3 18H6.7L2 13.3V6.7z' }),
    h('path', { class: 'mark-sign', d: 'M7.2 7.2l5.6 5.6M12.8 7.2l-5.6 5.6' }),
  ],
  off: () => [
    h('circle', { class: 'mark-ring', cx: 10, cy: 10, r: 7 }),
    h('path', { class: 'mark-line', d: 'M7 10h6' }),
  ],
};

/**
 * A tone as a shape of its own: disc with a tick, turning ring, triangle, octagon, hollow ring.
 * @param {Tone} tone
 * @param {string} [size] A class, such as `mark-large`.
 */
export function mark(tone, size = '') {
  return h(
    'svg',
    { key: `mark-${tone}`, class: `mark tone-${tone} ${size}`, viewBox: '0 0 20 20', 'aria-hidden': 'true', focusable: 'false' },
    MARKS[tone](),
  );
}
