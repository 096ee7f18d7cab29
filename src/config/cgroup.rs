//! The memory limit of the control group that the process runs in (Linux): of its own group and of all above it, the least.

use std::fs;
use std::path::Path;

/// Where the kernel shows control groups.
const ROOT: &str = "/sys/fs/cgroup";
/// Which of them this process is in.
const OWN: &str = "/proc/self/cgroup";
/// Where there is no limit, version 1 shows the largest number of whole pages.
const NONE_FROM: u64 = 1 << 62;

/// The limit in bytes, if there is one.
pub(super) fn memory_limit() -> Option<u64> {
    limit_of(Path::new(ROOT), &fs::read_to_string(OWN).ok()?)
}

/// The least limit on the way from the groups named in `own` to `root`. Inside a container the groups may be named as the
/// host sees them, below a root that shows the container's alone: what is not there has no limit.
fn limit_of(root: &Path, own: &str) -> Option<u64> {
    let limits = own.lines().flat_map(|line| {
        // Version 2: `0::/path`; version 1: `4:memory:/path`.
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (place, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return Vec::new(),
        };
        let group = place.join(path.trim_start_matches('/'));
        let ways = group.ancestors().take_while(|group| group.starts_with(&place));
        ways.filter_map(|group| read(&group.join(file))).collect()
    });
    limits.min()
}

fn read(file: &Path) -> Option<u64> {
    let limit = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (limit < NONE_FROM).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of control groups with these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }

    #[test]
    fn the_least_limit_from_the_process_s_own_group_upwards_holds() {
        for (files, own, expected) in [
            (&[("memory.max", "100663296\n")] as &[(&str, &str)], "0::/\n", Some(100_663_296)),
            (&[("memory.max", "max\n")], "0::/\n", None),
            (
                &[("a/b/memory.max", "max"), ("a/memory.max", "300"), ("memory.max", "400")],
                "0::/a/b",
                Some(300),
            ),
            (&[("a/b/memory.max", "200"), ("a/memory.max", "300")], "0::/a/b", Some(200)),
            // A container that sees its own group as the root, and is named as its host names it.
            (&[("memory.max", "500")], "0::/kubepods/pod1/c1", Some(500)),
            (&[("memory/memory.limit_in_bytes", "600\n")], "5:cpu:/x\n4:memory:/docker/1\n0::/", Some(600)),
            (&[("memory/d/memory.limit_in_bytes", "700")], "4:hugetlb,memory:/d", Some(700)),
            (&[("memory/memory.limit_in_bytes", "9223372036854771712")], "4:memory:/", None),
            (&[("memory/memory.limit_in_bytes", "600")], "4:memory_other:/", None),
            (&[("memory.max", "many")], "0::/", None),
            (&[("memory.max", "100")], "", None),
            (&[], "0::/../../etc", None),
        ] {
            let root = tree(files);
            assert_eq!(limit_of(root.path(), own), expected, "{files:?} {own:?}");
        }
    }
}
