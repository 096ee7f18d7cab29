//! [`Inputs`]: which files gave configuration, so that one that has nothing more to give is told from one that is empty.
//!
//! `/dev/stdin` and `<(…)` are pipes: read a second time they are at their end, or keep whoever reads them waiting for ever.
//! A file that is being written is empty for a moment. Either would be a configuration without a key, which is all
//! defaults: another limit, other sharing. So what gave something once must be a file with something in it ever after.

use std::path::{Path, PathBuf};

/// Files that held configuration when they were last read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs(Vec<PathBuf>);

impl Inputs {
    /// Notes what a file held.
    pub(super) fn note(&mut self, path: &Path, text: &str) {
        if !text.trim().is_empty() {
            self.0.push(path.to_owned());
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or held configuration and has none to give now: says so.
    pub(super) fn read(&self, path: &Path) -> Result<String, String> {
        let unreadable = |fault| format!("cannot be read: {fault}");
        let has_given = self.0.iter().any(|input| input == path);
        // Before it is opened: a pipe without a writer would never open.
        if has_given && !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err("is no file that can be read again: what it gave was read at start".to_owned());
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        if has_given && text.trim().is_empty() {
            return Err(
                "is empty, and held configuration before: a comment would do where none is meant".to_owned()
            );
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_gave_something_must_have_something_to_give() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        let other = folder.path().join("b.toml");
        let mut inputs = Inputs::default();
        for path in [&file, &other] {
            std::fs::write(path, "").unwrap();
            assert_eq!(inputs.read(path), Ok(String::new()), "it may be empty from the start");
        }
        inputs.note(&file, "# nothing\n");
        inputs.note(&other, " \n");
        assert!(inputs.read(&file).unwrap_err().starts_with("is empty"));
        assert_eq!(inputs.read(&other), Ok(String::new()));
        std::fs::write(&file, "# nothing yet\n").unwrap();
        assert!(inputs.read(&file).is_ok());
        inputs.note(Path::new("/dev/null"), "once");
        assert!(inputs.read(Path::new("/dev/null")).unwrap_err().contains("read at start"));
        std::fs::remove_file(&file).unwrap();
        assert!(inputs.read(&file).unwrap_err().starts_with("cannot be read"));
    }
}
