// The last two minutes as small drawings. Their numbers stand beside them in words.

import { h } from '../dom.js';

/** @import { VNode } from '../dom.js' */

/** Units of the drawing's own grid; the page stretches it. */
const WIDTH = 300;
const HEIGHT = 56;
/** Two minutes of one sample every two seconds. */
const SLOTS = 60;

/** The newest at the end, also when there are too few or too many. @param {number[]} values */
function slots(values) {
  const last = values.slice(-SLOTS);
  return [...Array(SLOTS - last.length).fill(0), ...last];
}

/** @param {number[]} values @param {string} label */
export function bars(values, label) {
  const all = slots(values);
  // A single request must not look like a flood.
  const top = Math.max(4, ...all);
  const step = WIDTH / SLOTS;
  const drawn = all.map((value, at) => {
    if (value === 0) return null;
    const height = Math.max(3, (value / top) * (HEIGHT - 2));
    return h('rect', { class: 'chart-bar', x: at * step + 0.75, y: HEIGHT - height, width: step - 1.5, height, rx: 1 });
  });
  return frame(label, drawn);
}

/**
 * What came out of the service as an area, what went into it as a line.
 * @param {number[]} out
 * @param {number[]} into
 * @param {string} label
 */
export function areas(out, into, label) {
  const top = Math.max(1000, ...out, ...into);
  /** @param {number[]} values */
  const points = (values) => {
    const step = WIDTH / (SLOTS - 1);
    return slots(values)
      .map((value, at) => `${(at * step).toFixed(1)} ${(HEIGHT - 1 - (value / top) * (HEIGHT - 4)).toFixed(1)}`)
      .join('L');
  };
  return frame(label, [
    h('path', { class: 'chart-area', d: `M0 ${HEIGHT}L${points(out)}L${WIDTH} ${HEIGHT}Z` }),
    h('path', { class: 'chart-line', d: `M${points(out)}` }),
    h('path', { class: 'chart-line second', d: `M${points(into)}` }),
  ]);
}

/** @param {string} label @param {Array<VNode | null>} content */
function frame(label, content) {
  return h(
    'svg',
    { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    content,
    h('path', { class: 'chart-ground', d: `M0 ${HEIGHT}H${WIDTH}` }),
  );
}
