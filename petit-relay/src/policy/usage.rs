//! How much of its policies' limits each service's visitors have used. Kept by the registered ID, so that a client that
//! comes back brings no fresh allowance, and bounded: addresses that have been quiet are forgotten, however many come.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use petit_engine::name::{RegisteredId, VisitorKeyId};
use petit_engine::proto::rate::Rate;

use super::decision::{Counted, LimitReached, Meter};
use super::{Enforcement, PolicyLimits, RateLimit};
use crate::remembered::{Need, Remembered};

/// The allowances that are in use, of all services.
#[derive(Debug, Default)]
pub(crate) struct PolicyUsage {
    addresses: Table<IpAddr>,
    /// Of keys; without one, of a whole service. A table of their own, so that no crowd of addresses makes a key's be
    /// forgotten.
    keys: Table<Option<VisitorKeyId>>,
}

type Table<K> = Mutex<Remembered<(RegisteredId, K), Arc<Allowance>>>;

/// What one address, key or service has used. Whoever is under way holds it.
#[derive(Debug, Default)]
struct Allowance(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    rate: Option<(RateLimit, Rate)>,
    /// All that are under way, also those that came when there was no such limit.
    under_way: u32,
    /// Of them those that have kept the policy of then. One that only counts goes by these: the others would not be there.
    kept: u32,
}

impl Used {
    fn enter(&mut self) {
        self.under_way = self.under_way.saturating_add(1);
        self.kept = self.kept.saturating_add(1);
    }

    fn count_out(&mut self) {
        self.kept = self.kept.saturating_sub(1);
    }

    /// Its rate under `limit`. An operator who changes the limit gives a fresh allowance.
    fn rate(&mut self, limit: RateLimit) -> &mut Rate {
        let rate = self.rate.take().filter(|(before, _)| *before == limit).map(|(_, rate)| rate);
        let rate = rate.unwrap_or_else(|| Rate::new(limit.per_second.get(), limit.burst.get()));
        &mut self.rate.insert((limit, rate)).1
    }
}

impl Allowance {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one visit more is within the limits. It is taken into account unless this is a look; it is under way then.
    fn allows(
        &self,
        limits: &PolicyLimits,
        enforcement: Enforcement,
        now: Instant,
        take: Take,
    ) -> Result<(), LimitReached> {
        let mut used = self.used();
        let present = match enforcement {
            Enforcement::Enforce => used.under_way,
            Enforcement::CountOnly => used.kept,
        };
        if limits.concurrent.is_some_and(|most| present >= most.get()) {
            return Err(LimitReached::Concurrent);
        }
        let is_in_time = limits.rate.is_none_or(|limit| match take {
            Take::Yes => used.rate(limit).allow(now),
            Take::Place => true,
            Take::No => used.rate(limit).allows(now),
        });
        if !is_in_time {
            return Err(LimitReached::Rate);
        }
        if take != Take::No {
            used.enter();
        }
        Ok(())
    }

    /// Whoever holds it is under way; and while something of the rate is used it makes a difference.
    fn is_kept(self: &Arc<Self>, now: Instant, need: Need) -> bool {
        let is_used = || self.used().rate.as_ref().is_some_and(|(_, rate)| !rate.is_unused(now));
        Arc::strong_count(self) > 1 || (need == Need::Some && is_used())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Take {
    Yes,
    /// Of a visit that has had its share of the rate.
    Place,
    No,
}

/// The allowances in which a visit is under way: its address's, its key's and its service's. It is until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    allowances: [Option<Arc<Allowance>>; 3],
    /// It passes although it does not keep its policy.
    is_refused: bool,
}

impl Held {
    fn add(&mut self, allowance: Arc<Allowance>) {
        if let Some(free) = self.allowances.iter_mut().find(|held| held.is_none()) {
            *free = Some(allowance);
        }
    }

    /// It would not be there if its policy did not only count.
    pub(crate) fn refused(&mut self) {
        if !std::mem::replace(&mut self.is_refused, true) {
            self.allowances.iter().flatten().for_each(|allowance| allowance.used().count_out());
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for allowance in self.allowances.iter().flatten() {
            let mut used = allowance.used();
            used.under_way = used.under_way.saturating_sub(1);
            if !self.is_refused {
                used.count_out();
            }
        }
    }
}

/// Counts the visits of one service.
pub(crate) struct Metered<'a> {
    usage: &'a PolicyUsage,
    service: RegisteredId,
    enforcement: Enforcement,
    now: Instant,
    take: Take,
    /// Where what is counted now is under way.
    pub(crate) held: Held,
}

impl PolicyUsage {
    /// Counts visits of a service.
    pub(crate) fn meter(&self, service: RegisteredId, enforcement: Enforcement) -> Metered<'_> {
        self.metered(service, enforcement, Take::Yes)
    }

    /// Counts visits that have had their share of the rate: they are under way, and that is all.
    pub(crate) fn meter_again(&self, service: RegisteredId, enforcement: Enforcement) -> Metered<'_> {
        self.metered(service, enforcement, Take::Place)
    }

    /// Says what would be within the limits, and counts nothing.
    pub(crate) fn preview(&self, service: RegisteredId, enforcement: Enforcement) -> Metered<'_> {
        self.metered(service, enforcement, Take::No)
    }

    fn metered(&self, service: RegisteredId, enforcement: Enforcement, take: Take) -> Metered<'_> {
        let now = tokio::time::Instant::now().into_std();
        Metered { usage: self, service, enforcement, now, take, held: Held::default() }
    }
}

impl Metered<'_> {
    fn allowance(&self, counted: Counted) -> Arc<Allowance> {
        let (service, now) = (self.service, self.now);
        match counted {
            Counted::Address(address) => of(&self.usage.addresses, (service, address), now),
            Counted::Key(key) => of(&self.usage.keys, (service, Some(key)), now),
            Counted::Service => of(&self.usage.keys, (service, None), now),
        }
    }
}

impl Meter for Metered<'_> {
    fn take(&mut self, counted: Counted, limits: &PolicyLimits) -> Result<(), LimitReached> {
        let allowance = self.allowance(counted);
        allowance.allows(limits, self.enforcement, self.now, self.take)?;
        if self.take != Take::No {
            self.held.add(allowance);
        }
        Ok(())
    }

    fn look(&self, counted: Counted, limits: &PolicyLimits) -> Result<(), LimitReached> {
        self.allowance(counted).allows(limits, self.enforcement, self.now, Take::No)
    }

    fn hold(&mut self, counted: Counted) {
        if self.take != Take::No {
            let allowance = self.allowance(counted);
            allowance.used().enter();
            self.held.add(allowance);
        }
    }
}

fn of<K: Eq + std::hash::Hash>(table: &Table<K>, key: (RegisteredId, K), now: Instant) -> Arc<Allowance> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    let keep = |allowance: &Arc<Allowance>, need| allowance.is_kept(now, need);
    Arc::clone(table.entry_of(key, |(service, _)| *service, keep, Arc::default))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use petit_engine::limits as bounds;

    use super::*;

    fn some(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn service() -> RegisteredId {
        RegisteredId::random().unwrap()
    }

    const HERE: Counted = Counted::Address(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_each_services_own_and_goes_on_while_anybody_asks() {
        let (usage, one, other) = (PolicyUsage::default(), service(), service());
        let rate = Some(RateLimit { per_second: some(10), burst: some(3) });
        let limits = PolicyLimits { rate, ..PolicyLimits::default() };
        let allowed = |service, counted| {
            (0..10)
                .filter(|_| usage.meter(service, Enforcement::Enforce).take(counted, &limits).is_ok())
                .count()
        };
        assert_eq!(allowed(one, HERE), 3);
        assert!(usage.preview(one, Enforcement::Enforce).take(HERE, &limits).is_err());
        assert_eq!(allowed(other, HERE), 3);
        assert_eq!(allowed(one, Counted::Service), 3);
        assert_eq!(allowed(one, Counted::Key(VisitorKeyId::random().unwrap())), 3);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert!(
            usage.preview(one, Enforcement::Enforce).take(HERE, &limits).is_ok()
                && usage.preview(one, Enforcement::Enforce).take(HERE, &limits).is_ok(),
            "a look takes nothing"
        );
        assert_eq!(allowed(one, HERE), 1);
    }

    #[tokio::test]
    async fn so_many_are_under_way_and_the_next_when_one_has_ended() {
        let (usage, service) = (PolicyUsage::default(), service());
        let limits = PolicyLimits { concurrent: Some(some(2)), ..PolicyLimits::default() };
        let enter = || {
            let mut meter = usage.meter(service, Enforcement::Enforce);
            meter.take(HERE, &limits).map(|()| meter.held)
        };
        let (first, second) = (enter().unwrap(), enter().unwrap());
        assert_eq!(enter().err(), Some(LimitReached::Concurrent));
        assert_eq!(
            usage.preview(service, Enforcement::Enforce).take(HERE, &limits),
            Err(LimitReached::Concurrent)
        );
        drop(first);
        let third = enter().unwrap();
        assert!(enter().is_err(), "one that ends makes room for one");
        drop((second, third));
        assert!(enter().is_ok());
    }

    #[tokio::test]
    async fn what_is_beyond_one_limit_is_not_counted_towards_the_other() {
        let (usage, service) = (PolicyUsage::default(), service());
        let rate = Some(RateLimit { per_second: some(1), burst: some(1) });
        let limits = PolicyLimits { rate, concurrent: Some(some(1)), ..PolicyLimits::default() };
        let mut meter = usage.meter(service, Enforcement::Enforce);
        assert!(meter.take(HERE, &limits).is_ok());
        let concurrent = usage.meter(service, Enforcement::Enforce).take(HERE, &limits);
        assert_eq!(concurrent, Err(LimitReached::Concurrent), "too soon, and one is under way");
        drop(meter);
        assert_eq!(
            usage.meter(service, Enforcement::Enforce).take(HERE, &limits),
            Err(LimitReached::Rate),
            "too soon"
        );
        let without_rate = PolicyLimits { rate: None, ..limits };
        assert!(
            usage.meter(service, Enforcement::Enforce).take(HERE, &without_rate).is_ok(),
            "none is under way"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_addresses_is_forgotten_again_and_makes_no_key_be_forgotten() {
        let (usage, service, key) =
            (PolicyUsage::default(), service(), Counted::Key(VisitorKeyId::random().unwrap()));
        let rate = Some(RateLimit { per_second: some(1), burst: some(1) });
        let limits = PolicyLimits { rate, ..PolicyLimits::default() };
        assert!(usage.meter(service, Enforcement::Enforce).take(key, &limits).is_ok());
        for number in 0..3 * bounds::ADDRESSES as u32 {
            let address = std::net::Ipv4Addr::from(number).into();
            let _ = usage.meter(service, Enforcement::Enforce).take(Counted::Address(address), &limits);
        }
        assert!(usage.addresses.lock().unwrap().len() <= bounds::ADDRESSES);
        assert!(
            usage.meter(service, Enforcement::Enforce).take(key, &limits).is_err(),
            "the key has had its share of this second"
        );
    }

    #[tokio::test]
    async fn a_limit_that_is_set_counts_who_was_under_way_before() {
        let (usage, service) = (PolicyUsage::default(), service());
        let mut before = usage.meter(service, Enforcement::Enforce);
        [HERE, Counted::Service].into_iter().for_each(|counted| before.hold(counted));
        let limits = PolicyLimits { concurrent: Some(some(1)), ..PolicyLimits::default() };
        for counted in [HERE, Counted::Service] {
            let now = usage.meter(service, Enforcement::Enforce).take(counted, &limits);
            assert_eq!(now, Err(LimitReached::Concurrent));
        }
        drop(before);
        assert!(usage.meter(service, Enforcement::Enforce).take(HERE, &limits).is_ok());
    }

    #[tokio::test]
    async fn who_would_have_been_refused_takes_no_place_from_others_until_that_is_enforced() {
        let (usage, service) = (PolicyUsage::default(), service());
        let limits = PolicyLimits { concurrent: Some(some(1)), ..PolicyLimits::default() };
        let mut elsewhere = usage.meter(service, Enforcement::CountOnly);
        elsewhere.hold(Counted::Service);
        let other = || usage.preview(service, Enforcement::CountOnly).take(Counted::Service, &limits);
        assert!(other().is_err(), "as long as it keeps all");
        elsewhere.held.refused();
        assert!(other().is_ok());
        let enforced = usage.preview(service, Enforcement::Enforce).take(Counted::Service, &limits);
        assert_eq!(enforced, Err(LimitReached::Concurrent), "it is there all the same");
        drop(elsewhere);
        assert!(usage.preview(service, Enforcement::Enforce).take(Counted::Service, &limits).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_at_one_service_makes_no_address_of_another_be_forgotten() {
        let (usage, crowded, quiet) = (PolicyUsage::default(), service(), service());
        let rate = Some(RateLimit { per_second: some(1), burst: some(1) });
        let limits = PolicyLimits { rate, ..PolicyLimits::default() };
        let take = |service, counted| usage.meter(service, Enforcement::Enforce).take(counted, &limits);
        assert!(take(quiet, HERE).is_ok());
        for number in 0..3 * bounds::ADDRESSES as u32 {
            let _ = take(crowded, Counted::Address(std::net::Ipv4Addr::from(number).into()));
        }
        assert!(usage.addresses.lock().unwrap().len() <= bounds::ADDRESSES);
        assert_eq!(take(quiet, HERE), Err(LimitReached::Rate), "it has had its share of this second");
    }
}
