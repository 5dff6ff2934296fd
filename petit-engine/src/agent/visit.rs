//! One stream to the private service and back.
//!
//! The target is what the customer chose; nothing that came over the wire takes part in choosing it. [`Visits`]
//! is the seam where a later agent may look at requests; [`Direct`] carries bytes and looks at nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::check::{self, Question, Speaks};
use super::connections::Connection;
use super::local::{NotConnected, ServiceSpec, connect_with};
use super::meter::{Meter, Success, SuccessBy};
use super::withdrawal::{Activity, Offering};
use crate::BoxFuture;
use crate::cause::{Health, ServiceCause};
use crate::limits;
use crate::mux::{CarryError, Entry, Memory, Progress, Stream, Until, carry};
use crate::proto::control::ServiceKind;
use crate::proto::frame::{Purpose, ResetCode};

/// A visitor's stream, and what it needs to get to its service.
#[derive(Debug)]
pub struct IncomingStream {
    /// The visitor's bytes.
    pub stream: Stream,
    /// The service it is for.
    pub service: Arc<ServiceSpec>,
    /// Where to note what happened.
    pub meter: Arc<Meter>,
    /// To be called when the service's health has changed.
    pub health_changed: Arc<tokio::sync::Notify>,
    /// Tells when the service is withdrawn.
    pub offering: Arc<Offering>,
    /// The right to connect to the service, for as long as that lasts.
    pub connection: Connection,
    /// Where bytes count that wait for the service to take them.
    pub memory: Arc<Memory>,
}

/// What happens to visits. Each one runs in a task of its own.
pub trait Visits: Send + Sync + 'static {
    /// Carries a visit to its end. Dropping the future ends it at once.
    fn visit(&self, visit: IncomingStream) -> BoxFuture<'static, ()>;
}

/// Connects to the service and carries bytes both ways.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Visits for Direct {
    fn visit(&self, visit: IncomingStream) -> BoxFuture<'static, ()> {
        Box::pin(direct(visit))
    }
}

async fn direct(visit: IncomingStream) {
    // `connection` is held to the end.
    let IncomingStream { mut stream, service, meter, health_changed, offering, connection, memory } = visit;
    let start = Instant::now();
    // A visitor may get no proper answer while this is under way.
    let is_suspect = meter.is_suspect(start);
    // A visitor who leaves while the service is slow to accept is not waited for.
    let connected = tokio::select! {
        connected = connect_with(&service, Some(&connection)) => connected,
        _ = std::future::poll_fn(|cx| stream.poll_broken(cx)) => return,
        () = offering.withdrawn() => return stream.reset(ResetCode::ServiceUnknown),
    };
    let health = match &connected {
        Ok(_) => Some(Health::Up),
        Err(NotConnected::Service(cause)) => Some(Health::Down(*cause)),
        Err(NotConnected::NoDescriptors) => None, // which says nothing of the service
    };
    if let Some(health) = health
        && meter.set_health(health, Instant::now())
    {
        health_changed.notify_one();
    }
    let mut local = match connected {
        Ok(local) => local,
        Err(cause) => {
            tracing::debug!(?cause, "service not reached");
            return stream.reset(reset_code(cause));
        }
    };
    let speaks = Speaks::of(&service);
    if stream.opened().purpose == Purpose::Probe {
        let what = Question::to(speaks, is_suspect);
        let found = check::ask(&mut local, what, &service).await;
        if what != Question::Nothing {
            // A good answer says nothing of what a visitor has met since it was asked for.
            let at = if found.is_ok() { start } else { Instant::now() };
            meter.record_check(found, at);
            health_changed.notify_one();
        }
        return answer_probe(stream, found, start.elapsed()).await;
    }
    let _active = meter.visit();
    let until = match service.kind {
        ServiceKind::Http => Until::LocalFinishes,
        ServiceKind::Tcp => {
            // The end of the connection may be all that tells the service where the data ends.
            local.reset_unless_shut_down();
            Until::BothFinish
        }
    };
    let patience = service.options.answer_within_s.map(|seconds| Duration::from_secs(seconds.into()));
    let activity = Activity::new(offering);
    let mut flow = Flow::new(&meter, speaks, patience.unwrap_or(limits::FIRST_BYTE), &activity);
    flow.taken = Entry::new(memory);
    let Some(result) = activity.while_offered(carry(&mut stream, &mut local, until, &mut flow)).await else {
        tracing::debug!("the visit ends, as its service is not offered any more");
        return stream.reset_after_written(ResetCode::ServiceUnknown);
    };
    let was_suspect = meter.is_suspect(Instant::now());
    flow.ended(&result, Instant::now());
    if !was_suspect && meter.is_suspect(Instant::now()) {
        health_changed.notify_one(); // it is asked itself, soon
    }
    match result {
        Ok(()) => {}
        Err(CarryError::Local(error)) => {
            tracing::debug!(%error, "the service's connection broke");
            stream.reset_after_written(ResetCode::ServiceBroke);
        }
        Err(CarryError::Stream(error)) => tracing::trace!(%error, "the visitor's stream ended"),
    }
}

/// Tells the relay what a probe of a service has found, and how long that took.
async fn answer_probe(mut stream: Stream, found: Result<(), ServiceCause>, took: Duration) {
    if let Err(cause) = found {
        tracing::debug!(?cause, "the service does not answer as it should");
        return stream.reset(reset_code(cause.into()));
    }
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let _ = stream.write_all(&took.to_be_bytes()).await;
    stream.finish();
}

/// What the relay is told of a service that was not connected to, or that has not answered a probe.
fn reset_code(cause: NotConnected) -> ResetCode {
    match cause {
        NotConnected::NoDescriptors => ResetCode::NoRoom,
        NotConnected::Service(ServiceCause::Refused) => ResetCode::ServiceRefused,
        NotConnected::Service(
            ServiceCause::Unreachable | ServiceCause::NameNotFound | ServiceCause::Forbidden,
        ) => ResetCode::ServiceUnreachable,
        NotConnected::Service(ServiceCause::NotTls | ServiceCause::Untrusted) => ResetCode::ServiceTls,
        // The connection was taken, and broken off, or used for something else than was set up.
        NotConnected::Service(ServiceCause::NoAnswer | ServiceCause::NotHttp) => ResetCode::ServiceBroke,
    }
}

/// Tells a meter what passes. The first thing that the service says on a connection shows whether it speaks what
/// it should; after that any answer to something asked is a success end to end. What comes later is not
/// judged: it may be the middle of an answer, or of a WebSocket.
struct Flow<'a> {
    meter: &'a Meter,
    speaks: Speaks,
    /// How long the relay waits for an answer.
    patience: Duration,
    /// Since when something asked has had no answer.
    asked: Option<Instant>,
    first: First,
    activity: &'a Activity,
    /// What was taken from the stream, as long as the service does not take it.
    taken: Entry,
}

/// What the service has said first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Nothing,
    AnAnswer,
    SomethingElse,
}

impl<'a> Flow<'a> {
    fn new(meter: &'a Meter, speaks: Speaks, patience: Duration, activity: &'a Activity) -> Self {
        Self {
            meter,
            speaks,
            patience,
            asked: None,
            first: First::Nothing,
            activity,
            taken: Entry::default(),
        }
    }

    /// The visit is over. A service that has taken a request and said nothing does not work; when it was the other
    /// side that left, it may just have been impatient.
    fn ended(&self, result: &Result<(), CarryError>, now: Instant) {
        let Some(asked) = self.asked.filter(|_| self.first == First::Nothing) else { return };
        // The relay's clock began a little later than this one, or a little earlier.
        let in_vain = now.saturating_duration_since(asked) >= self.patience * 9 / 10;
        let left = matches!(result, Err(CarryError::Stream(_)));
        if self.speaks != Speaks::Anything && (in_vain || !left) {
            self.meter.record_visit_failure(ServiceCause::NoAnswer, now);
        }
    }

    fn answered(&mut self, bytes: &[u8], now: Instant) {
        if self.asked.take().is_none() {
            return;
        }
        if self.first == First::Nothing {
            self.first = if self.speaks.is_answer(bytes) { First::AnAnswer } else { First::SomethingElse };
            if self.first == First::SomethingElse {
                self.meter.record_visit_failure(ServiceCause::NotHttp, now);
            }
        }
        if self.first == First::AnAnswer {
            self.meter.record_success(Success { at: now, by: SuccessBy::Visitor });
        }
    }
}

impl Progress for Flow<'_> {
    fn may_take(&self) -> bool {
        self.activity.may_ask()
    }

    fn waits_for_room(&mut self) {
        self.activity.held_up();
    }

    fn waits_for_local(&mut self) {
        // However few bytes are left of it, the piece has the memory of its frame to the end.
        self.taken.hold(limits::MAX_DATA_BYTES);
    }

    fn to_local(&mut self, bytes: usize) {
        self.taken.hold(0);
        self.asked.get_or_insert_with(Instant::now);
        self.activity.asked();
        self.meter.carried(bytes as u64, 0);
    }

    fn to_stream(&mut self, bytes: &[u8]) {
        if self.asked.is_some() {
            self.answered(bytes, Instant::now());
        }
        self.activity.answered();
        self.meter.carried(0, bytes.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::mux::testing::pair;
    use crate::proto::control::Hop;
    use crate::proto::frame::Open;

    const PATIENCE: Duration = Duration::from_secs(120);

    fn flow<'a>(meter: &'a Meter, activity: &'a Activity) -> Flow<'a> {
        Flow::new(meter, Speaks::Http1, PATIENCE, activity)
    }

    fn offered() -> Activity {
        Activity::new(Arc::default())
    }

    fn bad(meter: &Meter) -> Option<ServiceCause> {
        meter.last_failure().map(|(_, hop)| match hop {
            Hop::Service(cause) => cause,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_first_answer_is_judged_and_what_follows_it_is_not() {
        let (meter, activity) = (Meter::default(), offered());
        let mut flow = flow(&meter, &activity);
        flow.to_stream(b"220 unasked");
        assert_eq!((meter.last_success(), bad(&meter)), (None, None), "nobody has asked");
        flow.to_local(10);
        flow.to_stream(b"HTTP/1.1 101 Switching Protocols");
        assert!(meter.last_success().is_some());
        // A WebSocket's frames, or a body that goes both ways.
        flow.to_local(10);
        flow.to_stream(&[0x81, 5, b'h', b'e', b'l', b'l', b'o']);
        flow.to_local(10);
        flow.ended(&Ok(()), Instant::now());
        assert_eq!(bad(&meter), None);
    }

    #[test]
    fn garbage_is_no_answer_and_does_not_become_one() {
        let (meter, activity) = (Meter::default(), offered());
        let mut flow = flow(&meter, &activity);
        for _ in 0..2 {
            flow.to_local(10);
            flow.to_stream(b"SSH-2.0-OpenSSH");
        }
        assert_eq!((meter.last_success(), bad(&meter)), (None, Some(ServiceCause::NotHttp)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_service_does_not_take_counts_among_what_all_sessions_hold() {
        const SAID: usize = 9000;
        let (relay, mut agent) = pair(1 << 20);
        let mut there = relay.mux.open(Open::default()).unwrap();
        let mut here = agent.accepted().await;
        let (mut local, mut service) = tokio::io::duplex(1000);
        let memory = Arc::new(Memory::default());
        let (meter, activity) = (Meter::default(), offered());
        let carrying = async {
            let mut flow = flow(&meter, &activity);
            flow.taken = Entry::new(Arc::clone(&memory));
            carry(&mut here, &mut local, Until::LocalFinishes, &mut flow).await
        };
        // Only when everything has come to rest does a paused clock go on.
        let at_rest = || tokio::time::sleep(Duration::from_secs(1));
        let speaking = async {
            there.write_all(&[0; SAID]).await.unwrap();
            at_rest().await;
            assert_eq!(memory.held(), limits::MAX_DATA_BYTES);
            service.read_exact(&mut [0; SAID]).await.unwrap();
            at_rest().await;
            assert_eq!(memory.held(), 0, "it has taken all");
            there.write_all(&[0; SAID]).await.unwrap();
            at_rest().await;
            assert_eq!(memory.held(), limits::MAX_DATA_BYTES);
        };
        tokio::select! {
            ended = carrying => panic!("{ended:?}"),
            () = speaking => {}
        }
        assert_eq!(memory.held(), 0, "the visit has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_its_visitor_is_slow_to_take_has_its_time_after_a_withdrawal() {
        let (relay, mut agent) = pair(1 << 20);
        let _there = relay.mux.open(Open::default()).unwrap();
        let mut here = agent.accepted().await;
        let (mut local, mut service) = tokio::io::duplex(1000);
        let (meter, offering) = (Meter::default(), Arc::<Offering>::default());
        let activity = Activity::new(Arc::clone(&offering));
        let mut flow = flow(&meter, &activity);
        let visit = activity.while_offered(carry(&mut here, &mut local, Until::LocalFinishes, &mut flow));
        let withdrawing = async {
            let more_than_windows = service.write_all(&[0; 1 << 20]);
            tokio::time::timeout(Duration::from_secs(1), more_than_windows).await.unwrap_err();
            offering.withdraw();
            tokio::time::Instant::now()
        };
        let ending = async { (visit.await.is_none(), tokio::time::Instant::now()) };
        let ((cut, ended), withdrawn) = tokio::join!(ending, withdrawing);
        assert!(cut && ended - withdrawn >= limits::WITHDRAWN_GRACE, "{:?}", ended - withdrawn);
    }

    #[test]
    fn a_service_that_says_nothing_does_not_work_unless_the_visitor_was_impatient() {
        let left = || Err(CarryError::Stream(std::io::ErrorKind::ConnectionReset.into()));
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        for (result, seconds, expected) in [
            (Ok(()), 0, Some(ServiceCause::NoAnswer)),
            (left(), 5, None),
            (left(), 120, Some(ServiceCause::NoAnswer)),
        ] {
            let (meter, activity) = (Meter::default(), offered());
            let mut flow = flow(&meter, &activity);
            flow.to_local(10);
            flow.ended(&result, after(seconds));
            assert_eq!(bad(&meter), expected, "{result:?} after {seconds} s");
        }
    }
}
