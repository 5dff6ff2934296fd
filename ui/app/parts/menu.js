// A button with a list of choices: arrow keys go along it, Escape and a click elsewhere close it.

import { h } from '../dom.js';
import { redraw } from '../store.js';
import { icon } from './icons.js';

/** @import { IconName } from './icons.js' */

/** Name of the menu that is open. @type {string | null} */
let open = null;

/** @param {string | null} name */
function setOpen(name) {
  open = name;
  redraw();
}

document.addEventListener('pointerdown', (event) => {
  if (open !== null && !(event.target instanceof Element && event.target.closest('.menu'))) setOpen(null);
});

/**
 * @param {string} test
 * @param {string} text
 * @param {IconName} picture
 * @param {{ test: string, text: string, act: () => void }[]} items
 */
export function menu(test, text, picture, items) {
  const isOpen = open === test;
  return h(
    'div',
    {
      class: 'menu',
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (isOpen) move(event);
      },
      onfocusout: (/** @type {FocusEvent} */ event) => {
        const to = event.relatedTarget;
        const wrapper = /** @type {Element} */ (event.currentTarget);
        if (isOpen && to instanceof Node && !wrapper.contains(to)) setOpen(null);
      },
    },
    h(
      'button',
      {
        type: 'button',
        class: 'button plain',
        'data-test': test,
        'aria-haspopup': 'menu',
        'aria-expanded': isOpen,
        onclick: () => setOpen(isOpen ? null : test),
      },
      icon(picture),
      h('span', null, text),
      icon('down'),
    ),
    isOpen &&
      h(
        'div',
        {
          class: 'menu-list',
          role: 'menu',
          'aria-label': text,
          made: (/** @type {HTMLElement} */ list) => /** @type {HTMLElement} */ (list.firstElementChild).focus(),
        },
        items.map((item) =>
          h(
            'button',
            {
              type: 'button',
              role: 'menuitem',
              tabindex: -1,
              'data-test': item.test,
              onclick: (/** @type {Event} */ event) => {
                backToButton(event);
                setOpen(null);
                item.act();
              },
            },
            item.text,
          ),
        ),
      ),
  );
}

/** @param {Event} event */
function backToButton(event) {
  const button = /** @type {Element} */ (event.target).closest('.menu')?.querySelector('button');
  button?.focus();
}

/** @param {KeyboardEvent} event */
function move(event) {
  const list = /** @type {Element} */ (event.currentTarget).querySelector('.menu-list');
  if (!list) return;
  const items = /** @type {HTMLElement[]} */ ([...list.children]);
  const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  /** @type {Record<string, number>} */
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 };
  const next = to[event.key];
  if (next !== undefined) {
    event.preventDefault();
    items.at(next % items.length)?.focus();
  } else if (event.key === 'Escape') {
    event.preventDefault();
    backToButton(event);
    setOpen(null);
  }
}
