// The config file as text: line numbers, its grammar in quiet colours, mistakes underlined where they are.
//
// What is typed into is a plain <textarea>; behind it lies the same text, coloured. Where colours are forced the
// text behind is not shown. Tab moves on, as everywhere else, so nobody is caught in the field.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { sentence } from './format.js';
import { mark } from './icons.js';

/** @import { VNode } from '../dom.js' */
/** @import { Problem } from '../contract.d.ts' */

/**
 * @param {string} text
 * @param {Problem[]} problems
 * @param {{ readonly: boolean, typed: (text: string) => void }} how
 */
export function source(text, problems, how) {
  const lines = text.split('\n');
  const wrong = new Map(problems.flatMap((problem) => (problem.line === null ? [] : [[problem.line, problem]])));
  return h(
    'div',
    { class: 'source-frame' },
    h(
      'div',
      { class: 'source', dir: 'ltr' },
      h(
        'div',
        { class: 'source-gutter', 'aria-hidden': 'true' },
        lines.map((_, at) => h('div', { class: wrong.has(at + 1) ? 'wrong' : '' }, at + 1)),
      ),
      h(
        'div',
        { class: 'source-text' },
        h('pre', { class: 'source-behind', 'aria-hidden': 'true' }, lines.map((line, at) => h('div', { class: 'source-line' }, coloured(line, wrong.get(at + 1))))),
        h('textarea', {
          class: 'source-input',
          id: 'source',
          'data-test': 'source',
          'aria-label': t('ui.settings.source_label'),
          'aria-invalid': problems.length > 0 ? 'true' : undefined,
          'aria-describedby': problems.length > 0 ? 'source-problems' : undefined,
          spellcheck: 'false',
          autocomplete: 'off',
          autocapitalize: 'none',
          wrap: 'off',
          rows: Math.max(12, lines.length + 1),
          readonly: how.readonly,
          value: text,
          oninput: (/** @type {Event} */ event) => how.typed(/** @type {HTMLTextAreaElement} */ (event.target).value),
          onscroll: (/** @type {Event} */ event) => {
            const area = /** @type {HTMLElement} */ (event.target);
            const behind = area.previousElementSibling;
            if (behind) behind.scrollLeft = area.scrollLeft;
          },
        }),
      ),
    ),
    h(
      'ul',
      { class: 'problems', id: 'source-problems', 'aria-label': t('ui.settings.problems'), 'data-test': 'source-problems', hidden: problems.length === 0 },
      problems.map((problem) => h('li', null, problemLine(problem))),
    ),
  );
}

/** @param {Problem} problem */
function problemLine(problem) {
  const { line, column, message } = problem;
  if (line === null) return h('p', { class: 'problem' }, mark('bad'), h('span', null, sentence(message)));
  return h(
    'button',
    { type: 'button', class: 'problem', 'data-test': `problem-line-${line}`, onclick: () => goTo(line, column) },
    mark('bad'),
    h('span', null, h('strong', null, t('ui.settings.line', { line })), ' ', sentence(message)),
  );
}

/** Puts the cursor where a mistake is. @param {number} line @param {number | null} column */
function goTo(line, column) {
  const area = document.getElementById('source');
  if (!(area instanceof HTMLTextAreaElement)) return;
  const lines = area.value.split('\n');
  const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  const end = start + (lines[line - 1]?.length ?? 0);
  area.focus();
  area.setSelectionRange(column === null ? start : Math.min(start + column - 1, end), end);
}

/** A line's grammar, as far as colours need it; what the engine thinks of it arrives as a problem. */
const GRAMMAR = /(#.*$)|("(?:[^"\\]|\\.)*"?|'[^']*'?)|(^\s*\[\[?[^\]]*\]?\]?)|(^\s*[\w.-]+(?=\s*=))|(\b(?:true|false|[+-]?\d[\d_.:T-]*)\b)/g;
const CLASSES = ['comment', 'text', 'table', 'key', 'value'];

/**
 * @param {string} line
 * @param {Problem | undefined} problem
 * @returns {(VNode | string)[]}
 */
function coloured(line, problem) {
  if (problem) {
    const from = Math.min(Math.max(0, (problem.column ?? 1) - 1), Math.max(0, line.length - 1));
    return [line.slice(0, from), h('mark', null, line.slice(from) || ' ')];
  }
  /** @type {(VNode | string)[]} */
  const parts = [];
  let at = 0;
  for (const found of line.matchAll(GRAMMAR)) {
    const kind = CLASSES[found.slice(1).findIndex((group) => group !== undefined)];
    parts.push(line.slice(at, found.index), h('span', { class: `toml-${kind}` }, found[0]));
    at = found.index + found[0].length;
  }
  parts.push(line.slice(at) || (parts.length === 0 ? '\u200b' : ''));
  return parts;
}
