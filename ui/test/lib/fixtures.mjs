// Every state that the page can be handed, in both languages. What the program words is worded here.

import { readFileSync } from 'node:fs';

/** @import { About, Boot, Bundle, Can, Check, Hop, Invite, Listening, LogLine, Prefs, Registered, Sample, Service, State, Tone, View } from '../../app/contract.d.ts' */

/** @typedef {'en' | 'de'} Lang */

/** The clock of every picture and test: a Tuesday, 10:42 UTC. */
export const NOW = Date.UTC(2026, 10, 24, 10, 42, 0) / 1000;

/** @param {Lang} lang @returns {Record<string, string>} */
export function catalogue(lang) {
  return JSON.parse(readFileSync(new URL(`../../../petit-client/i18n/${lang}.json`, import.meta.url), 'utf8'));
}

/** @type {About} */
const about = {
  version: '0.1.0',
  protocol: 1,
  config_path: '/home/anna/.petit/config.toml',
  log_path: '/home/anna/.petit/logs/petit.log',
  data_path: '/home/anna/.petit',
  licence: 'MIT OR Apache-2.0',
};

/** @type {Prefs} */
export const prefs = { start_on_login: true, notify_down: true, notify_back: true, theme: 'system', lang: 'system' };

/** @type {Registered} */
export const registered = {
  server: 'tunnel.nordlicht.example:8453',
  vendor: 'Nordlicht',
  name: 'Front desk',
  device: 'nzvkqe5b3wj2m4yha7fdtxs6pu',
  since: NOW - 86_400 * 12,
  told: [
    { label: 'Name of this computer', value: 'Front desk' },
    { label: 'Its system', value: 'linux, x86_64' },
  ],
  server_words: { en: 'harbor pencil silver topaz maple comet', de: 'Hafen Bleistift Silber Topas Ahorn Komet' },
  key_words: { en: 'amber castle lemon otter velvet window', de: 'Bernstein Burg Zitrone Otter Samt Fenster' },
  key_store: 'keychain',
  round_trip_us: 18_400,
};

/** @type {Can} */
const nothing = { start: false, stop: false, pause: false, resume: false, register: false, forget: false, unlock: false };

/** @param {Lang} lang */
function labels(lang) {
  return lang === 'de'
    ? { front: 'Server', tunnel: 'Verbindung', client: 'Dieser Computer', service: 'Programm' }
    : { front: 'Server', tunnel: 'Connection', client: 'This computer', service: 'Program' };
}

/** @type {Record<Lang, Record<Tone, string>>} */
const SAID = {
  en: { good: 'works', busy: 'is being checked', warn: 'needs attention', bad: 'does not work', off: 'not known' },
  de: { good: 'funktioniert', busy: 'wird geprüft', warn: 'braucht Aufmerksamkeit', bad: 'funktioniert nicht', off: 'nicht bekannt' },
};

/**
 * @param {Lang} lang
 * @param {[Tone, Tone, Tone, Tone]} tones
 * @returns {Hop[]}
 */
function hops(lang, tones) {
  const names = labels(lang);
  const took = [2_100, 18_400, 300, 12_700];
  return /** @type {const} */ (['front', 'tunnel', 'client', 'service']).map((id, at) => ({
    id,
    label: names[id],
    tone: /** @type {Tone} */ (tones[at]),
    said: SAID[lang][/** @type {Tone} */ (tones[at])],
    took_us: tones[at] === 'good' ? /** @type {number} */ (took[at]) : null,
  }));
}

/** @param {Lang} lang @param {Partial<Service>} [change] @returns {Service} */
export function service(lang, change = {}) {
  return {
    name: 'accounts',
    kind: 'http',
    target: 'localhost:8080',
    url: 'https://k3v5qyz2m7wbn4ta.nordlicht.example',
    aliases: ['https://meyer.nordlicht.example'],
    light: 'green',
    words: { what: '', todo: '' },
    hops: hops(lang, ['good', 'good', 'good', 'good']),
    proved_at: NOW - 24,
    can_check: true,
    visits: 1284,
    active: 2,
    to_service_bytes: 18_240_000,
    from_service_bytes: 412_900_000,
    ...change,
  };
}

/** @param {Lang} lang @returns {Service} */
export function archive(lang) {
  return service(lang, {
    name: 'archive',
    kind: 'tcp',
    target: 'nas.local:5432',
    url: 'tcp://tunnel.nordlicht.example:20014',
    aliases: [],
    visits: 12,
    active: 0,
    to_service_bytes: 240_000,
    from_service_bytes: 1_400_000,
    proved_at: NOW - 12,
  });
}

/** @param {Lang} lang @returns {Service} */
function fallen(lang) {
  const de = lang === 'de';
  return service(lang, {
    light: 'red',
    words: {
      what: de ? 'unter localhost:8080 antwortet kein Programm' : 'no program answers at localhost:8080',
      todo: de ? 'starten Sie das Programm, oder ändern Sie den Dienst' : 'start the program, or change the service',
    },
    hops: hops(lang, ['good', 'good', 'good', 'bad']),
    proved_at: NOW - 340,
    active: 0,
  });
}

/** Two minutes of traffic that looks like an office morning. @returns {Sample[]} */
function samples() {
  return Array.from({ length: 60 }, (_, at) => {
    const wave = Math.max(0, Math.sin(at / 6.1) + Math.sin(at / 2.3 + 1) * 0.7);
    const visits = at % 9 === 4 ? 0 : Math.round(wave * 5);
    return { visits, to_service_bytes: visits * 2_100 + (at % 4) * 400, from_service_bytes: Math.round(wave * 96_000) + visits * 9_000 };
  });
}

/** @returns {Sample[]} */
function silence() {
  return Array.from({ length: 60 }, () => ({ visits: 0, to_service_bytes: 0, from_service_bytes: 0 }));
}

/**
 * @param {Lang} lang
 * @param {State} state
 * @param {[Tone, string, string, string]} headline
 * @param {Partial<Can>} can
 * @param {Partial<View>} [change]
 * @returns {View}
 */
function view(lang, state, [tone, title, detail, advice], can, change = {}) {
  const texts = catalogue(lang);
  /** @type {[keyof Can, View['actions'][number]['wish'], string][]} */
  const wishes = [
    ['resume', 'resume', 'wish.resume'],
    ['unlock', 'unlock', 'wish.again'],
    ['start', 'start', state.kind === 'waiting' ? 'wish.try_now' : 'wish.start'],
    ['register', 'register', state.kind === 'unregistered' ? 'wish.register' : 'wish.register.new'],
    ['stop', 'stop', 'wish.stop'],
  ];
  const well = state.kind === 'online' || state.kind === 'connecting';
  const actions = wishes.filter(([name]) => can[name]).map(([, wish, key], at) => ({ wish, label: String(texts[key]), primary: at === 0 && !well }));
  return {
    state,
    headline: { tone, title, detail, advice },
    actions,
    registered,
    services: [service(lang)],
    withheld: [],
    suggested: 'web',
    invited: null,
    traffic: { active: 0, samples: silence() },
    config_problem: null,
    notices: [],
    can: { ...nothing, ...can },
    ...change,
  };
}

/** @typedef {keyof ReturnType<typeof views>} ViewName */

/** @param {Lang} lang */
export function views(lang) {
  /** @param {string} en @param {string} de */
  const say = (en, de) => (lang === 'de' ? de : en);
  /** @param {[Tone, Tone, Tone, Tone]} tones @param {Service['light']} light */
  const resting = (tones, light) => [service(lang, { can_check: false, light, hops: hops(lang, tones), active: 0, proved_at: NOW - 900 })];
  const exposed = say('nordlicht.example reaches localhost:8080 on this computer, and nothing else', 'nordlicht.example erreicht localhost:8080 auf diesem Computer, sonst nichts');

  const online = view(lang, { kind: 'online', since: NOW - 8040, until: null }, ['good', say('Working', 'Alles funktioniert'), exposed, ''], { stop: true, pause: true, forget: true }, { traffic: { active: 2, samples: samples() } });

  return {
    unregistered: view(
      lang,
      { kind: 'unregistered', since: null, until: null },
      ['off', say('Not set up yet', 'Noch nicht eingerichtet'), say('nothing on this computer can be reached', 'nichts auf diesem Computer ist erreichbar'), ''],
      { register: true },
      { registered: null, services: [] },
    ),
    online,
    twoServices: { ...online, services: [service(lang), archive(lang)] },
    serviceDown: {
      ...online,
      headline: { tone: /** @type {const} */ ('warn'), title: say('A service does not answer', 'Ein Dienst antwortet nicht'), detail: say('the connection works, but the program accounts is not there', 'die Verbindung steht, aber das Programm accounts ist nicht da'), advice: '' },
      services: [fallen(lang), archive(lang)],
      traffic: { active: 0, samples: silence() },
    },
    empty: { ...online, headline: { tone: /** @type {const} */ ('good'), title: say('Connected', 'Verbunden'), detail: say('nothing on this computer can be reached yet', 'noch ist nichts auf diesem Computer erreichbar'), advice: '' }, services: [], traffic: { active: 0, samples: silence() } },
    off: view(lang, { kind: 'off', since: NOW - 300, until: null }, ['off', say('Switched off', 'Ausgeschaltet'), say('nothing on this computer can be reached', 'nichts auf diesem Computer ist erreichbar'), ''], { start: true, forget: true }, { services: resting(['off', 'off', 'off', 'off'], 'off') }),
    paused: view(lang, { kind: 'paused', since: NOW - 120, until: NOW + 780 }, ['off', say('Paused', 'Pausiert'), say('nothing can be reached; it goes on by itself', 'nichts ist erreichbar; es geht von selbst weiter'), ''], { resume: true, stop: true, forget: true }, { services: resting(['off', 'off', 'off', 'off'], 'off') }),
    connecting: view(lang, { kind: 'connecting', since: NOW - 2, until: null }, ['busy', say('Connecting', 'Verbindung wird aufgebaut'), say('to tunnel.nordlicht.example', 'zu tunnel.nordlicht.example'), ''], { stop: true, forget: true }, { services: resting(['off', 'busy', 'off', 'off'], 'checking') }),
    waiting: view(
      lang,
      { kind: 'waiting', since: NOW - 95, until: NOW + 8 },
      ['warn', say('Reconnecting in 8 s', 'Neuer Versuch in 8 s'), say("the server's name was not found", 'der Name des Servers wurde nicht gefunden'), say('check the internet connection', 'prüfen Sie die Internetverbindung')],
      { start: true, stop: true, forget: true },
      { services: [service(lang, { can_check: false, light: 'red', active: 0, proved_at: NOW - 130, hops: hops(lang, ['off', 'bad', 'off', 'off']), words: { what: say('nothing comes through: no connection to the server', 'nichts kommt durch: keine Verbindung zum Server'), todo: '' } })] },
    ),
    stopped: view(
      lang,
      { kind: 'stopped', since: NOW - 3700, until: null },
      ['bad', say('The server does not know this computer any more', 'Der Server kennt diesen Computer nicht mehr'), say('the registration was taken back on 24 November', 'die Anmeldung wurde am 24. November zurückgenommen'), say('ask your vendor for a new invite', 'bitten Sie Ihren Anbieter um eine neue Einladung')],
      { register: true, forget: true },
      { services: resting(['off', 'bad', 'off', 'off'], 'off') },
    ),
    locked: view(
      lang,
      { kind: 'locked', since: NOW - 40, until: null },
      ['warn', say('The keychain is locked', 'Der Schlüsselbund ist gesperrt'), say('the key of this computer is in it', 'der Schlüssel dieses Computers liegt darin'), say('unlock the keychain, then try again', 'entsperren Sie den Schlüsselbund und versuchen Sie es erneut')],
      { unlock: true, forget: true },
      { services: resting(['off', 'off', 'off', 'off'], 'off') },
    ),
    broken: view(
      lang,
      { kind: 'broken', since: null, until: null },
      ['bad', say('Petit cannot read its own files', 'Petit kann seine eigenen Dateien nicht lesen'), say('the registration file is damaged', 'die Datei mit der Anmeldung ist beschädigt'), say('look at the diagnostics, or connect anew with an invite', 'sehen Sie in die Diagnose, oder verbinden Sie neu mit einer Einladung')],
      { register: true },
      { registered: null, services: [] },
    ),
    notices: {
      ...online,
      notices: [
        { id: 'no-tray', tone: /** @type {const} */ ('warn'), text: say('This desktop shows no icons beside the clock. Petit goes on when you close this window; open it again from the list of programs', 'Dieser Desktop zeigt keine Symbole neben der Uhr. Petit läuft weiter, wenn Sie dieses Fenster schließen; öffnen Sie es über die Programmliste wieder'), action: null },
        { id: 'other-process', tone: /** @type {const} */ ('busy'), text: say('The program petit-client runs the connection on this computer; this window shows it', 'Das Programm petit-client betreibt die Verbindung auf diesem Computer; dieses Fenster zeigt sie'), action: { wish: 'diagnostics', label: say('Diagnostics', 'Diagnose') } },
      ],
      config_problem: { message: say('unknown key `targt`; did you mean `target`?', 'unbekannter Schlüssel `targt`; meinten Sie `target`?'), line: 9, column: 1, field: null },
    },
  };
}

/** @param {Lang} lang @param {ViewName} name @param {Partial<Boot>} [change] @returns {Boot} */
export function boot(lang, name, change = {}) {
  return { lang, texts: catalogue(lang), about, prefs, view: views(lang)[name], open: { page: 'overview', invite: null }, ...change };
}

export const INVITE_TEXT = 'https://tunnel.nordlicht.example/enroll#v1.AAAAAGkkU8kDAwMDAwMDAwMDAwMDAwMDBAQEBAQEBAQEBAQEBAQE';

/** @type {Invite} */
export const invite = {
  server: 'tunnel.nordlicht.example',
  server_words: { en: 'harbor pencil silver topaz maple comet', de: 'Hafen Bleistift Silber Topas Ahorn Komet' },
  fingerprint: 'SHA256:7f3a 90c1 5be2 44d8 a1c0 6f19 2e7d 83b5 0c44 9a6e f2d7 1b38 5590 e6ca 71fd 2b0e',
  not_after: NOW + 2700,
  vendor: 'Nordlicht',
  expired: false,
  replaces: null,
  exposes: 'Only the one program that you choose next. Whoever Nordlicht (tunnel.nordlicht.example) lets in can reach it. Nothing else on this computer or in your network can be reached.',
  kept: [],
  told: registered.told,
};

/** @param {Lang} lang @returns {Listening[]} */
export function listening(lang) {
  const answers = lang === 'de' ? 'antwortet 200 in 12 ms' : 'answers 200 in 12 ms';
  return [
    { target: 'localhost:8080', program: 'Lexwright Accounts', found: answers, kind: 'http' },
    { target: 'localhost:3000', program: 'Docker', found: lang === 'de' ? 'antwortet 404 in 3 ms' : 'answers 404 in 3 ms', kind: 'http' },
    { target: 'localhost:5432', program: 'PostgreSQL', found: '', kind: 'tcp' },
  ];
}

export const CONFIG = `# Petit on this computer: which services a vendor may reach.
# Every line that begins with # and holds a key shows its default or an example.

[client]
# How much goes into the log: error, warn, info, debug or trace.
log_level = "info"

# What the vendor sees as the name of this computer (default: its host name).
name = "Front desk"

# The accounts of this year and the last.
[[client.service]]
name = "accounts"
target = "localhost:8080"
kind = "http"

[[client.service]]
name = "archive"
target = "nas.local:5432"
kind = "tcp"
`;

/** @param {Lang} lang @param {boolean} well @returns {Check[]} */
export function checks(lang, well) {
  const de = lang === 'de';
  /** @param {string} name @param {string} detail @returns {Check} */
  const good = (name, detail) => ({ name, result: 'good', detail, advice: '' });
  const first = [
    good(de ? 'Konfigurationsdatei' : 'config file', '/home/anna/.petit/config.toml'),
    good(de ? 'Anmeldung' : 'registration', de ? 'bei tunnel.nordlicht.example als Front desk' : 'with tunnel.nordlicht.example as Front desk'),
    good(de ? 'Schlüssel des Computers' : 'key of this computer', de ? 'im Schlüsselbund' : 'in the keychain'),
    good(de ? 'Name des Servers' : "server's name", 'tunnel.nordlicht.example: 192.0.2.17'),
  ];
  if (well) {
    return [
      ...first,
      good(de ? 'Weg zum Server' : 'way to the server', de ? 'antwortet in 18 ms' : 'answers in 18 ms'),
      good(de ? 'Identität des Servers' : "server's identity", de ? 'der Schlüssel ist der aus der Einladung' : 'its key is one that the invite named'),
      good(de ? 'Uhr' : 'clock', de ? 'geht auf 1 s genau' : 'is right to a second'),
      good(de ? 'Dienst accounts' : 'service accounts', de ? 'localhost:8080 antwortet in 12 ms' : 'localhost:8080 answers in 12 ms'),
    ];
  }
  const skipped = de ? 'nicht geprüft: etwas davor stimmt nicht' : 'not looked at: something before it is not right';
  return [
    ...first,
    {
      name: de ? 'Weg zum Server' : 'way to the server',
      result: 'bad',
      detail: de ? 'der Server antwortet nicht' : 'the server does not answer',
      advice: de ? 'prüfen Sie die Internetverbindung; eine Firewall sperrt vielleicht den Weg nach außen zu Anschluss 443' : 'check the internet connection; a firewall may block the way out to port 443',
    },
    { name: de ? 'Identität des Servers' : "server's identity", result: 'skipped', detail: skipped, advice: '' },
    { name: de ? 'Dienst accounts' : 'service accounts', result: 'bad', detail: de ? 'localhost:8080: dort antwortet nichts' : 'localhost:8080: nothing listens there', advice: de ? 'starten Sie das Programm, oder ändern Sie den Dienst' : 'start the program, or change the service' },
  ];
}

/** @type {Bundle} */
export const bundle = {
  name: 'petit-report-2026-11-24.zip',
  files: [
    { name: 'checks.txt', bytes: 812, text: '✔ config file            /home/███/.petit/config.toml\n✔ registration           with tunnel.nordlicht.example\n✔ key of this computer   in the keychain\n✔ way to the server      answers in 18 ms\n' },
    { name: 'config.toml', bytes: CONFIG.length, text: CONFIG },
    { name: 'petit.log', bytes: 48_213, text: '2026-11-24T10:41:02Z INFO session opened round_trip=18.4ms\n2026-11-24T10:41:09Z INFO visit service=accounts status=200 took=12ms\n' },
    { name: 'versions.txt', bytes: 143, text: 'petit 0.1.0\nprotocol 1\nLinux 6.1, GNOME 43, X11\n' },
  ],
};

/** @param {number} count @returns {LogLine[]} */
export function logLines(count) {
  /** @type {[LogLine['level'], string][]} */
  const kinds = [
    ['INFO', 'visit service=accounts method=GET status=200 took=12ms bytes=18240'],
    ['INFO', 'visit service=accounts method=POST status=201 took=31ms bytes=512'],
    ['DEBUG', 'session{id=7f3a} ping answered round_trip=18.4ms'],
    ['INFO', 'whole way tried service=accounts result=good took=34ms'],
    ['WARN', 'service refused the connection service=archive target=nas.local:5432'],
    ['INFO', 'visit service=accounts method=GET status=304 took=4ms bytes=0'],
    ['ERROR', 'session lost cause=name_not_found server=tunnel.nordlicht.example retry_in=8s'],
    ['INFO', 'session opened server=tunnel.nordlicht.example round_trip=18.4ms features=[drain, pins, probe]'],
  ];
  return Array.from({ length: count }, (_, id) => {
    const [level, text] = /** @type {[LogLine['level'], string]} */ (kinds[(id * 7 + (id >> 3)) % kinds.length]);
    return { id, at: new Date((NOW - (count - id) * 3) * 1000).toISOString(), level, text: `petit_client::client: ${text}` };
  });
}
