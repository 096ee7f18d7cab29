//! Look-ups: what the store has, or who fetches it.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::super::names::SharedCredential;
use super::super::store::{Reply, Script, StoreError};
use super::entry::{Entry, EntryOf};
use super::fill_lock::{FillLock, HOLDS, Progress, Token};
use super::times::SharedTime;
use super::{Patience, Tier};
use crate::clock::Moment;
use crate::metrics::Operation;
use crate::organization::OrganizationId;

static LOOK_UP: Script = Script::new("look_up", include_str!("scripts/look_up.lua"));

/// So much of a sealed value tells it from all others: it begins with random bytes.
const TOLD_BY: usize = 16;

/// Something that may be stored.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it would answer: path and query, as the upstream gets them.
    pub path: String,
    /// Set where it would be for one credential alone, under this secret's digest.
    pub owner: Option<SharedCredential>,
}

/// What is looked for: it may be asked for again and again.
#[derive(Debug)]
pub struct LookUp {
    organization: OrganizationId,
    wanted: Vec<Wanted>,
    /// The locks of what is looked for and of the list that would bring it, and then the entries.
    names: Vec<Vec<u8>>,
    token: Token,
    /// How the values begin that were found unfit.
    unfit: Vec<Vec<u8>>,
}

/// What the store says.
#[derive(Debug)]
pub enum Found<T> {
    /// These, each with its place in what was asked for; one at least.
    Some(Vec<(usize, T)>),
    /// Nothing that counts: whoever asked fetches it, holding this.
    Mine(FillLock),
    /// Nothing that counts: another replica fetches it.
    Others(Progress),
    /// Nothing that counts: another replica reads the list that would bring it.
    List(Progress),
    /// The store is not asked, does not answer, or takes no lock: the rest goes without it.
    Without,
}

impl Tier {
    /// A look-up of what is `wanted` of an organization, in the order of preference. The lock is that of the first; where
    /// somebody reads `list`, whoever looks for something else waits for that.
    #[must_use]
    pub fn look_up(&self, organization: OrganizationId, wanted: Vec<Wanted>, list: Option<&str>) -> LookUp {
        let names = &self.0.names;
        let name = |wanted: &Wanted| names.entry(organization, &wanted.path, wanted.owner.as_ref());
        let entries: Vec<_> = wanted.iter().map(name).collect();
        let lock = names.lock(&entries[0]);
        let of_list = list.map(|path| names.lock(&names.entry(organization, path, None)));
        let second = of_list.unwrap_or_else(|| lock.clone());
        let unfit = vec![Vec::new(); entries.len()];
        let all = [lock, second].into_iter().chain(entries).collect();
        LookUp { organization, wanted, names: all, token: token(), unfit }
    }

    /// What of it is stored, or who fetches it. What cannot be opened is counted, and asked for no more.
    pub async fn ask(self: &Arc<Self>, look_up: &mut LookUp, patience: &mut Patience) -> Found<Entry> {
        loop {
            let keys: Vec<&[u8]> = look_up.names.iter().map(Vec::as_slice).collect();
            let lasts = HOLDS.as_millis().to_string();
            let mut args: Vec<&[u8]> = vec![&look_up.token, lasts.as_bytes()];
            args.extend(look_up.unfit.iter().map(Vec::as_slice));
            let reply = self.within(patience, Operation::Lookup, &LOOK_UP, &keys, &args).await;
            let Some(answer) = reply.and_then(|reply| Answer::of(reply).ok()) else {
                // It may have been given the lock by an answer that came too late.
                self.free(look_up.names[0].clone(), look_up.token);
                return Found::Without;
            };
            let values = match answer {
                Answer::Values(values) => values,
                other => return self.without_values(other, &look_up.names[0], look_up.token),
            };
            let opened: Vec<_> = values
                .into_iter()
                .enumerate()
                .filter_map(|(place, value)| Some((place, look_up.open(self, place, &value?)?)))
                .collect();
            if !opened.is_empty() {
                return Found::Some(opened);
            }
        }
    }

    pub(super) fn without_values<T>(self: &Arc<Self>, answer: Answer, lock: &[u8], token: Token) -> Found<T> {
        match answer {
            Answer::Mine => Found::Mine(FillLock::new(self, lock.to_vec(), token)),
            Answer::Others(progress) => Found::Others(progress),
            Answer::List(progress) => Found::List(progress),
            Answer::Values(_) | Answer::NoLock => Found::Without,
        }
    }

    /// Asks the store for as long as the request is ready to wait for it; nothing if it does not answer.
    pub(super) async fn within(
        &self,
        patience: &mut Patience,
        operation: Operation,
        script: &'static Script,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Option<Reply> {
        let now = self.0.clock.now();
        if patience.left().is_zero() || !self.may_ask(now) {
            return None;
        }
        let asked = self.0.data.call(operation, script, keys, args, now.plus(patience.left())).await;
        patience.spend(self.0.clock.now().since(now));
        asked.ok()
    }

    /// How old what was sent then is; nothing where that cannot be told.
    #[must_use]
    pub fn age(&self, sent: SharedTime, now: Moment) -> Option<Duration> {
        self.0.times.age(sent, now)
    }
}

impl LookUp {
    /// What was asked for, by its place.
    #[must_use]
    pub fn wanted(&self, place: usize) -> &Wanted {
        &self.wanted[place]
    }

    /// Whether it is the list that would bring what is looked for.
    #[must_use]
    pub fn is_list(&self, place: usize) -> bool {
        place > 0 && self.wanted[place].path != self.wanted[0].path
    }

    /// From now on nobody waits for the list.
    pub fn forget_list(&mut self) {
        self.names[1] = self.names[0].clone();
    }

    fn open(&mut self, tier: &Tier, place: usize, value: &[u8]) -> Option<Entry> {
        let Wanted { path, owner } = &self.wanted[place];
        let owner = owner.as_ref().map(|owner| owner.credential.bytes());
        let of = EntryOf { scope: tier.scope(), organization: self.organization.name().0, path, owner };
        // Asked for no more, whether it is unreadable or turns out to be of no use.
        self.unfit[place] = beginning(value);
        Entry::open(&tier.0.sealer, &self.names[place + 2], of, value)
            .map_err(|rejected| tier.count(rejected))
            .ok()
    }
}

/// What the scripts answer.
pub(super) enum Answer {
    Values(Vec<Option<Vec<u8>>>),
    Mine,
    Others(Progress),
    List(Progress),
    NoLock,
}

impl Answer {
    pub(super) fn of(reply: Reply) -> Result<Self, StoreError> {
        let mut parts = reply.list()?.into_iter();
        let mut next = || parts.next().unwrap_or(Reply::Nil);
        Ok(match next().int()? {
            0 => Self::Values(parts.map(Reply::bytes_if_any).collect::<Result<_, _>>()?),
            1 => Self::Mine,
            2 => Self::Others(Progress::of_lock(&next().bytes()?)),
            3 => Self::List(Progress::of_lock(&next().bytes()?)),
            _ => Self::NoLock,
        })
    }
}

pub(super) fn beginning(value: &[u8]) -> Vec<u8> {
    value[..value.len().min(TOLD_BY)].to_vec()
}

pub(super) fn token() -> Token {
    *Uuid::new_v4().as_bytes()
}
