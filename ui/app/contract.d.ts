/**
 * What the page is shown and what it may ask: the whole contract between the window and the program.
 *
 * The page draws `View` and sends wishes; it decides nothing and knows no secret. Every sentence about a state, a
 * cause or a mistake arrives ready in the language of the catalogue. Times are seconds since 1970, durations
 * milliseconds, unless the name says otherwise. The Rust side has one struct per interface, of the same name;
 * a test compares both.
 */

/** How something stands, for its shape and colour. Never the only bearer of the information: there is text too. */
export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'off';

/** What is the matter, and what to do about it; `todo` is empty when there is nothing to do but wait. */
export interface Words {
  what: string;
  todo: string;
}

/** Answer of `boot`, asked once when the page loads. */
export interface Boot {
  /** `en` or `de`; `<html lang>`. */
  lang: string;
  /** The catalogue of that language: key to text, `{name}` for what is filled in. */
  texts: Record<string, string>;
  about: About;
  prefs: Prefs;
  view: View;
  /** Where to begin: a page's name, and an invite's text when a link was opened (it is only filled in). */
  open: Opening;
  /** The colour of a vendor's own build, as `#rrggbb`; white letters can be read on it. */
  colour: string | null;
}

/** Also sent as event `open`, when the window is there already and a link or the tray leads somewhere in it. */
export interface Opening {
  page: 'overview' | 'setup' | 'services' | 'settings' | 'logs' | 'diagnostics' | 'about';
  /** Text of an invite that a `petit://` link brought. Shown as filled in, never acted upon by itself. */
  invite: string | null;
}

export interface About {
  version: string;
  protocol: number;
  config_path: string;
  log_path: string;
  data_path: string;
  licence: string;
}

/** Event `view`, sent after every change, at most five times a second. */
export interface View {
  state: State;
  headline: Headline;
  /** What stands beside the headline: the wish that helps in this state first. */
  actions: Action[];
  /** Where this computer is registered; `null` before. */
  registered: Registered | null;
  /** The services that the vendor reaches. */
  services: Service[];
  /** Services of the config that the vendor does not reach, because they were not chosen for it. */
  withheld: Kept[];
  /** A free name for a new service. */
  suggested: string;
  /** What the vendor calls the service that it has invited, as long as none of that name is set up. */
  invited: string | null;
  traffic: Traffic;
  /** A mistake in the config file; what was in force before stays in force. */
  config_problem: Problem | null;
  /** Things to know that are no state: no tray here, running as root, another process owns the connection. */
  notices: Notice[];
  /** What may be wished for now; everything else is not drawn, or drawn disabled. */
  can: Can;
}

export interface State {
  kind:
    | 'unregistered'
    | 'off'
    | 'paused'
    | 'connecting'
    | 'online'
    | 'waiting'
    | 'stopped'
    | 'locked'
    | 'broken';
  /** Since when, when that is known. */
  since: number | null;
  /** `paused`: until when. `waiting`: when it tries again. */
  until: number | null;
}

/** The state in words. */
export interface Headline {
  tone: Tone;
  /** "Working", "Reconnecting" … It says nothing that changes every second. */
  title: string;
  /** Who reaches what: what there is to know before the state, while all is well. Empty otherwise. */
  fact: string;
  /** What is exposed to whom, or why it does not work. */
  detail: string;
  /** What to do; empty when nothing. */
  advice: string;
}

export interface Action {
  /** A wish, or the page that it leads to. `resume` is the wish `start`. */
  wish: 'start' | 'resume' | 'unlock' | 'stop' | 'register' | 'services' | 'settings' | 'diagnostics';
  label: string;
  /** It is what helps now. There is at most one, and it is the first. */
  primary: boolean;
}

/** A service of the config as it was before this vendor. */
export interface Kept {
  name: string;
  kind: 'http' | 'tcp';
  target: string;
  /** The server of the invite reached it before. */
  chosen: boolean;
}

/** Something that is told about this computer. */
export interface Fact {
  label: string;
  value: string;
}

export interface Registered {
  server: string;
  /** What the vendor calls itself; nobody has checked it, so it stands beside the server and never instead of it. */
  vendor: string | null;
  /** What the vendor sees as the name of this computer. */
  name: string;
  /** The server's own name for it. */
  device: string;
  /** Since when; `null` when an older version has made the registration. */
  since: number | null;
  /** What the vendor learns of this computer. */
  told: Fact[];
  /** The six words of the server's key, which the vendor's own commands show too. */
  server_words: KeyWords;
  /** The six words of this computer's key, which the vendor sees too. */
  key_words: KeyWords;
  key_store: 'keychain' | 'file';
  round_trip_us: number | null;
}

/** The same six words in both languages, with spaces between them: people compare in the one that they share. */
export interface KeyWords {
  en: string;
  de: string;
}

export interface Service {
  name: string;
  kind: 'http' | 'tcp';
  target: string;
  url: string | null;
  /** Readable addresses. */
  aliases: string[];
  /** Who can come in, in words, as the vendor's server says; null as long as it says nothing. */
  admits: string | null;
  light: 'green' | 'up_to_server' | 'red' | 'checking' | 'off';
  words: Words;
  /** Public front, tunnel, this computer, service: in the order in which a visitor meets them. */
  hops: Hop[];
  /** When something last went all the way. */
  proved_at: number | null;
  /** The whole way can be tried now. */
  can_check: boolean;
  visits: number;
  active: number;
  to_service_bytes: number;
  from_service_bytes: number;
}

export interface Hop {
  id: 'front' | 'tunnel' | 'client' | 'service';
  label: string;
  tone: Tone;
  /** The same in words: what was seen of it, or why nothing was. */
  said: string;
  took_us: number | null;
}

/** The last two minutes, oldest first, one sample every two seconds. */
export interface Traffic {
  active: number;
  samples: Sample[];
}

export interface Sample {
  visits: number;
  to_service_bytes: number;
  from_service_bytes: number;
}

export interface Problem {
  message: string;
  line: number | null;
  column: number | null;
  /** The form's field that it belongs to, such as `services.0.target`; `null` when it is none. */
  field: string | null;
}

export interface Notice {
  id: string;
  tone: Tone;
  text: string;
  /** A wish that helps, and its label. */
  action: { wish: string; label: string } | null;
}

export interface Can {
  start: boolean;
  stop: boolean;
  pause: boolean;
  resume: boolean;
  register: boolean;
  forget: boolean;
  /** Retry the keychain. */
  unlock: boolean;
}

/** What an invite says, before anything is done with it. */
export interface Invite {
  server: string;
  /** What the vendor calls itself. */
  vendor: string | null;
  /** The six words of the server's key. */
  server_words: KeyWords;
  fingerprint: string;
  not_after: number;
  expired: boolean;
  /** With whom this computer is registered already, by another invite. That ends once the new registration stands. */
  replaces: string | null;
  /** What will be reachable, and for whom. */
  exposes: string;
  /** Services that are set up already. None of them is reached before it is chosen. */
  kept: Kept[];
  /** What the vendor learns of this computer. */
  told: Fact[];
}

/** Answer of `register`. */
export interface RegisteredService {
  service: string;
  url: string;
  /** What there is to know of the registration that this one took the place of. */
  former: Words | null;
}

/** A program on this computer that listens. */
export interface Listening {
  target: string;
  /** What its page is called, else its entry in the desktop's menu, else its process; empty when it is not known. */
  program: string;
  /** Its process, where `program` says something else. */
  process: string;
  /** What it answered to a harmless look, such as "answers, 12 ms"; empty when it does not speak HTTP. */
  found: string;
  kind: 'http' | 'tcp';
  /** It is of the kind that people share: it speaks HTTP, or is a database. Everything else stands behind "more". */
  usual: boolean;
}

export interface Tried {
  tone: Tone;
  words: Words;
}

/** The config file, as text and as a form over the same text. */
export interface Settings {
  text: string;
  /** `null` when the text cannot be read as a config at all. */
  form: Form | null;
  /** Of the text as it is. */
  problems: Problem[];
}

export interface Form {
  log_level: 'error' | 'warn' | 'info' | 'debug' | 'trace';
  /** What this computer is called towards the vendor; empty: its host name. */
  name: string;
  services: FormService[];
}

export interface FormService {
  name: string;
  kind: 'http' | 'tcp';
  target: string;
}

/** What `apply_settings` would change, line by line. */
export interface Diff {
  lines: { kind: 'same' | 'added' | 'removed'; text: string }[];
  problems: Problem[];
}

/** What became of applied settings. */
export interface Applied {
  done: boolean;
  /** `rolled_back`: it did not come online with them, so the former ones are in force again. */
  rolled_back: boolean;
  words: Words;
}

export interface LogLine {
  /** A number that only grows. */
  id: number;
  at: string;
  level: 'ERROR' | 'WARN' | 'INFO' | 'DEBUG' | 'TRACE';
  text: string;
}

export interface Check {
  name: string;
  result: 'good' | 'bad' | 'untried' | 'skipped';
  detail: string;
  advice: string;
}

/** The redacted bundle for the vendor's support, before it is saved. */
export interface Bundle {
  name: string;
  files: { name: string; bytes: number; text: string }[];
}

/** What belongs to this app alone and stands in no config file. */
export interface Prefs {
  start_on_login: boolean;
  notify_down: boolean;
  notify_back: boolean;
  theme: 'system' | 'light' | 'dark';
  /** `system`, `en` or `de`. */
  lang: string;
}

/** What a refused wish is answered with. */
export interface Refused {
  /** Stable, for tests and for the page's own choices. */
  code: string;
  words: Words;
  field: string | null;
}

/** Every wish: its name is the command's. A refusal rejects with `Refused`. */
export interface Wishes {
  boot(): Promise<Boot>;
  start(): Promise<void>;
  stop(): Promise<void>;
  pause(args: { for: '15min' | '1h' | 'tomorrow' }): Promise<void>;
  unlock(): Promise<void>;
  /** Has the version installed that is there; what becomes of it is a notice. */
  install_update(): Promise<void>;
  quit(): Promise<void>;

  read_invite(args: { text: string }): Promise<Invite>;
  /** Nothing that is set up already can be reached before `choose`. `replace`: in place of another registration. */
  register(args: { text: string; key_store: 'keychain' | 'file'; replace: boolean }): Promise<RegisteredService>;
  /** What the vendor may reach from now on: services that were set up before it came, and a new one. */
  choose(args: { share: string[]; service: FormService | null }): Promise<void>;
  /** With `local` the server is not told: for when it cannot be reached (refusal `offline`). */
  forget(args?: { local: boolean }): Promise<void>;

  listening(): Promise<Listening[]>;
  try_target(args: { target: string; kind: 'http' | 'tcp' }): Promise<Tried>;
  /** Adds a service, or changes the one called `before`. */
  set_service(args: { before: string | null; service: FormService }): Promise<void>;
  remove_service(args: { name: string; give_back: boolean }): Promise<void>;
  /** Lets the vendor reach a service that was withheld from it. */
  share(args: { name: string }): Promise<void>;
  /** Tries the whole way now; the result comes with the next `view`. */
  ping(args: { name: string }): Promise<void>;

  settings(): Promise<Settings>;
  /** The text with the form's values put in, comments and order kept; without a form it is only read. */
  fill_settings(args: { text: string; form: Form | null }): Promise<Settings>;
  diff_settings(args: { text: string }): Promise<Diff>;
  apply_settings(args: { text: string }): Promise<Applied>;

  /** The last lines; new ones come as event `log` with `LogLine[]` until `follow` is false. */
  logs(args: { follow: boolean }): Promise<LogLine[]>;
  log_level(args: { level: Form['log_level'] }): Promise<void>;

  doctor(): Promise<Check[]>;
  bundle(): Promise<Bundle>;
  /** Asks where to, and saves; `null` when the person thought better of it. */
  save_bundle(): Promise<string | null>;

  set_prefs(args: { prefs: Prefs }): Promise<Boot>;
  copy(args: { text: string }): Promise<void>;
  /** Opens what stands outside: the log's folder, a service's public address. */
  show(args: { what: 'logs' | 'config' | 'url'; name: string | null }): Promise<void>;
}
