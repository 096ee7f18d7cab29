//! [`Reader`]: who reads the log, by which its look is chosen.

/// Who reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Somebody at a terminal.
    Person,
    /// A program, or a file.
    Program,
}
