// Two or more views of one thing. One stop for Tab; the arrow keys change the view.

import { h } from '../dom.js';
import { direction } from '../i18n.js';

/** @import { Child } from '../dom.js' */

/**
 * @template {string} Name
 * @param {string} label
 * @param {{ name: Name, text: string }[]} tabs
 * @param {Name} current
 * @param {(name: Name) => void} choose
 * @param {Child} panel
 */
export function tabs(label, tabs, current, choose, panel) {
  /** @param {KeyboardEvent} event */
  const move = (event) => {
    const forward = direction() === 'rtl' ? 'ArrowLeft' : 'ArrowRight';
    const at = tabs.findIndex((tab) => tab.name === current);
    const step = event.key === forward ? 1 : event.key === 'ArrowRight' || event.key === 'ArrowLeft' ? -1 : 0;
    const next = step === 0 ? undefined : tabs.at((at + step) % tabs.length);
    if (!next) return;
    event.preventDefault();
    document.getElementById(`tab-${next.name}`)?.focus();
    choose(next.name);
  };
  return [
    h(
      'div',
      { class: 'tabs', role: 'tablist', 'aria-label': label, onkeydown: move },
      tabs.map(({ name, text }) =>
        h(
          'button',
          {
            type: 'button',
            role: 'tab',
            id: `tab-${name}`,
            'data-test': `tab-${name}`,
            'aria-selected': name === current,
            'aria-controls': `panel-${name}`,
            tabindex: name === current ? 0 : -1,
            onclick: () => choose(name),
          },
          text,
        ),
      ),
    ),
    h('div', { key: current, class: 'tab-panel', role: 'tabpanel', id: `panel-${current}`, 'aria-labelledby': `tab-${current}` }, panel),
  ];
}
