//! Every time, size and count of the engine, with its unit and its reason.
//!
//! A number that a peer can feel stands here and nowhere else.

use std::time::Duration;

// ---- frames -----------------------------------------------------------------------------------

/// Payload of one DATA frame. Four quanta: a lone stream may fill a whole batch with one header.
pub const MAX_DATA_BYTES: usize = 64 * 1024;
/// Payload of one CONTROL frame: room for 64 announced services with their names and versions.
pub const MAX_CONTROL_BYTES: usize = 16 * 1024;
/// What the aliases of one service may take in a message: the most that leaves room there for its ID and its URL and for
/// the names of [`MAX_SERVICES`] services that are kept.
pub const MAX_ALIASES_BYTES: usize = 10 * 1024;
/// An agent is told this often at most that its services have other aliases.
pub const ALIASES_TOLD_PER_SECOND: u32 = 4;
/// Payload of one OPEN frame: its fixed layout is 46 bytes; the rest is room for a later version.
pub const MAX_OPEN_BYTES: usize = 64;
/// The enrolment request and its answer.
pub const MAX_ENROL_BYTES: usize = 4 * 1024;

// ---- streams ----------------------------------------------------------------------------------

/// Pending bytes of stream 0 and of stream management beyond which no stream is opened.
pub const MUX_CONGESTED_BYTES: usize = 256 * 1024;
/// Bytes that all streams of a session hold for sending before each may hold only [`SEND_SCARCE_BYTES`].
pub const SEND_TOTAL_BYTES: usize = 8 * 1024 * 1024;
/// What a stream may hold for sending when the session as a whole holds much.
pub const SEND_SCARCE_BYTES: usize = 4 * 1024;
/// How long a close of a session may take to get its last words out.
pub const SESSION_CLOSE: Duration = Duration::from_secs(1);
/// What a stream may send before the first grant. 256 KiB keeps small requests fast beside bulk (measured:
/// p50 2.6 ms against 11 ms with large fixed windows) and is 3 MB/s over 80 ms until the window has grown.
pub const INITIAL_WINDOW_BYTES: u32 = 256 * 1024;
/// The smallest window ever granted, used when a session's memory is spoken for.
pub const MIN_WINDOW_BYTES: u32 = 16 * 1024;
/// The least that a WINDOW frame grants: a quarter of the smallest window.
pub const MIN_GRANT_BYTES: u32 = MIN_WINDOW_BYTES / 4;
/// The largest window that a stream begins with, and the largest one of all in a session without the feature `wide`:
/// 200 MB/s over 80 ms.
pub const MAX_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// The largest window of one stream in a session with the feature `wide`: all the memory that there is, which leaves
/// 300 MB/s over 80 ms when the reserve for others is taken off.
pub const WIDE_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// Sum of the receive windows of a session beyond which new streams start with [`MIN_WINDOW_BYTES`] and no
/// window grows. It bounds what one customer's slow visitors can pin in the server's memory. An eighth of it is kept for
/// new streams, and the rest is shared by those that need more.
pub const SESSION_WINDOW_BYTES: u64 = 32 * 1024 * 1024;
/// What one side of a session holds of received bytes, for readers that are slow; at an agent, what all its sessions
/// hold together, those that it is leaving included. The relay's own windows never add up to it; at an agent, which
/// cannot keep the relay from opening streams, what goes beyond it ends a stream.
pub const SESSION_HELD_BYTES: usize = 128 * 1024 * 1024;
/// Bytes that the sessions of one agent hold for sending, all together, before each of their streams may hold only a
/// little: four times as much as one session, so that those that are being left slow the one in use only when several
/// of them are full.
pub const CLIENT_OUTGOING_BYTES: usize = 32 * 1024 * 1024;
/// What a stream holds for the driver before its writer has to wait.
pub const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// A stream's turn in the driver's round robin.
pub const QUANTUM_BYTES: usize = 16 * 1024;
/// What the driver hands to TLS in one go; measured: 16 KiB is clearly worse for bulk, 256 KiB costs latency.
pub const BATCH_BYTES: usize = 64 * 1024;
/// Plaintext taken from the connection before the driver lets other tasks run.
pub const READ_TURN_BYTES: usize = 256 * 1024;
/// Payloads below this are copied next to their header; larger ones are written by reference.
pub const COPY_BELOW_BYTES: usize = 4 * 1024;
/// Streams that one session carries at the same time.
pub const MAX_STREAMS: u32 = 4096;
/// The last stream of a session: numbers are never used twice. Whoever has opened it asks for another session, which at
/// a thousand streams in a second is every 50 days.
pub const LAST_STREAM: u32 = u32::MAX;
/// Streams that may be opened in one second; the burst is one full set of streams.
pub const MAX_OPENS_PER_SECOND: u32 = 20_000;
/// PINGs a peer may send in one second (the protocol needs one in ten).
pub const MAX_PINGS_PER_SECOND: u32 = 10;
/// Late frames that are tolerated for each stream that was reset: they cross with the reset.
pub const STRAY_FRAMES_PER_STREAM: u32 = 8;
/// Control messages that a peer may send at once.
pub const CONTROL_AT_ONCE: u32 = 64;
/// Control messages a peer may send in one second.
pub const CONTROL_PER_SECOND: u32 = 50;
/// For each announced service so many more at once, and one more in a second: a probe and a word about its health
/// every five seconds, and a line that stands still for as long as a session survives that (20 s) and then delivers
/// all of it together.
pub const CONTROL_AT_ONCE_PER_SERVICE: u32 = 8;
/// Control messages that a side sends at once; the rest follows at [`OWN_CONTROL_PER_SECOND`]. Half of what a peer
/// bears, so that a line that stood still for a moment makes no flood of them.
pub const OWN_CONTROL_AT_ONCE: u32 = 32;
/// See [`OWN_CONTROL_AT_ONCE`].
pub const OWN_CONTROL_PER_SECOND: u32 = 20;
/// Control messages of a side that wait for their time: what is sent in 50 seconds. A peer that asks for more than
/// that is not answered any more; its session ends.
pub const OWN_CONTROLS_WAITING: usize = 1000;
/// And their bytes: twice the most that there can be to say about all services, a full message on each of them.
pub const OWN_CONTROLS_WAITING_BYTES: usize = 2 * MAX_SERVICES * MAX_CONTROL_BYTES;
/// A change of health is told this often at most; one message has room for all that have changed.
pub const HEALTHS_PER_SECOND: u32 = 4;
/// The same in a session in which each service's takes a message of its own.
pub const SINGLE_HEALTHS_PER_SECOND: u32 = 2;
/// Single messages about health in quick succession.
pub const SINGLE_HEALTHS_AT_ONCE: u32 = 16;

// ---- liveness ---------------------------------------------------------------------------------

/// A PING is sent this often.
pub const PING_EVERY: Duration = Duration::from_secs(10);
/// A peer that has said nothing for this long is gone, and so is one that takes no byte we have for it.
pub const DEAD_AFTER: Duration = Duration::from_secs(20);
/// First delay of the reconnect back-off; doubles with each failure, drawn with full jitter.
pub const RETRY_FIRST: Duration = Duration::from_millis(200);
/// Longest delay of the reconnect back-off. There is no last attempt.
pub const RETRY_CAP: Duration = Duration::from_secs(30);
/// Longest delay while the server's machine answers that nothing listens there.
pub const RETRY_SOON_CAP: Duration = Duration::from_secs(2);
/// So many failures in a row; after that the usual cap holds for a server that is not there, too.
pub const RETRY_SOON: u32 = 300;
/// A session that lasted this long resets the back-off: shorter ones are a server that ends as soon as it begins.
pub const RETRY_RESET_AFTER: Duration = Duration::from_secs(5);
/// An agent that was refused for good looks this often whether somebody has put things right at the server (a
/// registry restored from a backup knows the device again).
pub const RETRY_REFUSED: Duration = Duration::from_secs(10 * 60);
/// A service that the server could not write down is offered again after this long.
pub const OFFER_AGAIN: Duration = Duration::from_secs(10);
/// A session whose peer gives no sign of life for this long, after the computer woke or its network changed and a
/// PING was sent, is given up.
pub const WAKE: Duration = Duration::from_secs(2);
/// How long an agent whose identity is in use elsewhere waits before it asks again.
pub const RETRY_IN_USE: Duration = Duration::from_secs(30);
/// How long an agent that the vendor has suspended waits before it asks again: 300 of them ask ten times a second in
/// all, and whoever is let in again is there within half a minute.
pub const RETRY_SUSPENDED: Duration = Duration::from_secs(30);
/// Streams in flight get this long to finish when a side leaves.
pub const DRAIN: Duration = Duration::from_secs(30);
/// A client's process may get ready for this long before it takes another one's place.
pub const READY: Duration = Duration::from_secs(30);
/// After this the other one has no session any more: it has let it go, and what was under way in it is over.
pub const SUCCESSION: Duration = Duration::from_secs(READY.as_secs() + DRAIN.as_secs());

/// An agent serves a session that it was asked to move from until the relay ends it, and no longer than this: twice
/// the longest time that an operator can give what is under way.
pub const MOVED: Duration = Duration::from_secs(2 * DRAIN_MAX.as_secs());
/// The longest time that an operator can give what is under way when the server leaves.
pub const DRAIN_MAX: Duration = Duration::from_secs(10 * 60);

/// A visitor who asks for a client that is just moving to this process waits for it so long.
pub const AWAIT_CLIENT: Duration = Duration::from_secs(3);
/// A client that was connected to the process before this one is awaited for so long after this one has begun.
pub const AWAIT_CLIENTS: Duration = Duration::from_secs(10);
/// A server whose place another process takes waits for so long for a client that it has asked to move and that has
/// not said that it has; with more than [`AWAIT_CLIENT`], nobody who waits for it is refused before.
pub const MOVED_WITHIN: Duration = Duration::from_secs(5);
/// Sessions that are asked to move in a second, a little more than a server welcomes on two cores: when all come at
/// once, all wait for as long as the last.
pub const MOVES_PER_SECOND: u32 = 1000;
/// WebSockets and event streams are told to go this long after the server has begun to leave, unless its operator
/// says otherwise.
pub const GOODBYE: Duration = Duration::from_secs(5);
/// The same after a client has begun to leave: a third of [`DRAIN`], after which it cuts them itself.
pub const CLIENT_GOODBYE: Duration = Duration::from_secs(10);
/// A WebSocket that was told to go has this long for its own goodbye.
pub const GOODBYE_ANSWER: Duration = Duration::from_secs(3);

// ---- connections ------------------------------------------------------------------------------

/// After so many attempts that were cut off before the server had said anything, the small ClientHello is tried.
pub const SMALL_HELLO_AFTER: u32 = 2;
/// How long it may take to find out who answered in the server's place, on top of a failure that has been found
/// already.
pub const INSPECT: Duration = Duration::from_secs(3);
/// How long a device may take to close after it has been answered: closing first could take the answer with it.
pub const ENROL_LINGER: Duration = Duration::from_secs(1);
/// How long connections that are closed may take to end when a relay leaves.
pub const CLOSING: Duration = Duration::from_secs(2);
/// Sessions are asked to move in so many steps a second.
pub const MOVE_STEPS_PER_SECOND: u32 = 50;
/// TCP connect, TLS and welcome together, as the agent sees them.
pub const DIAL: Duration = Duration::from_secs(15);
/// The next address of a name is tried when one has not answered for this long (RFC 8305 §5).
pub const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// From accept to a whole ClientHello, and again from there to the end of the TLS handshake, as the relay sees it. The
/// wait for the handshake's turn is a part of it.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// A peer whose handshake was refused is listened to for this long, so that it hears why.
pub const REFUSED: Duration = Duration::from_secs(1);
/// And no more than this is read of it.
pub const REFUSED_BYTES: u64 = 64 * 1024;
/// Connections that have not shown yet what they have come for (no ClientHello, a TLS handshake under way, no request for
/// a service that there is). As many as may come back in one moment when a server has been away: with 4,096 of them
/// 15,000 clients put each other off, and were back after 30 s instead of 8. About 20 KiB each.
pub const MAX_PENDING: usize = 16_384;
/// And never more than this part of all connections, so that those that have come for something have the rest.
pub const PENDING_IN_ALL: usize = 4;
/// But so many, however few connections there may be: what one browser opens.
pub const MIN_PENDING: usize = 8;
/// Connections beyond all that there may be: pending ones that were told to make way and have not ended yet, because no
/// other task runs while some are accepted in one go. Half of the descriptors that a server keeps back for other things.
pub const EVICTED_AT_ONCE: usize = 64;
/// Keys are agreed upon and signatures made for so many handshakes, in each thread, before other work has its turn: 4 ms
/// of it. Those who wait meanwhile are served by what their networks have pending.
pub const HANDSHAKES_IN_TURN: usize = 16;
/// TLS connections whose handshake is under way, or has not begun, of one address.
pub const HANDSHAKES_PER_ADDRESS: usize = 64;
/// Connections of all kinds that one server holds at the same time, unless its operator says otherwise.
pub const MAX_CONNECTIONS: usize = 16_000;
/// Visitors' connections of one address at the same time, once a quarter of all are in use: more than any browser opens.
/// Behind some addresses are thousands of visitors (offices, carriers); while there is room they may all come.
pub const CONNECTIONS_PER_ADDRESS: usize = 256;
/// An IPv6 /56 may have so many times what one address may have, of connections and of handshakes: most providers give
/// one to each customer (RIPE-690).
pub const ADDRESSES_IN_56: usize = 4;
/// The same of a /48: a company, or many customers of a telephone network.
pub const ADDRESSES_IN_48: usize = 16;
/// An IPv4 /24 counts for so many addresses when a pending connection has to make way: it is the least that the Internet
/// routes, so it may be one owner's, or many customers of a provider. It is never a reason by itself to refuse one.
pub const ADDRESSES_IN_24: usize = 16;
/// New TLS connections of one address in a second, over time.
pub const HANDSHAKES_PER_SECOND: u32 = 64;
/// New TLS connections of one address in quick succession.
pub const HANDSHAKES_AT_ONCE: u32 = 128;
/// Addresses that are remembered, and devices; beyond that those that have been quiet are forgotten, but for as many
/// again as have something open.
pub const ADDRESSES: usize = 16 * 1024;
/// How long an address that has nothing open is remembered.
pub const ADDRESS_MEMORY: Duration = Duration::from_secs(60);
/// Failed enrolments of one address in a minute before it is made to wait.
pub const ENROL_FAILURES: u32 = 5;
/// How long it is made to wait then.
pub const ENROL_PENALTY: Duration = Duration::from_secs(60);
/// From the end of the handshake to a complete enrolment request or hello.
pub const FIRST_MESSAGE: Duration = Duration::from_secs(5);
/// Files of releases that are handed out at the same time. Each holds a piece, what TLS has taken of it, and the
/// connection's own buffers.
pub const DOWNLOADS: usize = 256;
/// A download that has had its place for so long gives it up to a newcomer where there are as many as there may be: it
/// goes on when it comes again.
pub const DOWNLOAD_TURN: Duration = Duration::from_secs(10);
/// Of them those of one device: one, and one that has broken and is not known to have yet.
pub const DOWNLOADS_PER_DEVICE: usize = 2;
/// Of them those of one address: a company's whole network may be behind one.
pub const DOWNLOADS_PER_ADDRESS: usize = 64;
/// What is read of a file of a release at a time.
pub const DOWNLOAD_PIECE_BYTES: usize = 32 * 1024;
/// How long so much of it may take on the way, at whichever end. Slower than 1 KB/s is a line that stands still.
pub const DOWNLOAD_STALLED: Duration = Duration::from_secs(30);
/// Log-ins of one device in a second, over time.
pub const LOGINS_PER_SECOND: u32 = 1;
/// Log-ins of one device in quick succession.
pub const LOGINS_AT_ONCE: u32 = 20;
/// So many times within [`TAKEOVERS_WITHIN`] may one computer take an identity from another; beyond that the key
/// is taken to be copied.
pub const TAKEOVERS: usize = 6;
/// See [`TAKEOVERS`].
pub const TAKEOVERS_WITHIN: Duration = Duration::from_secs(60);
/// A change of the registry that a client asks for is waited for this long, its place in the line included. Below
/// [`DIAL`], so that nothing is worked on that its client has given up already.
pub const CHANGE: Duration = Duration::from_secs(10);
/// Changes of the registry that clients ask for and that wait for their turn: what a slow disk (10 ms a flush) makes
/// within [`CHANGE`].
pub const CHANGES_WAITING: usize = 1024;
/// A device may be called something else this often; of what it is called meanwhile, the last counts.
pub const RENAME_EVERY: Duration = Duration::from_secs(60);
/// Sessions that an agent has moved away from and serves on, each for a process that finishes what is under way: so
/// many restarts of a server within the time that one process may take for that cost nobody a request.
pub const SESSIONS_LEFT_BEHIND: usize = 16;
/// Sessions of an agent that are not in use any more, whether they are served on or only finish their streams. Beyond
/// that the oldest ends at once. A server that leaves once in a second, the most that an agent follows over time,
/// still gets [`DRAIN`] for the streams of each.
pub const SESSIONS_LEFT: usize = 32;
/// New sessions that an agent begins in quick succession because its server leaves, or asks it to move: as many
/// restarts in a row as it keeps sessions for.
pub const FOLLOWED_AT_ONCE: u32 = SESSIONS_LEFT_BEHIND as u32;
/// The same over time. Each costs both ends a TLS handshake, and the customer's log some lines.
pub const FOLLOWED_EVERY: Duration = Duration::from_secs(1);
/// Lines about what a server does that an agent logs in quick succession: a word on each of [`MAX_SERVICES`] and as
/// many sessions that come and go.
pub const SERVER_LINES: u32 = 200;
/// The same over time. A client keeps 5 MB of log; at 400 bytes for a line and the count of those that were left out,
/// a server needs more than a day to push out what was there before.
pub const SERVER_LINE_EVERY: Duration = Duration::from_secs(10);
/// Files that a client rewrites because its server calls something else (public addresses, the vendor's name): so many
/// times in quick succession.
pub const WRITTEN_AT_ONCE: u32 = 5;
/// The same over time; of what is said meanwhile the last counts. Each write waits for the disk.
pub const WRITTEN_EVERY: Duration = Duration::from_secs(10);
/// Sessions of one device: one in use, and others that drain after a reconnect.
pub const MAX_SESSIONS_PER_DEVICE: usize = 4;
/// Services that one session may announce.
pub const MAX_SERVICES: usize = 64;
/// Sessions that come or go and have a line each in the log, in quick succession. A restart of a server with
/// thousands of clients then writes less than 100 KB.
pub const SESSIONS_LOGGED: u32 = 200;
/// The same over time, in a second.
pub const SESSIONS_LOGGED_PER_SECOND: u32 = 1;
/// How many more there were is logged this often.
pub const SESSIONS_SUMMED_EVERY: Duration = Duration::from_secs(10);
/// Kinds of Petit's own answers, each of one service or of none, of which the first in [`REFUSALS_SUMMED_EVERY`] has a line
/// in the log. With the sums of all of them it is less than 50 KB a minute, whatever strangers do.
pub const REFUSALS_LOGGED: usize = 100;
/// How many more there were is logged this often.
pub const REFUSALS_SUMMED_EVERY: Duration = Duration::from_secs(60);
/// How long the accept loop rests when the process is out of descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// An accepted connection that has been quiet for this long is asked by TCP whether its peer is still there.
pub const TCP_KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Pending connections that the kernel keeps for a listener.
pub const BACKLOG: i32 = 4096;

// ---- the private service ----------------------------------------------------------------------

/// Connections of one client to its private services at the same time, over all its sessions: a session that carries
/// as many streams as it can, and as many more that finish in sessions that are being left. Fewer where the process
/// may not open so many.
pub const SERVICE_CONNECTIONS: usize = 2 * MAX_STREAMS as usize;
/// Streams of one client over all its sessions. An answer that its server does not take is kept when the connection to
/// the service has ended already, so that connections alone are no bound on those.
pub const CLIENT_STREAMS: usize = SERVICE_CONNECTIONS;
/// Descriptors of a client that are none of connections to services: its log, its control socket and who asks there,
/// [`SESSIONS_LEFT`] and the next session, name look-ups, files that are being written.
pub const DESCRIPTORS_KEPT_BACK: u64 = 128;
/// A visit of a service that is not offered any more, or that is somewhere else now, ends when nothing has moved in it
/// for this long and no answer is due. Long enough for the pauses of an answer that is under way.
pub const WITHDRAWN_QUIET: Duration = Duration::from_secs(1);
/// And after this in any case. Whoever withholds a service means now; an answer of a few megabytes is through by then,
/// and a longer download is broken off.
pub const WITHDRAWN_GRACE: Duration = Duration::from_secs(10);
/// Connecting to the private service, which is on the same machine or network.
pub const SERVICE_CONNECT: Duration = Duration::from_secs(5);
/// A private service that is asked whether it speaks what it should: its answer begins within this time. Less than
/// a relay waits for a probe, so that it is this end that says what is wrong.
pub const SERVICE_ANSWERS: Duration = Duration::from_secs(3);
/// Bytes read from the private service at a time.
pub const SERVICE_READ_BYTES: usize = 64 * 1024;
/// A service without traffic is tried, end to end, this often; less than the minute that a green light lasts.
pub const PROBE_EVERY: Duration = Duration::from_secs(45);
/// A service that does not answer is tried this often.
pub const PROBE_AGAIN: Duration = Duration::from_secs(5);
/// The first probes of a session are so far from each other: those of all services take two seconds.
pub const PROBE_APART: Duration = Duration::from_millis(30);
/// In a session in which all count as floods (one without the feature `healths`), services that do not answer are
/// tried so much later for each service that there is.
pub const PROBE_AGAIN_PER_SERVICE: Duration = Duration::from_millis(400);
/// An end-to-end probe that has not come back after this long has failed.
pub const PROBE_LIMIT: Duration = Duration::from_secs(8);
/// Probes of one session under way at the same time; a client makes one of each service.
pub const PROBES_AT_ONCE: usize = 2 * MAX_SERVICES;
/// A service that has answered a probe, and then again gives a visitor no proper answer, has shown that the probe says
/// little about it: none counts for this long.
pub const SUSPECT_FOR: Duration = Duration::from_secs(5 * 60);
/// A success, a probe's or a visitor's, counts for this long.
pub const FRESH: Duration = Duration::from_secs(60);

// ---- public fronts ----------------------------------------------------------------------------

/// A public front is tried, as a visitor would come, this often; less than the minute that a green light lasts.
pub const FRONT_EVERY: Duration = Duration::from_secs(45);
/// The front of the server's own domain is tried this often while it has failed.
pub const FRONT_AGAIN: Duration = Duration::from_secs(5);
/// And after this while nothing is known of it yet: at the start.
pub const FRONT_SOON: Duration = Duration::from_millis(500);
/// So many attempts in a row that did not get in make a front a broken one; one alone may be a proxy that restarts.
pub const FRONT_FAILURES: u32 = 2;
/// From the name to the answer. A token is good for this long, once.
pub const FRONT_LIMIT: Duration = Duration::from_secs(10);
/// Of that, looking the name up, and again connecting: a router that leads nothing back inside is silent.
pub const FRONT_STEP: Duration = Duration::from_secs(4);
/// So much is read of what answers.
pub const FRONT_ANSWER_BYTES: usize = 1024;
/// Custom domains are tried one after the other, at most one in this time, however many there are: each costs a TLS
/// handshake, 1 to 2 ms of a core where it ends at this server too.
pub const FRONT_NAMES_PACE: Duration = Duration::from_secs(1);
/// Attempts on custom domains under way at the same time.
pub const FRONT_NAMES_AT_ONCE: usize = 8;
/// Custom domains of one agent that it is told of: what fits a message with room to spare.
pub const FRONT_NAMES_TOLD: usize = 24;
/// When a front has changed, so many agents are told at a time.
pub const FRONT_TOLD_AT_ONCE: usize = 64;
/// And then the next ones after this: 6,400 agents in a second, for a tenth of a core.
pub const FRONT_TOLD_EVERY: Duration = Duration::from_millis(10);
/// The longest that a front can be said to have been as it is: a year.
pub const FRONT_AGE_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// A raw TCP port of this machine's answers this fast, or not at all.
pub const PORT_PROBE: Duration = Duration::from_secs(2);

// ---- public HTTP ------------------------------------------------------------------------------

/// What of a request is looked at to find its host. Every usual client sends it with the first packet.
pub const PEEK_BYTES: usize = 2048;
/// Chunk extensions of one body. They mean nothing to anybody, and nobody has to read them for ever.
pub const CHUNK_EXTENSIONS_BYTES: usize = 16 * 1024;
/// Trailers of one body.
pub const TRAILERS_BYTES: usize = 16 * 1024;
/// Trailer fields of one body.
pub const MAX_TRAILERS: usize = 64;
/// From the first byte of a request head to its end, and from a connection's begin to its first request.
pub const HEAD: Duration = Duration::from_secs(15);
/// From a request sent to the service until the head of its answer. No limit on the whole.
pub const FIRST_BYTE: Duration = Duration::from_secs(120);
/// The longest time that a client may ask for instead, unless the operator allows more: a request that is not
/// answered has a place.
pub const FIRST_BYTE_MOST: Duration = Duration::from_secs(60 * 60);
/// What streams is cut only when nothing has moved for this long.
pub const IDLE: Duration = Duration::from_secs(10 * 60);
/// A visitor who sends nothing of a body for this long, before the service has answered, is cut.
pub const BODY_IDLE: Duration = Duration::from_secs(30);
/// A visitor's body must come at this rate, in bytes per second waited for, once [`BODY_GRACE`] was waited.
pub const BODY_RATE: u64 = 500;
/// See [`BODY_RATE`].
pub const BODY_GRACE: Duration = Duration::from_secs(10);
/// A service that has answered early and takes what is on its way of the upload has so long for it after the last byte has
/// come: the windows and buffers between hold some seconds of a home line.
pub const UPLOAD_DELIVERY: Duration = Duration::from_secs(60);
/// A visitor who takes nothing of an answer for this long is cut.
pub const WRITE_IDLE: Duration = Duration::from_secs(30);
/// A visitor who was waited for so long, over the whole answer, must take [`WRITE_RATE`].
pub const WRITE_GRACE: Duration = Duration::from_secs(10 * 60);
/// Bytes per second waited for; see [`WRITE_GRACE`].
pub const WRITE_RATE: u64 = 1024;
/// A visitor who may still be sending a body when the connection is closed is listened to for this long.
pub const LISTEN_ON: Duration = Duration::from_secs(5);
/// As much of a body of HTTP/2 that nobody wants is taken within [`LISTEN_ON`] and thrown away, before its stream is reset: 64
/// windows of a stream, so that a visitor has as many round trips to hear of the answer and stop; and a photograph or
/// a document, of those who send all of it first.
pub const UNREAD_BYTES: usize = 8 * 1024 * 1024;
/// Requests under way at the same time.
pub const MAX_REQUESTS: usize = 8192;
/// Requests under way at the same time to one service.
pub const REQUESTS_PER_SERVICE: usize = 1024;
/// Failed requests of one service that are logged in quick succession; after that one in a second.
pub const FAILURES_LOGGED: u32 = 10;
/// How long a request waits for a place.
pub const SLOT_WAIT: Duration = Duration::from_secs(1);
/// A line for places that has not been empty for this long is no burst any more.
pub const BURST: Duration = Duration::from_millis(250);
/// How long it waits at least while more requests come than can be served.
pub const SLOT_WAIT_LEAST: Duration = Duration::from_millis(5);
/// A request that finds no place waits so long for one to become free by itself before somebody has to give one up.
/// Most services have answered by then.
pub const GIVE_WAY_AFTER: Duration = Duration::from_millis(250);
/// A request whose body has not begun to come for this long gives its place to anybody.
pub const BODY_YIELDS_AFTER: Duration = Duration::from_secs(1);
/// Who holds less than a browser opens is spared for this long where there are few others: by then a page is loaded,
/// and what goes on may give way to whoever has nothing.
pub const SPARED_FOR: Duration = Duration::from_secs(5);
/// Who holds how many places is counted anew after this long while places are short: a look at 8192 places takes
/// milliseconds when each has another holder, and a crowd must not cost one each.
pub const RANKING_FRESH: Duration = Duration::from_millis(50);
/// And after so many times as long as it took, so that it never takes more than a twentieth of a processor's time.
pub const RANKING_REST: u32 = 19;
/// Visits of all kinds to one client at the same time. Each has a stream, and a session has [`MAX_STREAMS`]; the rest
/// is for streams that are kept idle, for probes, and for visits that are being ended.
pub const VISITS_PER_CLIENT: usize = 3072;
/// Requests that wait for a place at one service.
pub const SLOT_LINE: usize = 1024;
/// WebSockets of one client at the same time.
pub const WEBSOCKETS_PER_CLIENT: usize = 100;
/// A visitor connection without a request for this long, and two times [`HEAD`] at most, is closed. Longer than what
/// stands in front keeps its own (nginx and the load balancers of AWS: 60 s): whoever closes first loses no request.
pub const VISITOR_IDLE: Duration = Duration::from_secs(75);
/// The same for proxies that are trusted and networks that are exempt: Google's load balancers keep theirs for 600 s.
pub const PROXY_IDLE: Duration = Duration::from_secs(630);
/// How long a visitor's connection that is closed for its silence may take to close.
pub const PARTING: Duration = Duration::from_secs(1);
/// Requests on one visitor connection before it is closed gracefully.
pub const REQUESTS_PER_CONNECTION: u64 = 10_000;
/// Age of a visitor connection at which it is closed gracefully, ± 10 %.
pub const CONNECTION_AGE: Duration = Duration::from_secs(60 * 60);
/// Header fields in one request, crumbs of a cookie counted one by one.
pub const MAX_HEADERS: usize = 100;
/// Largest request head.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Largest value of one request header field.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;
/// Longest path and query.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;
/// Read buffer of an HTTP/1.1 connection, and the largest head of an answer.
pub const HTTP_BUFFER_BYTES: usize = 64 * 1024;
/// Header fields in one answer.
pub const MAX_ANSWER_HEADERS: usize = 200;
/// Frames with headers that a visitor may have reset before they were looked at (CVE-2023-44487).
pub const H2_PENDING_RESETS: usize = 20;
/// Streams that this side may have had to reset before the connection is ended (CVE-2025-8671).
pub const H2_ERROR_RESETS: usize = 256;
/// Requests at the same time on one HTTP/2 connection to a service.
pub const H2_REQUESTS: usize = 100;
/// HTTP/2 window of one answer of a service: 6 MB/s over 80 ms.
pub const H2_SERVICE_STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// HTTP/2 window of one connection to a service. 32 answers may wait for their visitor before others have to.
/// It has the same proportion to the window of one as [`H2_CONNECTION_WINDOW_BYTES`], for the same reason.
pub const H2_SERVICE_CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// An idle HTTP/2 connection to a service is dropped after this long.
pub const H2_IDLE_FOR: Duration = Duration::from_secs(60);
/// What else is on an HTTP/2 connection to a service has so long to end after an upload on it was given up.
pub const H2_GIVEN_UP: Duration = Duration::from_secs(5);
/// Streams of one HTTP/2 visitor connection.
pub const H2_STREAMS: u32 = 100;
/// HTTP/2 window of one visitor stream. Visitors are near: 128 MB/s over 1 ms.
pub const H2_STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// HTTP/2 window of one visitor connection, with room for many requests that nobody reads. Half of it is what h2
/// allows for the overhead of small frames that wait, before it ends the connection with all its requests: enough
/// for a stream's window of messages of 16 bytes (gRPC), each of which costs 240 more.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Largest HTTP/2 header list, at which h2 answers by itself and without a body. Each field counts 32 bytes more than
/// it has (RFC 9113 §6.5.2), so that a head within [`MAX_HEAD_BYTES`] is within this, and one a little beyond is told so.
pub const H2_HEADER_LIST_BYTES: u32 = 64 * 1024;
/// Frames of HTTP/2 that move nothing (PING, SETTINGS, PRIORITY, credit, resets, unknown ones, DATA without data) that
/// a visitor may send at once: two grants for every frame of 32 MiB that are on their way to it.
pub const H2_CONTROL_AT_ONCE: u32 = 4096;
/// The same over time, in a second; what visitors of other servers may send in a minute and more.
pub const H2_CONTROL_PER_SECOND: u32 = 100;
/// So many more for each request: its priority, changes of that, a reset.
pub const H2_CONTROL_PER_REQUEST: u32 = 8;
/// So many more for each part of an answer that is handed out: credit for the stream and for the connection, and a
/// PING that measures the distance meanwhile.
pub const H2_CONTROL_PER_PART: u32 = 4;
/// And one more for so many bytes of it: parts are of up to 64 KiB, and some visitors give credit for each KiB.
pub const H2_BYTES_PER_CONTROL: usize = 512;
/// HTTP/2 keep-alive PING towards visitors; hyper sends none by itself.
pub const H2_PING_EVERY: Duration = Duration::from_secs(20);
/// An HTTP/2 visitor that has not answered a PING for this long is gone.
pub const H2_PING_LIMIT: Duration = Duration::from_secs(10);
/// Idle keep-alive streams kept for one service.
pub const POOL_IDLE: usize = 64;
/// An idle keep-alive stream is dropped after this long. Below the five seconds after which Node.js closes.
pub const POOL_IDLE_FOR: Duration = Duration::from_secs(4);
/// A request with a body takes a kept stream only when that has been idle for no longer than this, and a new one
/// otherwise, which costs no round trip. It cannot be sent a second time when the service closes in its face, and
/// services close after two seconds or more (gunicorn: 2, Node.js and Apache: 5, nginx: 75), so that none has done so
/// when the request arrives a round trip of up to a second later.
pub const POOL_IDLE_FOR_BODY: Duration = Duration::from_millis(500);
/// `Retry-After` of those who are turned away for the moment is 1 to this many seconds.
pub const RETRY_AFTER_SPREAD: u32 = 5;

// ---- identity ---------------------------------------------------------------------------------

/// Registered IDs that one device may get in an hour.
pub const NEW_SERVICES_PER_HOUR: u32 = 300;
/// What one client may have written into the log of changes in a day: three times what it takes to be given
/// [`NEW_SERVICES_PER_HOUR`] services and to give them back. Beyond it only giving back goes on. The log keeps 400 days, so
/// that a client that does nothing else can make it grow by 400 MB.
pub const CLIENT_CHANGES_BYTES_PER_DAY: u64 = 1024 * 1024;
/// How often a day it is written down that somebody tries an invite that another has used.
pub const INVITE_REUSE_NOTED_PER_DAY: usize = 16;
/// Tags of one client, or of one invite.
pub const MAX_TAGS: usize = 16;
/// Policies of one server, those of its config file among them.
pub const MAX_POLICIES: usize = 500;
/// Services, networks and keys that one policy names, of each: a list is looked through for a request.
pub const POLICY_LIST: usize = 100;
/// Keys for visitors, those that were revoked among them.
pub const MAX_VISITOR_KEYS: usize = 2000;
/// Characters of a note about a client or an invite.
pub const NOTE_CHARS: usize = 200;
/// An alias that was given up is kept from other clients for this long.
pub const ALIAS_TOMBSTONE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// An invite lasts this long unless its maker says otherwise.
pub const INVITE_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// The longest an invite may last: over a weekend and some days on either side.
pub const INVITE_LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Clocks of customers and vendor may differ by this much before a person is told, and a server's clock may be set
/// back by this much before invites that seem to come from the future are judged expired.
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);
/// Keys that an invite may pin: the current one, a backup, and two while one is replaced.
pub const MAX_PINS: usize = 4;
