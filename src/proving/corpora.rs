//! The seed corpora of `fuzz/`, each file through the target that it is of.

use std::fs;
use std::path::{Path, PathBuf};

use super::targets::TARGETS;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

#[test]
fn every_seed_of_every_corpus_keeps_the_promises_of_its_target() {
    for target in TARGETS {
        let folder = corpora().join(target.name);
        let mut seeds = 0;
        for seed in fs::read_dir(&folder).expect("a target has a corpus") {
            let seed = seed.expect("a file").path();
            println!("{}", seed.display());
            (target.run)(&fs::read(&seed).expect("it can be read"));
            seeds += 1;
        }
        assert!(seeds >= 5, "{}: {seeds} seeds", target.name);
    }
}

/// A fuzz target without a file is never fuzzed; a file without a target does not build.
#[test]
fn every_target_has_its_file_and_its_binary() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("the manifest of the fuzz targets");
    let files = fs::read_dir(fuzz.join("fuzz_targets")).expect("the targets").count();
    assert_eq!(files, TARGETS.len());
    for target in TARGETS {
        let source =
            fs::read_to_string(fuzz.join(format!("fuzz_targets/{}.rs", target.name))).expect("a file");
        let calls =
            ["(bytes)", "_within(bytes, GAUGE)"].map(|rest| format!("targets::{}{rest}", target.name));
        assert!(calls.iter().any(|call| source.contains(call)), "{}", target.name);
        assert!(manifest.contains(&format!("name = {:?}", target.name)), "{}", target.name);
    }
}
