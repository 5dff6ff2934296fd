//! What the agent asks of its relay: end-to-end probes, and giving names back.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Runner;
use crate::agent::ask::{Question, QuestionKind};
use crate::agent::command::AskError;
use crate::cause::Health;
use crate::limits;
use crate::proto::control::{FromAgent, Hop, Message, ProbeResult};

impl Runner {
    pub(super) fn probe(
        &mut self,
        number: u16,
        answer: Option<oneshot::Sender<Result<ProbeResult, AskError>>>,
    ) {
        self.next_probe = self.next_probe.wrapping_add(1);
        let probe = self.next_probe;
        if let Some(offered) = self.offers.iter_mut().find(|offered| offered.number == number) {
            offered.probe_at = None; // until this one has come back
        }
        let message = FromAgent::Probe { probe, service: number };
        self.ask(&message, QuestionKind::Probe { probe, number, answer });
    }

    pub(super) fn on_probed(&mut self, probe: u32, result: ProbeResult) {
        let this =
            |what: &QuestionKind| matches!(what, QuestionKind::Probe { probe: asked, .. } if *asked == probe);
        if let Some(QuestionKind::Probe { number, answer, .. }) = self.answered(this) {
            let result = self.as_known_here(number, result);
            self.take_probe_result(number, result);
            if let Some(answer) = answer {
                let _ = answer.send(Ok(result));
            }
        }
    }

    /// The relay knows only roughly why a service was not reached; this end has seen it.
    fn as_known_here(&self, number: u16, mut result: ProbeResult) -> ProbeResult {
        let offered = self.offers.iter().find(|offered| offered.number == number);
        if let (Some(Hop::Service(broken)), Some(offered)) = (&mut result.broken, offered) {
            match offered.meter.health().0 {
                Health::Down(cause) => *broken = cause,
                Health::Up | Health::Untried => *broken = offered.meter.suspected().unwrap_or(*broken),
            }
        }
        result
    }

    fn take_probe_result(&mut self, number: u16, result: ProbeResult) {
        let probe_again = self.probe_again_after();
        let Some(offered) = self.offers.iter_mut().find(|offered| offered.number == number) else { return };
        let now = Instant::now();
        offered.meter.record_probe(result, now.into_std());
        let is_well = result.broken.is_none() && !offered.meter.is_suspect(now.into_std());
        let again = if is_well { limits::PROBE_EVERY } else { probe_again };
        offered.probe_at = Some(now + again);
        self.view.send_modify(|_| {});
    }

    pub(super) fn ask(&mut self, message: &FromAgent, what: QuestionKind) {
        if self.live.is_some() {
            self.questions.push(Question { what, deadline: Instant::now() + limits::PROBE_LIMIT });
            self.send(message);
        } else {
            what.fail(AskError::Offline);
        }
    }

    pub(super) fn answered(&mut self, is_it: impl Fn(&QuestionKind) -> bool) -> Option<QuestionKind> {
        let position = self.questions.iter().position(|question| is_it(&question.what))?;
        Some(self.questions.swap_remove(position).what)
    }

    pub(super) fn send(&self, message: &FromAgent) {
        if let Some(live) = &self.live {
            match message.encode() {
                Ok(payload) => drop(live.mux.send_control(&payload)),
                Err(error) => tracing::error!(%error, "a message to the server was not sent"),
            }
        }
    }

    /// Gives up on answers that are late, and starts the probes that are due.
    pub(super) fn ask_in_time(&mut self, now: Instant) {
        while let Some(late) = self.questions.iter().position(|question| question.deadline <= now) {
            let question = self.questions.swap_remove(late);
            if let QuestionKind::Probe { number, .. } = question.what {
                self.take_probe_result(
                    number,
                    ProbeResult { broken: Some(Hop::Tunnel), ..ProbeResult::default() },
                );
            }
            question.what.fail(AskError::Unanswered);
        }
        let session = self.live.as_ref().map_or(now, |live| live.since).into_std();
        let due: Vec<u16> = self
            .offers
            .iter_mut()
            .filter(|offered| offered.probe_at.is_some_and(|at| at <= now))
            .filter_map(|offered| {
                // What visitors of this session have shown need not be tried, unless one has met the opposite since.
                let good = offered.meter.last_success().filter(|good| good.at >= session);
                let good = good.filter(|_| offered.meter.last_failure().is_none());
                let proved = good.map(|good| Instant::from_std(good.at) + limits::PROBE_EVERY);
                match proved.filter(|until| *until > now) {
                    Some(until) => {
                        offered.probe_at = Some(until);
                        None
                    }
                    None => Some(offered.number),
                }
            })
            .collect();
        for number in due {
            self.probe(number, None);
        }
    }
}
