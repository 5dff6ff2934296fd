// The program, as far as the page can tell: answers wishes, remembers what was asked, sends events. `install` runs
// inside the page before any of its scripts, so it must stand on its own.

/** @import { Boot, Bundle, Check, Form, Invite, Listening, LogLine, Service, Settings, View } from '../../app/contract.d.ts' */
/** @import { Examples } from './fixtures.mjs' */

/**
 * @typedef {object} Scenario
 * @property {Boot} boot
 * @property {Examples} said      What the program says.
 * @property {Invite} invite
 * @property {Listening[]} listening
 * @property {string} config
 * @property {Check[]} checks
 * @property {Bundle} bundle
 * @property {LogLine[]} logs
 * @property {Record<string, any>} answers  By wish, instead of the ordinary answer: `{ refuse }`, `{ never: true }`, `{ value }`.
 */

/** @param {Scenario} scenario */
export function install(scenario) {
  const { said, answers } = scenario;
  const { views, refusals } = said;
  let boot = scenario.boot;
  let view = boot.view;
  let file = scenario.config;
  /** @type {{ wish: string, args: any }[]} */
  const calls = [];
  /** @type {Map<string, Set<(event: { payload: any }) => void>>} */
  const listeners = new Map();

  /** @param {string} event @param {any} payload */
  const emit = (event, payload) => listeners.get(event)?.forEach((handle) => handle({ payload }));
  /** @param {View} next */
  const show = (next) => {
    view = next;
    emit('view', view);
  };

  /**
   * What the program says of a text; of one that it was not asked about, a reader for the few lines of TOML in it.
   * @param {string} text @returns {Settings}
   */
  const read = (text) => {
    const known = Object.values(said.settings).find((settings) => settings.text === text);
    if (known) return known;
    /** @type {Form} */
    const form = { log_level: 'info', name: '', services: [] };
    /** @type {Record<string, string>} */
    let table = {};
    for (const line of text.split('\n')) {
      if (line === '[client]') table = /** @type {any} */ (form);
      if (line === '[[client.service]]') {
        table = { name: '', kind: 'http', target: '' };
        form.services.push(/** @type {any} */ (table));
      }
      const pair = /^(\w+) = "([^"]*)"$/.exec(line);
      if (pair) table[String(pair[1])] = String(pair[2]);
    }
    return { text, form, problems: [] };
  };

  /** Keeps comments: lines are changed in place, and services taken out or put at the end. @param {string} text @param {Form} form */
  const write = (text, form) => {
    const parts = text.split(/(?=^\[\[client\.service\]\]$)/m);
    let head = parts.shift() ?? '';
    head = head.replace(/^log_level = .*$/m, `log_level = "${form.log_level}"`).replace(/^name = .*$/m, `name = "${form.name}"`);
    const blocks = form.services.map(({ name, target, kind }, at) => {
      const block = parts[at] ?? `${at > 0 ? '\n' : ''}[[client.service]]\nname = ""\ntarget = ""\nkind = ""\n`;
      return block.replace(/^name = .*$/m, `name = "${name}"`).replace(/^target = .*$/m, `target = "${target}"`).replace(/^kind = .*$/m, `kind = "${kind}"`);
    });
    return head + blocks.join('');
  };

  /** @param {string} before @param {string} after */
  const compare = (before, after) => {
    const a = before.split('\n');
    const b = after.split('\n');
    /** @type {{ kind: 'same' | 'added' | 'removed', text: string }[]} */
    const lines = [];
    let i = 0;
    let j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) {
        lines.push({ kind: 'same', text: String(a[i]) });
        i += 1;
        j += 1;
      } else if (i < a.length && (j >= b.length || !b.slice(j).includes(String(a[i])))) {
        lines.push({ kind: 'removed', text: String(a[i]) });
        i += 1;
      } else {
        lines.push({ kind: 'added', text: String(b[j]) });
        j += 1;
      }
    }
    return lines;
  };

  /** @type {Record<string, (args: any) => any>} */
  const wishes = {
    boot: () => ({ ...boot, view }),
    start: () => show({ ...views.online, services: view.services }),
    stop: () => show({ ...views.off }),
    pause: () => show({ ...views.paused }),
    unlock: () => show({ ...views.online }),
    install_update: () => show({ ...views.updating }),
    quit: () => undefined,
    read_invite: ({ text }) => {
      if (!text.includes('#v1.')) throw refusals.not_an_invite;
      return scenario.invite;
    },
    register: () => {
      show({ ...views.off, services: [] });
      return { service: 'web', url: 'https://k3v5qyz2m7wbn4ta.nordlicht.example', former: null };
    },
    forget: () => show(views.unregistered),
    listening: () => scenario.listening,
    try_target: ({ target }) => {
      if (!/^[\w.-]+:\d+$/.test(target)) throw refusals.target;
      return said.tried[target] ?? said.tried['localhost:9999'];
    },
    set_service: ({ before, service }) => {
      if (!/^[a-z0-9-]+$/.test(service.name)) throw refusals.name;
      /** @type {Service} */
      const made = { .../** @type {Service} */ (views.online.services[0]), ...service, visits: 0, aliases: [] };
      const services = before === null ? [...view.services, made] : view.services.map((known) => (known.name === before ? made : known));
      show({ ...view, services });
    },
    choose: ({ share, service }) => {
      const made = scenario.invite.kept.filter((kept) => share.includes(kept.name));
      const all = service ? [...made.filter((kept) => kept.name !== service.name), service] : made;
      const isDead = service !== null && said.tried[service.target]?.tone === 'bad';
      const after = isDead ? views.notThere : views.online;
      const like = /** @type {Service} */ (after.services[0]);
      show({ ...after, services: all.map(({ name, kind, target }) => ({ ...like, name, kind, target, visits: 0, aliases: [] })) });
    },
    share: ({ name }) => {
      const like = /** @type {Service} */ (views.online.services[0]);
      const found = view.withheld.find((kept) => kept.name === name);
      if (found) show({ ...view, withheld: view.withheld.filter((kept) => kept !== found), services: [...view.services, { ...like, ...found }] });
    },
    remove_service: ({ name }) => show({ ...view, services: view.services.filter((known) => known.name !== name) }),
    ping: () => emit('view', view),
    settings: () => read(file),
    fill_settings: ({ text, form }) => read(form === null ? text : write(text, form)),
    diff_settings: ({ text }) => ({ lines: compare(file, text), problems: read(text).problems }),
    apply_settings: ({ text }) => {
      file = text;
      return { done: true, rolled_back: false, words: said.applied.done };
    },
    logs: ({ follow }) => (follow ? scenario.logs : []),
    log_level: () => undefined,
    doctor: () => scenario.checks,
    bundle: () => scenario.bundle,
    save_bundle: () => `/home/anna/${scenario.bundle.name}`,
    set_prefs: ({ prefs }) => {
      boot = { ...boot, prefs };
      return { ...boot, view };
    },
    copy: () => undefined,
    show: () => undefined,
  };

  /** @param {string} wish @param {any} args */
  const invoke = async (wish, args) => {
    calls.push({ wish, args });
    // As over the real bridge, nothing is shared between the two sides.
    await new Promise((resolve) => setTimeout(resolve, 0));
    const instead = answers[wish];
    if (instead?.never) return new Promise(() => undefined);
    if (instead?.refuse) throw structuredClone(instead.refuse);
    if (instead && 'value' in instead) return structuredClone(instead.value);
    const answer = wishes[wish];
    if (!answer) throw `Command ${wish} not found`;
    return structuredClone(answer(args));
  };

  Object.assign(window, {
    __TAURI__: {
      core: { invoke },
      event: {
        /** @param {string} event @param {(event: { payload: any }) => void} handle */
        listen: async (event, handle) => {
          const all = listeners.get(event) ?? new Set();
          listeners.set(event, all.add(handle));
          return () => all.delete(handle);
        },
      },
    },
    /** For the tests. */
    fake: { calls, emit, show, answers, current: () => view, setFile: (/** @type {string} */ text) => (file = text) },
  });
}
