// What would change, line by line: a sign before each line, so that colour is not needed.

import { h } from '../dom.js';
import { t } from '../i18n.js';

/** @import { Diff } from '../contract.d.ts' */

/** Unchanged lines shown around a change; longer stretches are folded. */
const AROUND = 2;

/** @param {Diff} diff */
export function diffView({ lines }) {
  const near = lines.map((_, at) =>
    lines.slice(Math.max(0, at - AROUND), at + AROUND + 1).some((line) => line.kind !== 'same'),
  );
  /** @type {import('../dom.js').Child[]} */
  const rows = [];
  lines.forEach((line, at) => {
    if (near[at]) {
      const sign = line.kind === 'added' ? '+' : line.kind === 'removed' ? '−' : '';
      const said = line.kind === 'added' ? t('ui.diff.added') : line.kind === 'removed' ? t('ui.diff.removed') : '';
      rows.push(
        h(
          'li',
          { class: `diff-line ${line.kind}` },
          h('span', { class: 'diff-sign', 'aria-hidden': 'true' }, sign),
          said && h('span', { class: 'unseen' }, said),
          h('code', null, line.text === '' ? ' ' : line.text),
        ),
      );
    } else if (near[at - 1] || at === 0) {
      rows.push(h('li', { class: 'diff-fold' }, h('span', { 'aria-hidden': 'true' }, '⋯'), h('span', { class: 'unseen' }, t('ui.diff.same'))));
    }
  });
  return h('ol', { class: 'diff', 'data-test': 'diff', tabindex: 0, 'aria-label': t('ui.diff.label'), dir: 'ltr' }, rows);
}
