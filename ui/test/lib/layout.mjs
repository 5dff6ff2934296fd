// What must hold of every drawing: nothing sticks out, no text is cut off, every button can be reached, and a dialog is
// as tall as what is in it. Run inside the page: in a browser by the page's suite, and in the app's own window by the
// desktop's, whose engine is another one. So it stands on its own.

/** @returns {string[]} What is wrong. */
export function layout() {
  /** @type {string[]} */
  const found = [];
  const root = document.documentElement;
  const width = root.clientWidth;
  if (root.scrollWidth > width) found.push(`the page is ${root.scrollWidth} wide in ${width}`);
  const open = document.querySelector('dialog[open]');
  /** @param {Element} element */
  const name = (element) => `${element.tagName} ${element.getAttribute('data-test') ?? element.textContent?.slice(0, 30)}`;

  // What is folded may have a place all the same, where nobody sees it.
  /** @param {Element} element */
  const isFolded = (element) => element.closest('summary') === null && element.closest('details:not([open])') !== null;

  for (const element of document.querySelectorAll('button, a, label, h1, h2, p, dt, dd, li, legend, select')) {
    const box = element.getBoundingClientRect();
    if (box.width === 0 || element.closest('.unseen, .skip, .source, .log-list') || isFolded(element)) continue;
    if (box.left < -1 || box.right > width + 1) found.push(`${name(element)} sticks out: ${Math.round(box.left)} to ${Math.round(box.right)}`);
    if (element instanceof HTMLElement && element.tagName !== 'SELECT' && element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== 'inline') found.push(`${name(element)} is cut off`);
  }

  // Whatever stands beside the state, its words have the width that its mark leaves.
  const hero = document.querySelector('.hero')?.getBoundingClientRect();
  const said = document.querySelector('.hero-text')?.getBoundingClientRect();
  const wishes = document.querySelector('.hero-actions')?.getBoundingClientRect();
  if (hero && said && said.width < hero.width - 128) found.push(`the state has ${Math.round(said.width)} px of ${Math.round(hero.width)}`);
  if (said && wishes && wishes.height > 0 && wishes.top < said.bottom) found.push('the buttons stand beside the state');

  const at = [scrollX, scrollY];
  for (const button of (open ?? document).querySelectorAll('button')) {
    if (button.getClientRects().length === 0 || button.closest('.unseen') || isFolded(button)) continue;
    button.scrollIntoView({ block: 'center', behavior: 'instant' });
    const box = button.getBoundingClientRect();
    const there = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    if (!there || !(button.contains(there) || there.contains(button))) found.push(`${name(button)} lies under ${there ? name(there) : 'nothing that can be seen'}`);
  }
  scrollTo(Number(at[0]), Number(at[1]));

  if (open instanceof HTMLElement) {
    let tall = open.offsetHeight - open.clientHeight;
    for (const part of open.children) tall += /** @type {HTMLElement} */ (part).offsetHeight;
    if (open.offsetHeight > tall + 1) found.push(`${name(open)} is ${open.offsetHeight} px tall for ${tall}`);
    if (open.getBoundingClientRect().bottom > innerHeight + 1) found.push(`${name(open)} is taller than the window`);
  }
  return found;
}
