//! Which base binaries are old.

use std::collections::BTreeMap;

use jiff::Timestamp;
use semver::Version;

use crate::resolve::CachedEntry;
use crate::target::Target;
use crate::trust::KeyId;

/// Selects what to remove, in the order of `entries`. With `keep`, the newest so many versions of each key and target stay;
/// a pre-release is a version like any other. With `installed_before`, whatever was installed then or later stays. With
/// both, only what neither spares goes; with neither, nothing goes.
pub fn select_for_pruning(
    entries: &[CachedEntry],
    keep: Option<usize>,
    installed_before: Option<Timestamp>,
) -> Vec<CachedEntry> {
    if keep.is_none() && installed_before.is_none() {
        return Vec::new();
    }
    let mut versions: BTreeMap<(KeyId, Target), Vec<&Version>> = BTreeMap::new();
    for CachedEntry { id, .. } in entries {
        versions.entry((id.key_id, id.target)).or_default().push(&id.version);
    }
    for versions in versions.values_mut() {
        versions.sort_unstable_by(|a, b| b.cmp(a));
        versions.dedup();
    }
    let is_old = |entry: &&CachedEntry| {
        let versions = &versions[&(entry.id.key_id, entry.id.target)];
        let spared =
            keep.is_some_and(|keep| versions.iter().take(keep).any(|kept| **kept == entry.id.version));
        !spared && installed_before.is_none_or(|moment| entry.installed < moment)
    };
    entries.iter().filter(is_old).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::EntryId;
    use crate::digest::Digest;
    use crate::index::BinaryFile;

    const LINUX: Target = Target::X86_64LinuxGnu;
    const MAC: Target = Target::Aarch64AppleDarwin;

    fn entry(key: &str, version: &str, target: Target, day: i64) -> CachedEntry {
        CachedEntry {
            id: EntryId { key_id: key.parse().unwrap(), version: version.parse().unwrap(), target },
            path: "unused".into(),
            binary: BinaryFile { size: 1, sha256: Digest::of(b"") },
            archive_sha256: Digest::of(b""),
            source: String::new(),
            installed: day_number(day),
        }
    }

    fn day_number(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn entries() -> Vec<CachedEntry> {
        let (one, two) = ("0000000000000001", "0000000000000002");
        vec![
            // Out of order, and the newest version was not installed last.
            entry(one, "0.10.0", LINUX, 1),
            entry(one, "0.9.0", LINUX, 4),
            entry(one, "0.11.0-rc.2", LINUX, 2),
            entry(one, "0.11.0", LINUX, 3),
            entry(one, "0.9.0", MAC, 1),
            entry(two, "0.1.0", LINUX, 1),
        ]
    }

    fn selected(keep: Option<usize>, installed_before: Option<i64>) -> Vec<String> {
        select_for_pruning(&entries(), keep, installed_before.map(day_number))
            .iter()
            .map(|entry| {
                format!("{} {} {}", &entry.id.key_id.to_string()[15..], entry.id.version, entry.id.target)
            })
            .collect()
    }

    #[test]
    fn the_newest_versions_of_each_key_and_target_stay() {
        assert_eq!(selected(Some(4), None), [""; 0]);
        let linux = "x86_64-unknown-linux-gnu";
        assert_eq!(selected(Some(3), None), [format!("1 0.9.0 {linux}")]);
        assert_eq!(selected(Some(2), None), [format!("1 0.10.0 {linux}"), format!("1 0.9.0 {linux}")]);
        assert_eq!(
            selected(Some(1), None),
            ["0.10.0", "0.9.0", "0.11.0-rc.2"].map(|version| format!("1 {version} {linux}"))
        );
        assert_eq!(selected(Some(0), None).len(), 6);
        assert_eq!(selected(Some(usize::MAX), None), [""; 0]);
    }

    #[test]
    fn only_what_was_installed_before_goes() {
        assert_eq!(selected(None, Some(1)), [""; 0]);
        assert_eq!(
            selected(None, Some(2)),
            [
                "1 0.10.0 x86_64-unknown-linux-gnu",
                "1 0.9.0 aarch64-apple-darwin",
                "2 0.1.0 x86_64-unknown-linux-gnu"
            ]
        );
        assert_eq!(selected(None, Some(5)).len(), 6);
    }

    #[test]
    fn both_must_hold_and_neither_selects_nothing() {
        assert_eq!(
            selected(Some(1), Some(3)),
            ["1 0.10.0 x86_64-unknown-linux-gnu", "1 0.11.0-rc.2 x86_64-unknown-linux-gnu"]
        );
        assert_eq!(selected(None, None), [""; 0]);
    }
}
