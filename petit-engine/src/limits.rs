//! Every time, size and count of the engine, with its unit and its reason.
//!
//! A number that a peer can feel stands here and nowhere else.

use std::time::Duration;

// ---- frames -----------------------------------------------------------------------------------

/// Payload of one DATA frame. Four quanta: a lone stream may fill a whole batch with one header.
pub const MAX_DATA_BYTES: usize = 64 * 1024;
/// Payload of one CONTROL frame: room for 64 announced services with their names and versions.
pub const MAX_CONTROL_BYTES: usize = 16 * 1024;
/// Payload of one OPEN frame: its fixed layout is 46 bytes; the rest is room for a later version.
pub const MAX_OPEN_BYTES: usize = 64;
/// The enrolment request and its answer.
pub const MAX_ENROL_BYTES: usize = 4 * 1024;

// ---- streams ----------------------------------------------------------------------------------

/// What a stream may send before the first grant. 256 KiB keeps small requests fast beside bulk (measured:
/// p50 2.6 ms against 11 ms with large fixed windows) and is 3 MB/s over 80 ms until the window has grown.
pub const INITIAL_WINDOW_BYTES: u32 = 256 * 1024;
/// The smallest window ever granted, used when a session's memory is spoken for.
pub const MIN_WINDOW_BYTES: u32 = 16 * 1024;
/// The largest window of one stream: 200 MB/s over 80 ms.
pub const MAX_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Sum of the receive windows of a session beyond which new streams start with [`MIN_WINDOW_BYTES`] and no
/// window grows. It bounds what one customer's slow visitors can pin in the server's memory.
pub const SESSION_WINDOW_BYTES: u64 = 32 * 1024 * 1024;
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
/// Streams that may be opened in one second; the burst is one full set of streams.
pub const MAX_OPENS_PER_SECOND: u32 = 20_000;
/// PINGs a peer may send in one second (the protocol needs one in ten).
pub const MAX_PINGS_PER_SECOND: u32 = 10;
/// Frames for streams that are already gone: they cross with a reset, so each reset pardons a few.
pub const STRAY_FRAMES_PER_STREAM: u32 = 8;
/// Control messages that may wait for their reader; more end the session.
pub const CONTROL_QUEUE: usize = 64;
/// Control messages a peer may send in one second.
pub const MAX_CONTROL_PER_SECOND: u32 = 50;

// ---- liveness ---------------------------------------------------------------------------------

/// A PING is sent this often.
pub const PING_EVERY: Duration = Duration::from_secs(10);
/// A peer that has said nothing for this long is gone, and so is one that takes no byte we have for it.
pub const DEAD_AFTER: Duration = Duration::from_secs(20);
/// First delay of the reconnect back-off; doubles with each failure, drawn with full jitter.
pub const RETRY_FIRST: Duration = Duration::from_millis(200);
/// Longest delay of the reconnect back-off. There is no last attempt.
pub const RETRY_CAP: Duration = Duration::from_secs(30);
/// A session that lasted this long resets the back-off.
pub const RETRY_RESET_AFTER: Duration = Duration::from_secs(60);
/// An agent that was refused for good looks this often whether somebody has put things right at the server (a
/// registry restored from a backup knows the device again).
pub const LOOK_AGAIN: Duration = Duration::from_secs(10 * 60);
/// A service that the server could not write down is offered again after this long.
pub const OFFER_AGAIN: Duration = Duration::from_secs(10);
/// How long an agent whose identity is in use elsewhere waits before it asks again.
pub const RETRY_IN_USE: Duration = Duration::from_secs(30);
/// Streams in flight get this long to finish when a side leaves.
pub const DRAIN: Duration = Duration::from_secs(30);

// ---- connections ------------------------------------------------------------------------------

/// TCP connect, TLS and welcome together, as the agent sees them.
pub const DIAL: Duration = Duration::from_secs(15);
/// From accept to the end of the TLS handshake, as the relay sees it.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// TLS handshakes under way at the same time; further peers wait in the kernel's queue.
pub const MAX_HANDSHAKES: usize = 512;
/// Connections of all kinds that one server holds at the same time.
pub const MAX_CONNECTIONS: usize = 16_000;
/// From the end of the handshake to a complete enrolment request or hello.
pub const FIRST_MESSAGE: Duration = Duration::from_secs(5);
/// Sessions of one device: one in use, and others that drain after a reconnect.
pub const MAX_SESSIONS_PER_DEVICE: usize = 4;
/// Services that one session may announce.
pub const MAX_SERVICES: usize = 64;
/// How long the accept loop rests when the process is out of descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Pending connections that the kernel keeps for a listener.
pub const BACKLOG: i32 = 4096;

// ---- the private service ----------------------------------------------------------------------

/// Connecting to the private service, which is on the same machine or network.
pub const SERVICE_CONNECT: Duration = Duration::from_secs(5);
/// Bytes read from the private service at a time.
pub const SERVICE_READ_BYTES: usize = 64 * 1024;
/// A service without traffic is tried, end to end, this often; less than the minute that a green light lasts.
pub const PROBE_EVERY: Duration = Duration::from_secs(45);
/// A service that does not answer is tried this often.
pub const PROBE_AGAIN: Duration = Duration::from_secs(5);
/// An end-to-end trial that has not come back after this long has failed.
pub const PROBE_LIMIT: Duration = Duration::from_secs(8);
/// A success counts as proof of the whole way for this long.
pub const FRESH: Duration = Duration::from_secs(60);

// ---- public HTTP ------------------------------------------------------------------------------

/// From the first byte of a request head to its end; also how long an idle visitor connection is kept.
pub const HEAD: Duration = Duration::from_secs(15);
/// From a request sent to the service until the head of its answer. No limit on the whole.
pub const FIRST_BYTE: Duration = Duration::from_secs(120);
/// Header fields in one request; hyper refuses more with 431.
pub const MAX_HEADERS: usize = 100;
/// Largest request head, and hyper's read buffer with it.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Streams of one HTTP/2 visitor connection.
pub const H2_STREAMS: u32 = 100;
/// HTTP/2 window of one visitor stream.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// HTTP/2 window of one visitor connection.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Largest HTTP/2 header list.
pub const H2_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// HTTP/2 keep-alive PING towards visitors; hyper sends none by itself.
pub const H2_PING_EVERY: Duration = Duration::from_secs(20);
/// An HTTP/2 visitor that has not answered a PING for this long is gone.
pub const H2_PING_LIMIT: Duration = Duration::from_secs(10);
/// Idle keep-alive streams kept for one service.
pub const POOL_IDLE: usize = 64;
/// An idle keep-alive stream is dropped after this long. Below the five seconds after which Node.js closes.
pub const POOL_IDLE_FOR: Duration = Duration::from_secs(4);
/// A visitor is told to come back after this many seconds when its service is away.
pub const RETRY_AFTER_SECONDS: u32 = 2;

// ---- identity ---------------------------------------------------------------------------------

/// An invite lasts this long unless its maker says otherwise.
pub const INVITE_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// The longest an invite may last.
pub const INVITE_LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks of customers and vendor may differ by this much before an invite is judged expired.
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);
/// Keys that an invite may pin: the current one, a backup, and two while one is replaced.
pub const MAX_PINS: usize = 4;
