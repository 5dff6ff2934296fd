// The program, as far as the page can tell: answers wishes, remembers what was asked, sends events. `install` runs
// inside the page before any of its scripts, so it must stand on its own.

/** @import { Boot, Bundle, Check, Form, Invite, Listening, LogLine, Problem, Refused, Service, Settings, View } from '../../app/contract.d.ts' */

/**
 * @typedef {object} Scenario
 * @property {Boot} boot
 * @property {Record<string, View>} views   What `start`, `stop`, `pause` and `register` lead to.
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
  const { views, answers } = scenario;
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

  /** A reader for the few lines of TOML that the fixtures use. @param {string} text @returns {Settings} */
  const read = (text) => {
    /** @type {Form} */
    const form = { log_level: 'info', name: '', services: [] };
    /** @type {Problem[]} */
    const problems = [];
    /** @type {Record<string, string> | null} */
    let table = null;
    let readable = true;
    text.split('\n').forEach((line, at) => {
      const where = { line: at + 1, column: 1 };
      if (/^\s*(#.*)?$/.test(line)) return;
      if (/^\[client\]$/.test(line)) table = /** @type {any} */ (form);
      else if (/^\[\[client\.service\]\]$/.test(line)) {
        table = { name: '', kind: 'http', target: '' };
        form.services.push(/** @type {any} */ (table));
      } else {
        const pair = /^(\w+) = "([^"]*)"$/.exec(line);
        if (!pair || !table) {
          readable = false;
          problems.push({ ...where, column: line.length, message: 'a text ends with a quotation mark', field: null });
        } else if (!(String(pair[1]) in table)) {
          problems.push({ ...where, message: `unknown key \`${pair[1]}\`; did you mean \`target\`?`, field: null });
        } else {
          table[String(pair[1])] = String(pair[2]);
          if (pair[1] === 'target' && !/^[\w.-]+:\d+$/.test(String(pair[2]))) {
            problems.push({ ...where, column: 10, message: 'a target is a host and a port, such as localhost:3000', field: `services.${form.services.length - 1}.target` });
          }
        }
      }
    });
    return { text, form: readable ? form : null, problems };
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

  /** @param {string} code @param {string} what @param {string} todo @param {string | null} field @returns {Refused} */
  const refusal = (code, what, todo, field = null) => ({ code, words: { what, todo }, field });

  /** @type {Record<string, (args: any) => any>} */
  const wishes = {
    boot: () => ({ ...boot, view }),
    start: () => show({ .../** @type {View} */ (views['online']), services: view.services }),
    stop: () => show({ .../** @type {View} */ (views['off']) }),
    pause: () => show({ .../** @type {View} */ (views['paused']) }),
    unlock: () => show({ .../** @type {View} */ (views['online']) }),
    quit: () => undefined,
    read_invite: ({ text }) => {
      if (!text.includes('#v1.')) throw refusal('not_an_invite', 'this is not an invite', 'copy the whole link from the letter of your vendor', 'text');
      return scenario.invite;
    },
    register: () => {
      show({ .../** @type {View} */ (views['off']), services: [] });
      return { service: 'web', url: 'https://k3v5qyz2m7wbn4ta.nordlicht.example', former: null };
    },
    forget: () => show(/** @type {View} */ (views['unregistered'])),
    listening: () => scenario.listening,
    try_target: ({ target, kind }) => {
      if (!/^[\w.-]+:\d+$/.test(target)) return { tone: 'bad', words: { what: 'this is not an address', todo: 'write a computer and a number, such as localhost:3000' } };
      const found = scenario.listening.find((entry) => entry.target === target);
      if (!found) return { tone: 'bad', words: { what: `nothing answers at ${target}`, todo: 'start the program, or check the number' } };
      return { tone: 'good', words: { what: kind === 'http' ? found.found : 'it accepts connections', todo: '' } };
    },
    set_service: ({ before, service }) => {
      if (!/^[a-z0-9-]+$/.test(service.name)) throw refusal('invalid_name', 'a name has small letters, digits and hyphens only', '', 'name');
      /** @type {Service} */
      const made = { .../** @type {Service} */ (views['online']?.services[0]), ...service, visits: 0, aliases: [] };
      const services = before === null ? [...view.services, made] : view.services.map((known) => (known.name === before ? made : known));
      show({ ...view, services });
    },
    choose: ({ share, service }) => {
      const made = scenario.invite.kept.filter((kept) => share.includes(kept.name));
      const all = service ? [...made.filter((kept) => kept.name !== service.name), service] : made;
      const like = /** @type {Service} */ (views['online']?.services[0]);
      show({ .../** @type {View} */ (views['online']), services: all.map(({ name, kind, target }) => ({ ...like, name, kind, target, visits: 0, aliases: [] })) });
    },
    share: ({ name }) => {
      const like = /** @type {Service} */ (views['online']?.services[0]);
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
      return { done: true, rolled_back: false, words: { what: 'the changes are in force', todo: '' } };
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
