//! How much memory the process may use: the machine's, or what its control groups
//! leave of it. Read once at the start from the kernel's files; what they do not say
//! is no bound.

use std::path::{Path, PathBuf};

/// Bytes that the process may use, where the system tells.
pub(super) fn available() -> Option<u64> {
    below(Path::new("/"))
}

/// The same by the files below this directory.
fn below(root: &Path) -> Option<u64> {
    let read = |file: &Path| std::fs::read_to_string(root.join(file)).ok();
    let machine = read(Path::new("proc/meminfo")).and_then(|text| total(&text));
    let groups = read(Path::new("proc/self/cgroup")).unwrap_or_default();
    let bounds = bound_files(&groups).into_iter().filter_map(|file| bound(&read(&file)?));
    machine.into_iter().chain(bounds).min()
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

/// What a control group's file says: `max` is none, and so is what is no number.
fn bound(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The files that bound the memory of the groups in /proc/self/cgroup, and of all groups above
/// them. In a container the path may be the host's while the files are the container's own: those
/// that are not there say nothing, and the top one is always among them.
fn bound_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (mounts, name): (&[&str], _) = if id == "0" && controllers.is_empty() {
            // The second where only some controllers are of version 2.
            (&["sys/fs/cgroup", "sys/fs/cgroup/unified"], "memory.max")
        } else if controllers.split(',').any(|it| it == "memory") {
            (&["sys/fs/cgroup/memory"], "memory.limit_in_bytes")
        } else {
            continue;
        };
        // A group outside of what the process can see begins with `/..`.
        let path = if path.split('/').any(|part| part == "..") { "/" } else { path };
        for group in Path::new(path).ancestors() {
            let below = group.strip_prefix("/").unwrap_or(group);
            files.extend(mounts.iter().map(|mount| Path::new(mount).join(below).join(name)));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_how_much_memory_it_has() {
        let text = "MemTotal:       24684092 kB\nMemFree:        20467952 kB\n";
        assert_eq!(total(text), Some(24_684_092 * 1024));
        for unclear in ["", "MemFree: 1 kB\n", "MemTotal: 1 MB\n", "MemTotal: kB\n", "MemTotal: -1 kB\n"] {
            assert_eq!(total(unclear), None, "{unclear:?}");
        }
        assert_eq!(total(&format!("MemTotal: {} kB\n", u64::MAX)), None, "more than can be counted");
    }

    #[test]
    fn a_group_without_a_bound_bounds_nothing() {
        assert_eq!(bound("536870912\n"), Some(536_870_912));
        assert_eq!(bound("max\n"), None);
        assert_eq!(bound(""), None);
    }

    #[test]
    fn bounds_are_looked_for_in_each_group_up_to_the_top() {
        let files = |groups: &str| {
            let paths = bound_files(groups).into_iter();
            paths.map(|path| path.to_str().expect("of plain text").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            files("0::/system.slice/respgate.service\n"),
            [
                "sys/fs/cgroup/system.slice/respgate.service/memory.max",
                "sys/fs/cgroup/unified/system.slice/respgate.service/memory.max",
                "sys/fs/cgroup/system.slice/memory.max",
                "sys/fs/cgroup/unified/system.slice/memory.max",
                "sys/fs/cgroup/memory.max",
                "sys/fs/cgroup/unified/memory.max",
            ]
        );
        assert_eq!(
            files("9:name=systemd:/a\n5:cpu,cpuacct:/b\n4:hugetlb,memory:/docker/a:b\n"),
            [
                "sys/fs/cgroup/memory/docker/a:b/memory.limit_in_bytes",
                "sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
        assert_eq!(files("4:memory:/../../elsewhere\n"), ["sys/fs/cgroup/memory/memory.limit_in_bytes"]);
        for unclear in ["", "\n", "0\n", "0:\n", "memory\n"] {
            assert_eq!(files(unclear), Vec::<String>::new(), "{unclear:?}");
        }
    }

    #[test]
    fn the_least_of_all_bounds_is_what_there_is() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().expect("in a directory")).expect("it is ours");
            std::fs::write(path, text).expect("it is ours");
        };
        assert_eq!(below(root.path()), None, "nothing is known");
        write("proc/meminfo", "MemTotal: 4096 kB\n");
        assert_eq!(below(root.path()), Some(4096 * 1024), "no groups");
        write("proc/self/cgroup", "4:memory:/gone/from/here\n0::/outer/inner\n");
        write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(below(root.path()), Some(4096 * 1024), "no bound is less");
        write("sys/fs/cgroup/outer/memory.max", "3000000\n");
        assert_eq!(below(root.path()), Some(3_000_000), "of the group above, version 2");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
        assert_eq!(below(root.path()), Some(2_000_000), "of the container, version 1");
    }
}
