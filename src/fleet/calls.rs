//! The scripts of the control state, as the store is asked to run them.

use super::control::{ControlScript, Reply, Spelling};
use super::store::{self, Script};
use crate::metrics::Operation;

macro_rules! statics {
    ($($script:ident)+) => {
        /// The script in this spelling.
        pub(super) fn script(of: ControlScript, spelling: Spelling) -> &'static Script {
            match (of, spelling) {
                $(
                    (ControlScript::$script, Spelling::Plain) => {
                        static SCRIPT: Script = Script::new(
                            ControlScript::$script.as_str(),
                            ControlScript::$script.body(Spelling::Plain),
                        );
                        &SCRIPT
                    }
                    (ControlScript::$script, Spelling::Flagged) => {
                        static SCRIPT: Script = Script::new(
                            ControlScript::$script.as_str(),
                            ControlScript::$script.body(Spelling::Flagged),
                        );
                        &SCRIPT
                    }
                )+
            }
        }
    };
}

statics!(Beat Append Open Done TakeOver Remove Leave);

/// What a script counts as.
pub(super) const fn operation(of: ControlScript) -> Operation {
    match of {
        ControlScript::Beat => Operation::Beat,
        ControlScript::Append | ControlScript::TakeOver => Operation::Append,
        ControlScript::Open | ControlScript::Done => Operation::OpenWrite,
        ControlScript::Remove | ControlScript::Leave => Operation::Member,
    }
}

impl From<store::Reply> for Reply {
    fn from(reply: store::Reply) -> Self {
        match reply {
            store::Reply::Nil => Self::Nil,
            store::Reply::Int(int) => Self::Int(int),
            store::Reply::Bytes(bytes) => Self::Bytes(bytes),
            store::Reply::List(list) => Self::List(list.into_iter().map(Self::from).collect()),
        }
    }
}
