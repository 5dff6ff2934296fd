// Ten thousand lines that stay smooth: they lie in blocks, and the browser lays out only the blocks in sight
// (`content-visibility`). A new line touches the last block alone; the oldest block goes as a whole. Every line is
// a real element, so the browser's search, selection and a screen reader find them all.

import { locale } from '../i18n.js';

/** @import { LogLine } from '../contract.d.ts' */

export const KEEP = 10_000;
const BLOCK = 100;
/** How near to the end still counts as reading along, in pixels. */
const NEAR_END = 24;

/** Where in the program a line comes from: of use to its makers, who get it with the copy and the file. */
const FROM = /^([a-z_]+(?:::[a-z_]+)*): (.*)/s;

/** What a part of a row stands for, also what it shows in short. @param {Element} part */
function whole(part) {
  const { dataset, textContent } = /** @type {HTMLElement} */ (part);
  if (dataset['at'] !== undefined) return dataset['at'];
  return dataset['from'] ? `${dataset['from']}: ${textContent}` : textContent;
}

/** A moment as the person's clock shows it. What is none stays as it is. @param {string} at */
function timeOfDay(at) {
  const moment = new Date(at);
  return at.length > 10 && !Number.isNaN(moment.getTime()) ? moment.toLocaleTimeString('en-GB') : at;
}

/**
 * Draws into `list` by hand: comparing ten thousand lines five times a second is what must not happen.
 * @param {HTMLElement} list  Scrolls.
 * @param {(level: LogLine['level']) => string} levelName
 */
export function createLogList(list, levelName) {
  // The list may go back further than today.
  const withDay = new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });
  const inner = document.createElement('div');
  inner.setAttribute('role', 'presentation');
  list.replaceChildren(inner);
  /** @type {HTMLElement | null} */
  let last = null;
  let shown = 0;
  /** Whether the end is to stay in sight; until the person scrolls up. */
  let following = true;
  /** Where the list stood when the end was last in sight. */
  let stood = 0;

  /** @param {LogLine} line */
  function row(line) {
    const item = document.createElement('div');
    item.className = `log-line level-${line.level.toLowerCase()}`;
    item.setAttribute('role', 'listitem');
    const at = document.createElement('span');
    at.className = 'log-at';
    at.textContent = timeOfDay(line.at);
    at.dataset['at'] = line.at;
    const moment = new Date(line.at);
    at.title = Number.isNaN(moment.getTime()) ? '' : withDay.format(moment);
    const level = document.createElement('span');
    level.className = 'log-level';
    level.textContent = levelName(line.level);
    const text = document.createElement('span');
    text.className = 'log-text';
    const [, from = '', said = line.text] = FROM.exec(line.text) ?? [];
    text.textContent = said;
    text.dataset['from'] = from;
    item.append(at, level, text);
    return item;
  }

  function decide() {
    const { scrollTop, scrollHeight, clientHeight } = list;
    if (scrollHeight - scrollTop - clientHeight < NEAR_END) {
      following = true;
      stood = scrollTop;
    } else if (scrollTop < stood - NEAR_END) {
      // Not being at the end is no wish: lines may have come, or have taken their true height. Having gone up is one.
      following = false;
    }
  }

  function toEnd() {
    list.scrollTop = list.scrollHeight;
    following = true;
    stood = list.scrollTop;
  }

  list.addEventListener('scroll', decide, { passive: true });
  // Blocks take their true height only when they come into sight, and so does the end.
  const observer = new ResizeObserver(() => following && toEnd());
  observer.observe(inner);
  observer.observe(list);

  /** @param {LogLine[]} lines */
  function append(lines) {
    decide();
    for (const line of lines) {
      if (!last || last.childElementCount >= BLOCK) {
        last = document.createElement('div');
        last.className = 'log-block';
        last.setAttribute('role', 'presentation');
        inner.append(last);
      }
      last.append(row(line));
      shown += 1;
    }
    // Whoever reads further up keeps their place: old lines go only when the end is in sight, or far too many came.
    while ((following && shown - BLOCK >= KEEP) || shown >= 2 * KEEP) {
      const first = inner.firstElementChild;
      if (!first || first === last) break;
      shown -= first.childElementCount;
      first.remove();
    }
    if (following) toEnd();
  }

  return {
    append,
    /** Everything anew, after the filter changed. @param {LogLine[]} lines */
    replace(lines) {
      inner.replaceChildren();
      last = null;
      shown = 0;
      following = true;
      stood = 0;
      append(lines);
      toEnd();
    },
    text() {
      /** @type {string[]} */
      const lines = [];
      for (const block of inner.children) {
        for (const line of block.children) lines.push([...line.children].map(whole).join('  '));
      }
      return lines.join('\n');
    },
  };
}
