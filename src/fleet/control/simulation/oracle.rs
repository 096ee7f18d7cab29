//! [`Oracle`]: what every read must show, and which did not.

/// A value of an organization: each write makes the next.
pub(super) type Version = u64;

/// What is known of the truth.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    organizations: Vec<Truth>,
    pub(super) reads: u64,
    /// The first read that showed a value from before a write that had been answered when it began; or, at a replica that has
    /// had its lease for long, from before a write whose writer is gone or has its link back.
    first: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Truth {
    now: Version,
    answered: Version,
    due: Version,
}

/// What a read that begins now must show at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Required {
    answered: Version,
    due: Version,
    own: Version,
}

/// Who reads.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "for the report")]
pub(super) struct Reader {
    pub(super) replica: usize,
    pub(super) at: u64,
    pub(super) leased: Leased,
    /// The world's time since which it has had a lease.
    pub(super) since: Option<u64>,
}

/// For how long a replica has had its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leased {
    NotNow,
    Now,
    /// For so long that what others had to say has come.
    Long,
}

impl Oracle {
    pub(super) fn new(organizations: usize) -> Self {
        Self { organizations: vec![Truth::default(); organizations], ..Self::default() }
    }

    /// A write takes effect upstream.
    pub(super) fn write(&mut self, organization: usize) -> Version {
        self.organizations[organization].now += 1;
        self.organizations[organization].now
    }

    /// What the upstream shows.
    pub(super) fn now(&self, organization: usize) -> Version {
        self.organizations[organization].now
    }

    /// A write was answered, and all were told.
    pub(super) fn answered(&mut self, organization: usize, version: Version) {
        let truth = &mut self.organizations[organization];
        truth.answered = truth.answered.max(version);
    }

    /// A write that could not be told in time should have come to all by now.
    pub(super) fn is_due(&mut self, organization: usize, version: Version) {
        let truth = &mut self.organizations[organization];
        truth.due = truth.due.max(version);
    }

    /// What a read must show at a replica whose own answered writes made this.
    pub(super) fn required(&self, organization: usize, own: Version) -> Required {
        let Truth { answered, due, .. } = self.organizations[organization];
        Required { answered, due, own }
    }

    /// A read shows this.
    pub(super) fn shown(
        &mut self,
        organization: usize,
        version: Version,
        required: Required,
        reader: Reader,
    ) {
        let leased = reader.leased != Leased::NotNow;
        self.reads += u64::from(leased);
        // Its own writes each replica knows, with a lease and without.
        let stale = (leased && version < required.answered) || version < required.own;
        let late = version < required.due && reader.leased == Leased::Long;
        if (stale || late) && self.first.is_none() {
            self.first =
                Some(format!("organization {organization} shows {version}, {required:?}, {reader:?}"));
        }
    }

    /// The first read that should not have been.
    pub(super) fn failure(&self) -> Option<&str> {
        self.first.as_deref()
    }
}
