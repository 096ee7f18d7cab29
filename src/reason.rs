//! Why the proxy decided as it did, where more than one module says it: decisions return these, and logs, metrics and
//! explanations name them. Every enum here is closed. How the request was answered is in `outcome`.

use crate::closed_enum::closed_enum;
use crate::error::ErrorKind;

closed_enum! {
    /// Why an answer of status 200 may not be stored, or not be delivered.
    pub enum GateReason {
        /// Not `application/json`.
        ContentType = "content_type",
        /// An encoded body, although `identity` was asked for.
        Encoded = "encoded",
        /// A `Set-Cookie` other than the edge's.
        SetCookie = "set_cookie",
        /// `Vary` names more than Accept-Encoding and Origin.
        Vary = "vary",
        /// The end of the body is the end of the connection: a cut could not be told.
        CloseDelimited = "close_delimited",
        /// The body ended early.
        Truncated = "truncated",
        /// Bytes came behind the end of the answer.
        Excess = "excess",
        /// Over the limit for its kind.
        TooLarge = "too_large",
        /// No JSON object, a byte order mark, or invalid UTF-8.
        NotJson = "not_json",
        /// A key twice in one object: parsers differ on which one counts.
        DuplicateKey = "duplicate_key",
        /// Nested deeper than 64 levels.
        TooDeep = "too_deep",
        /// Not the shape of a label or of a page of labels.
        Shape = "shape",
        /// A page without items.
        EmptyList = "empty_list",
        /// No organization is named.
        NoOrganization = "no_organization",
        /// More than one organization is named.
        MixedOrganizations = "mixed_organizations",
        /// The organization is not the one that `x-as-workspace` asked for.
        OtherWorkspace = "other_workspace",
        /// The id is not the one that was asked for: a mixed-up answer.
        OtherId = "other_id",
        /// The organization is not the credential's: a mixed-up answer, or a moved key.
        OtherOrganization = "other_organization",
    }
}

impl GateReason {
    /// Whether the answer belongs to somebody else: it is delivered to nobody.
    #[must_use]
    pub const fn is_mix_up(self) -> bool {
        matches!(self, Self::OtherId | Self::OtherOrganization)
    }
}

closed_enum! {
    /// Why a call was turned away here: the `reason` of `instantly_proxy_shield_rejections_total`.
    pub enum RejectionReason {
        /// Its turn would not have come in time.
        Budget = "budget",
        /// Too many calls of its organization wait already.
        QueueFull = "queue_full",
        /// The upstream limits its organization.
        Hold = "gate",
        /// Background work, and nothing to spare for it.
        NoSpare = "no_spare",
        /// Its caller has had what it may have in this minute.
        CallerCap = "caller_cap",
        /// An unverified caller, and no slot came free.
        UnverifiedSlots = "stranger_slots",
        /// An unverified caller, and too many of them were refused of late.
        UnverifiedRefusals = "stranger_refusals",
        /// The upstream cannot be reached.
        Breaker = "breaker",
        /// Every upstream connection that the caller may use is taken.
        Connections = "connections",
    }
}

impl RejectionReason {
    /// What the caller is told.
    #[must_use]
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::Budget | Self::NoSpare => ErrorKind::OverBudget,
            Self::CallerCap => ErrorKind::CallerCapped,
            Self::QueueFull => ErrorKind::QueueFull,
            Self::Hold => ErrorKind::GateClosed,
            Self::UnverifiedSlots | Self::UnverifiedRefusals => ErrorKind::TooManyStrangers,
            Self::Breaker => ErrorKind::Unreachable,
            Self::Connections => ErrorKind::NoConnection,
        }
    }
}

closed_enum! {
    /// What an attempt to prove a credential came to: the `result` of `instantly_proxy_proofs_total`.
    pub enum ProofResult {
        /// A credential without a binding was proven.
        Bound = "bound",
        /// A bound credential was proven again.
        Renewed = "renewed",
        /// The credential was bound to another organization before: the binding was dropped.
        Moved = "moved",
        /// Answered 200, but by a body that names no organization.
        Unnamed = "unnamed",
        /// Answered 200 to a read sent before a refusal arrived, or a purge: proves nothing.
        Late = "late",
        /// Answered 401, 402 or 403: proofs ended.
        Refused = "refused",
        /// Another answer, or none.
        Failed = "failed",
    }
}
