// Ten thousand lines that stay smooth: they lie in blocks, and the browser lays out only the blocks in sight
// (`content-visibility`). A new line touches the last block alone; the oldest block goes as a whole. Every line is
// a real element, so the browser's search, selection and a screen reader find them all.

/** @import { LogLine } from '../contract.d.ts' */

export const KEEP = 10_000;
const BLOCK = 100;
/** How near to the end still counts as reading along, in pixels. */
const NEAR_END = 24;

/**
 * Draws into `list` by hand: comparing ten thousand lines five times a second is what must not happen.
 * @param {HTMLElement} list  Scrolls.
 * @param {(level: LogLine['level']) => string} levelName
 */
export function createLogList(list, levelName) {
  /** @type {HTMLElement | null} */
  let last = null;
  let shown = 0;

  /** @param {LogLine} line */
  function row(line) {
    const item = document.createElement('div');
    item.className = `log-line level-${line.level.toLowerCase()}`;
    item.setAttribute('role', 'listitem');
    const at = document.createElement('span');
    at.className = 'log-at';
    at.textContent = line.at;
    const level = document.createElement('span');
    level.className = 'log-level';
    level.textContent = levelName(line.level);
    const text = document.createElement('span');
    text.className = 'log-text';
    text.textContent = line.text;
    item.append(at, level, text);
    return item;
  }

  function atEnd() {
    return list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END;
  }

  function toEnd() {
    list.scrollTop = list.scrollHeight;
    // Blocks that have just come into sight take their true height only now.
    requestAnimationFrame(() => {
      list.scrollTop = list.scrollHeight;
    });
  }

  /** @param {LogLine[]} lines */
  function append(lines) {
    const follow = atEnd();
    for (const line of lines) {
      if (!last || last.childElementCount >= BLOCK) {
        last = document.createElement('div');
        last.className = 'log-block';
        last.setAttribute('role', 'presentation');
        list.append(last);
      }
      last.append(row(line));
      shown += 1;
    }
    // Whoever reads further up keeps their place: old lines go only when the end is in sight, or far too many came.
    while ((follow && shown - BLOCK >= KEEP) || shown >= 2 * KEEP) {
      const first = list.firstElementChild;
      if (!first || first === last) break;
      shown -= first.childElementCount;
      first.remove();
    }
    if (follow) toEnd();
  }

  return {
    append,
    toEnd,
    /** Everything anew, after the filter changed. @param {LogLine[]} lines */
    replace(lines) {
      list.replaceChildren();
      last = null;
      shown = 0;
      append(lines);
      toEnd();
    },
    text() {
      /** @type {string[]} */
      const lines = [];
      for (const block of list.children) {
        for (const line of block.children) lines.push([...line.children].map((part) => part.textContent).join('  '));
      }
      return lines.join('\n');
    },
  };
}
