//! What is new in a version, as the changelog has it (<https://keepachangelog.com>).

use semver::Version;

/// The section of `version`, without its heading. A text that has no sections of versions is all about this one.
pub(crate) fn section<'a>(text: &'a str, version: &Version) -> Option<&'a str> {
    let mut headings = headings(text).peekable();
    if headings.peek().is_none() {
        return Some(text.trim()).filter(|text| !text.is_empty());
    }
    let wanted = version.to_string();
    let (_, start, _) = headings.find(|(name, ..)| *name == wanted)?;
    let end = headings.next().map_or(text.len(), |(.., end)| end);
    Some(text[start..end].trim()).filter(|section| !section.is_empty())
}

/// The headings of versions: what they name, where their section starts, and where they start themselves.
fn headings(text: &str) -> impl Iterator<Item = (&str, usize, usize)> {
    let mut position = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = position;
        position += line.len();
        let name = line.strip_prefix("## ")?.split_whitespace().next()?;
        let name = name.trim_start_matches('[').split(']').next().unwrap_or(name);
        let name = name.strip_prefix('v').unwrap_or(name);
        let is_version = name.eq_ignore_ascii_case("unreleased") || name.parse::<Version>().is_ok();
        is_version.then_some((name, position, start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n## [0.3.0] - 2026-01-02\n\n### Added\n- A.\n\n\
                             ## v0.2.0\n- B.\n## [0.1.0]\n";

    #[test]
    fn a_section_goes_from_its_heading_to_the_next() {
        let of = |version: &str| section(CHANGELOG, &version.parse().unwrap());
        assert_eq!(of("0.3.0"), Some("### Added\n- A."));
        assert_eq!(of("0.2.0"), Some("- B."));
        assert_eq!(of("0.1.0"), None, "nothing is said of it");
        assert_eq!(of("0.3.0-rc.1"), None);
        assert_eq!(of("0.4.0"), None);
    }

    #[test]
    fn a_text_without_versions_is_of_any() {
        let version = Version::new(0, 3, 0);
        assert_eq!(section("## What is new\n- A.\n", &version), Some("## What is new\n- A."));
        assert_eq!(section(" \n", &version), None);
    }
}
