//! Memory that a model needs, and memory that this process can use.

use std::path::Path;

use crate::decoder::{cross_attention_bytes, slot_bytes};
use crate::mel::WINDOW_FRAMES;
use crate::transcribe::CONTEXT_TOKENS;

/// Number of rows of logits in memory per worker: those of the largest batch of windows. The
/// alignment of a window, in the same memory, takes fewer.
const LOGIT_ROWS: usize = 60;
/// Hidden states in memory per worker, as multiples of a window's encoding.
const STATE_ENCODINGS: usize = 10;

/// Maximum number of tokens of a window in the self-attention cache with 5 beams: they share the
/// prompt, and have at worst no other token in common.
const MAX_TOKENS: usize = CONTEXT_TOKENS / 2 + 5 * CONTEXT_TOKENS / 2;

/// Dimensions of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dimensions {
    pub(crate) layers: usize,
    pub(crate) width: usize,
    /// Vocabulary size.
    pub(crate) tokens: usize,
}

impl Dimensions {
    /// Returns the maximum size of the keys and values of one window, in bytes: cross-attention,
    /// and self-attention.
    pub(crate) fn window_bytes(self) -> usize {
        cross_attention_bytes(self.layers, self.width)
            + slot_bytes(MAX_TOKENS, self.layers, self.width)
    }

    /// Returns the approximate size of a worker's buffers, in bytes.
    pub(crate) fn worker_bytes(self) -> usize {
        (STATE_ENCODINGS * WINDOW_FRAMES / 2 * self.width + LOGIT_ROWS * self.tokens)
            * size_of::<f32>()
    }

    /// Returns the approximate memory of the model with one worker and one window, in bytes;
    /// `weights` is the size of the quantised weights.
    pub(crate) fn min_bytes(self, weights: u64) -> u64 {
        // The embeddings are in memory twice: by rows, and packed for the output projection.
        weights + (self.tokens * self.width + self.window_bytes() + self.worker_bytes()) as u64
    }
}

/// Returns the memory that this process can still use, in bytes: the machine's available memory, or
/// the rest of the control group's limit if that is less. `None` if the system reports neither.
pub(crate) fn available() -> Option<u64> {
    available_in(Path::new("/"))
}

fn read_file(root: &Path, path: &str) -> Option<String> {
    std::fs::read_to_string(root.join(path)).ok()
}

fn available_in(root: &Path) -> Option<u64> {
    let free = read_file(root, "proc/meminfo").and_then(|text| parse_field(&text, "MemAvailable:"));
    let used = read_file(root, "proc/self/status")
        .and_then(|text| parse_field(&text, "VmRSS:"))
        .unwrap_or(0);
    let limit =
        read_file(root, "proc/self/cgroup").and_then(|groups| control_group_limit(root, &groups));
    free.into_iter().chain(limit.map(|limit| limit.saturating_sub(used))).min()
}

/// Parses a field of a file in `/proc`, in bytes.
fn parse_field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the smallest memory limit of the process's control groups and their ancestors, of
/// version 1 or 2.
fn control_group_limit(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        // number:controllers:path; version 2 has no controllers.
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let groups = Path::new(path.trim_start_matches('/')).ancestors();
        // In a container, the path may be that on the host: the limit is then in the root of the
        // mount.
        let mount = root.join(mount);
        groups
            .filter_map(|group| {
                let limit = std::fs::read_to_string(mount.join(group).join(file)).ok()?;
                limit.trim().parse().ok()
            })
            .min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the available memory of a system with these files, in MiB.
    fn available_with(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        available_in(root.path()).map(|bytes| bytes >> 20)
    }

    #[test]
    fn available_memory_is_limited_by_the_cgroup() {
        type Files<'a> = &'a [(&'a str, &'a str)];
        let free = ("proc/meminfo", "MemTotal:  16777216 kB\nMemAvailable:    8388608 kB\n");
        let used = ("proc/self/status", "Name:\tbb\nVmRSS:\t  102400 kB\n");
        let limits = [50, 2_048, 4_096, 12_288].map(|mebibytes: u64| (mebibytes << 20).to_string());
        let [fifty, two, four, twelve] = limits.each_ref().map(String::as_str);
        let cgroup_v2 = ("proc/self/cgroup", "0::/system.slice/bb.service\n");
        let cgroup_limit_file = "sys/fs/cgroup/system.slice/bb.service/memory.max";
        let cases: [(Files<'_>, Option<u64>); 9] = [
            (&[], None),
            (&[free, used], Some(8_192)),
            (&[free, used, cgroup_v2, (cgroup_limit_file, "max\n")], Some(8_192)),
            (&[free, used, cgroup_v2, (cgroup_limit_file, four)], Some(3_996)),
            (&[free, used, cgroup_v2, (cgroup_limit_file, twelve)], Some(8_192)),
            // The limit of a parent.
            (
                &[
                    free,
                    used,
                    cgroup_v2,
                    (cgroup_limit_file, four),
                    ("sys/fs/cgroup/system.slice/memory.max", two),
                ],
                Some(1_948),
            ),
            // A container.
            (
                &[free, used, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", four)],
                Some(3_996),
            ),
            (
                &[
                    free,
                    used,
                    ("proc/self/cgroup", "5:cpu,memory:/docker/1\n4:pids:/docker/1\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", four),
                ],
                Some(3_996),
            ),
            (&[used, cgroup_v2, (cgroup_limit_file, fifty)], Some(0)),
        ];
        for (files, expected) in cases {
            assert_eq!(available_with(files), expected, "{files:?}");
        }
    }
}
