//! [`Survey`]: one pass over a request's fields, for all who want to know something of them.
//!
//! The guard, the classifier, the directives, `Prefer`, the request's id and its credential each went through the fields, or
//! looked names up that are seldom there, and asked of each name what it means to them. Here each line is seen once, and what
//! its name means to all of them is taken from a table. The table has no rule of its own: what the guard and the classifier
//! ask of a name is told by their own tables, [`Rule::of`](crate::guard::fields::Rule::of) and [`Concern::of`], for the
//! names of [`KNOWN`] once and for all others when they come.

use std::sync::LazyLock;

use http::request::Parts;

use crate::classify::fields::{self as classify, Concern};
use crate::error::ErrorKind;
use crate::guard::fields::{self as guard, Question};
use crate::outcome::BypassReason;
use crate::resource::Place;
use crate::semantics::lines::Lines;
use crate::semantics::request_fields::{KNOWN, LONGEST, Part};

/// What the fields of one request say.
#[derive(Debug)]
pub(crate) struct Survey<'a> {
    /// What the guard wants to know, or its refusal.
    pub(crate) guarded: Result<guard::Seen<'a>, ErrorKind>,
    /// The first reason for which they forbid caching; asked on the paths of resources alone.
    pub(crate) forbids: Option<BypassReason>,
    pub(crate) authorization: Lines<'a>,
    pub(crate) workspace: Lines<'a>,
    pub(crate) request_id: Lines<'a>,
    pub(crate) prefer: Presence,
    /// Of `Cache-Control` or `Pragma`.
    pub(crate) directives: Presence,
}

/// Whether a field came at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Absent,
    Present,
}

impl Presence {
    /// What was `found` where it is there, and what stands for nothing otherwise: it need not be looked for.
    pub(crate) fn then<T: Default>(self, found: impl FnOnce() -> T) -> T {
        match self {
            Self::Absent => T::default(),
            Self::Present => found(),
        }
    }
}

/// What a name means to everybody.
#[derive(Clone, Copy, Debug)]
struct Meaning {
    question: Question,
    concern: Option<Concern>,
    part: Part,
}

impl Meaning {
    fn told(name: &str, part: Part) -> Self {
        Self { question: Question::of(name), concern: Concern::of(name), part }
    }
}

/// The names of [`KNOWN`], by their length.
static NAMES: LazyLock<[Vec<(&str, Meaning)>; LONGEST + 1]> = LazyLock::new(|| {
    let mut names = [const { Vec::new() }; LONGEST + 1];
    for &(name, part, _) in KNOWN {
        names[name.len()].push((name, Meaning::told(name, part)));
    }
    names
});

impl<'a> Survey<'a> {
    /// Looks at every line of a request whose path lies in `place`.
    pub(crate) fn of(head: &'a Parts, place: Place, own_via: &'a str) -> Self {
        let names = &*NAMES;
        let mut pass = guard::Pass::begin(head.version, head.headers.len(), own_via);
        let mut seen = place.resource().map(|_| classify::Seen::default());
        let mut forbids = None;
        let [mut authorization, mut workspace, mut request_id] = [Lines::None; 3];
        let [mut prefer, mut directives] = [Presence::Absent; 2];
        for (name, value) in &head.headers {
            let name = name.as_str();
            let known =
                names.get(name.len()).and_then(|names| names.iter().find(|(known, _)| *known == name));
            let Meaning { question, concern, part } =
                known.map_or_else(|| Meaning::told(name, Part::Nothing), |(_, meaning)| *meaning);
            pass.line(name, question, value);
            if let (Some(seen), Some(concern)) = (&mut seen, concern) {
                let fault = concern.fault(value.as_bytes(), seen);
                forbids = forbids.or(fault);
            }
            match part {
                Part::Authorization => authorization.add(value),
                Part::Workspace => workspace.add(value),
                Part::RequestId => request_id.add(value),
                Part::Prefer => prefer = Presence::Present,
                Part::Directives => directives = Presence::Present,
                Part::Condition | Part::Connection | Part::Nothing => {}
            }
        }
        let forbids = forbids.or_else(|| seen.and_then(|seen| seen.lacks_credential()));
        Self { guarded: pass.end(), forbids, authorization, workspace, request_id, prefer, directives }
    }
}

#[cfg(test)]
mod tests;
