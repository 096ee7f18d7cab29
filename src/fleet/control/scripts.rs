//! [`ControlScript`]: the steps that are taken on the control state in the store, each as a whole.
//!
//! Every script has the same five keys and begins with the same lines, `common.lua`; its own file says what else it is given,
//! what it answers and what it costs.

/// A script as an engine that has no flags of scripts takes it, and as one that has them does.
///
/// Redis 7.0 and Valkey refuse what writes once the memory is full, unless a script says that it may all the same. Redis 6.2
/// takes the line that says so for a mistake.
macro_rules! spellings {
    ($file:literal) => {{
        const PLAIN: &str = concat!(include_str!("common.lua"), include_str!($file));
        const FLAGGED: &str =
            concat!("#!lua flags=allow-oom\n", include_str!("common.lua"), include_str!($file));
        [PLAIN, FLAGGED]
    }};
}

crate::closed_enum::closed_enum! {
    /// A step on the control state.
    pub enum ControlScript {
        /// A member says what it has applied, and gets what it has not.
        Beat = "beat",
        /// Notices are appended to the log.
        Append = "append",
        /// A write is entered among the open ones.
        Open = "open",
        /// A write that has invalidated nothing is taken out.
        Done = "done",
        /// Open writes that nobody renews become notices.
        TakeOver = "take_over",
        /// Members that do not move are removed.
        Remove = "remove",
        /// A member leaves.
        Leave = "leave",
    }
}

/// Whether the engine knows flags of scripts: Redis from 7.0 on, and Valkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// It does not: Redis 6.2.
    Plain,
    /// It does.
    Flagged,
}

/// The parts of the control state, in the order of `KEYS`; each is named by this word.
pub const PARTS: [&str; 5] = ["state", "log", "members", "beats", "open"];

impl ControlScript {
    /// What the server runs.
    #[must_use]
    pub const fn body(self, spelling: Spelling) -> &'static str {
        let [plain, flagged] = match self {
            Self::Beat => spellings!("beat.lua"),
            Self::Append => spellings!("append.lua"),
            Self::Open => spellings!("open.lua"),
            Self::Done => spellings!("done.lua"),
            Self::TakeOver => spellings!("take_over.lua"),
            Self::Remove => spellings!("remove.lua"),
            Self::Leave => spellings!("leave.lua"),
        };
        match spelling {
            Spelling::Plain => plain,
            Spelling::Flagged => flagged,
        }
    }
}
