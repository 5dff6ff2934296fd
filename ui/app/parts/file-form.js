// The config file's values as fields. Each problem of the text stands under the field that it belongs to.

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { banner, button, field } from './controls.js';

/** @import { Form, FormService, Problem, View } from '../contract.d.ts' */

/** Also the names of the levels on the page of the log. @returns {[Form['log_level'], string][]} */
export function levels() {
  return [
    ['error', t('ui.level.error')],
    ['warn', t('ui.level.warn')],
    ['info', t('ui.level.info')],
    ['debug', t('ui.level.debug')],
    ['trace', t('ui.level.trace')],
  ];
}

/** @param {Problem[]} problems @param {string} name Of the field that they belong to. */
const wrongWith = (problems, name) => problems.find((problem) => problem.field === name)?.message ?? null;

/**
 * The settings of the computer as such, and what is wrong with none of the fields.
 * @param {Form} form
 * @param {Problem[]} problems
 * @param {(form: Form) => void} change
 */
export function computerForm(form, problems, change) {
  const placed = new Set(['name', 'log_level', ...form.services.flatMap((_, i) => ['name', 'kind', 'target'].map((part) => `services.${i}.${part}`))]);
  const elsewhere = problems.filter((problem) => problem.field === null || !placed.has(problem.field));
  return h(
    'div',
    { class: 'form' },
    elsewhere.map((problem) => banner('bad', { what: place(problem), todo: '' }, { test: 'form-problem' })),
    field('form-name', { label: t('ui.settings.name'), hint: t('ui.settings.name_hint'), error: wrongWith(problems, 'name') }, (tie) =>
      input(tie, form.name, (name) => change({ ...form, name })),
    ),
    field('form-log-level', { label: t('ui.settings.log_level'), error: wrongWith(problems, 'log_level') }, (tie) =>
      h(
        'select',
        {
          ...tie,
          class: 'input select',
          'data-test': 'form-log-level',
          value: form.log_level,
          onchange: (/** @type {Event} */ event) =>
            change({ ...form, log_level: /** @type {Form['log_level']} */ (/** @type {HTMLSelectElement} */ (event.target).value) }),
        },
        levels().map(([value, text]) => h('option', { value }, text)),
      ),
    ),
  );
}

/**
 * The services, as they stand in the file.
 * @param {Form} form
 * @param {Problem[]} problems
 * @param {View} view  Services in force, to suggest a name that is free.
 * @param {(form: Form) => void} change
 */
export function servicesForm(form, problems, view, change) {
  /** @param {string} name */
  const wrong = (name) => wrongWith(problems, name);
  /** @param {number} at @param {Partial<FormService>} part */
  const changeService = (at, part) =>
    change({ ...form, services: form.services.map((service, i) => (i === at ? { ...service, ...part } : service)) });

  return h(
    'div',
    { class: 'form' },
    form.services.length === 0 && h('p', { class: 'hint' }, t('ui.settings.no_services')),
    h(
      'ol',
      { class: 'form-services' },
      form.services.map((service, at) =>
        h(
          'li',
          null,
          h(
            'fieldset',
            { class: 'form-service', 'data-test': `form-service-${at}` },
            h('legend', { class: 'unseen' }, t('ui.settings.service_n', { n: at + 1, name: service.name })),
            field(`form-services-${at}-name`, { label: t('ui.services.name'), error: wrong(`services.${at}.name`) }, (tie) =>
              input(tie, service.name, (name) => changeService(at, { name })),
            ),
            field(`form-services-${at}-target`, { label: t('ui.settings.target'), error: wrong(`services.${at}.target`) }, (tie) =>
              input(tie, service.target, (target) => changeService(at, { target }), true),
            ),
            field(`form-services-${at}-kind`, { label: t('ui.settings.kind'), error: wrong(`services.${at}.kind`) }, (tie) =>
              h(
                'select',
                {
                  ...tie,
                  class: 'input select',
                  'data-test': tie.id,
                  value: service.kind,
                  onchange: (/** @type {Event} */ event) =>
                    changeService(at, { kind: /** @type {FormService['kind']} */ (/** @type {HTMLSelectElement} */ (event.target).value) }),
                },
                h('option', { value: 'http' }, t('ui.kind.http')),
                h('option', { value: 'tcp' }, t('ui.kind.tcp')),
              ),
            ),
            button(t('ui.services.remove'), () => {
              change({ ...form, services: form.services.filter((_, i) => i !== at) });
              // The button goes with its service; the focus must not.
              document.getElementById('form-add')?.focus();
            }, {
              test: `form-services-${at}-remove`,
              look: 'quiet',
              icon: 'bin',
              label: t('ui.services.remove_label', { name: service.name }),
            }),
          ),
        ),
      ),
    ),
    button(t('ui.services.add'), () => change({ ...form, services: [...form.services, { name: free(form, view), kind: 'http', target: 'localhost:3000' }] }), {
      test: 'form-add',
      more: { id: 'form-add' },
      look: 'quiet',
      icon: 'plus',
    }),
  );
}

/** The name that the program suggests, or the next one that is free. @param {Form} form @param {View} view */
function free(form, view) {
  const taken = new Set([...form.services, ...view.services, ...view.withheld].map((service) => service.name));
  if (!taken.has(view.suggested)) return view.suggested;
  let n = 2;
  while (taken.has(`web-${n}`)) n += 1;
  return `web-${n}`;
}

/** @param {Problem} problem */
function place({ line, message }) {
  return line === null ? message : `${t('ui.settings.line', { line })} ${message}`;
}

/**
 * @param {import('../dom.js').Props} tie
 * @param {string} value
 * @param {(value: string) => void} change
 * @param {boolean} [mono]
 */
function input(tie, value, change, mono = false) {
  return h('input', {
    ...tie,
    type: 'text',
    class: mono ? 'input mono' : 'input',
    dir: mono ? 'ltr' : 'auto',
    'data-test': tie['id'],
    autocomplete: 'off',
    autocapitalize: 'none',
    spellcheck: 'false',
    value,
    oninput: (/** @type {Event} */ event) => change(/** @type {HTMLInputElement} */ (event.target).value),
  });
}
