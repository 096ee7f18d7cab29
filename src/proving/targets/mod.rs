//! Fuzz targets: each takes any bytes, and panics where a promise is broken.
//!
//! What is asserted is written anew and more simply than what it is asserted of, where it can be: a second reader of the same
//! bytes that takes longer and knows less.

mod body;
mod configuration;
mod fields;
mod request;
mod sealed;
mod whole;

use crate::proxy::alike;

/// A target: its name, which is that of its corpus and of its file in `fuzz/`, and what it does with bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target { name: "request", run: request::head },
    Target { name: "query", run: request::query },
    Target { name: "fast_path", run: alike::compare },
    Target { name: "response_gate", run: body::gate },
    Target { name: "directives", run: fields::directives },
    Target { name: "sealed", run: sealed::messages },
    Target { name: "configuration", run: configuration::load },
    Target { name: "whole", run: whole::steps },
];

/// Feeds the target of this name.
///
/// # Panics
///
/// If there is none, and where a promise is broken.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("targets are named by their files");
    (target.run)(bytes);
}
