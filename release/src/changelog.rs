//! What is new in a version, as a changelog has it (<https://keepachangelog.com>).

use semver::Version;

/// The section of `version`, without its heading and the links at the end of the text. It may be empty.
pub(crate) fn section<'a>(changelog: &'a str, version: &Version) -> Option<&'a str> {
    let wanted = version.to_string();
    let mut headings = headings(changelog);
    let (_, start, _) = headings.find(|(name, ..)| *name == wanted)?;
    let end = headings.next().map_or(changelog.len(), |(.., end)| end);
    Some(without_links(&changelog[start..end]).trim())
}

/// What is to be said of `version`: its section, or all of a text that has no sections of versions. None where that is nothing.
pub(crate) fn notes<'a>(text: &'a str, version: &Version) -> Option<&'a str> {
    let notes = if headings(text).next().is_none() { text.trim() } else { section(text, version)? };
    Some(notes).filter(|notes| !notes.is_empty())
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

/// What stands before the first line of the form `[name]: address`.
fn without_links(text: &str) -> &str {
    let is_link = |line: &str| line.starts_with('[') && line.contains("]: ");
    let length = text.split_inclusive('\n').take_while(|line| !is_link(line)).map(str::len).sum();
    &text[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n## [0.3.0-rc.1] - 2026-01-01\nno\n\n\
                             ## [0.3.0] - 2026-01-02\n\n### Added\n- A [link].\n\n## v0.2.0\n- B.\n## [0.1.0]\n\n\
                             [0.3.0]: https://example.org\n";

    #[test]
    fn a_section_goes_from_its_heading_to_the_next_or_to_the_links() {
        let of = |version: &str| section(CHANGELOG, &version.parse().unwrap());
        assert_eq!(of("0.3.0"), Some("### Added\n- A [link]."));
        assert_eq!(of("0.3.0-rc.1"), Some("no"));
        assert_eq!(of("0.3.0-rc.10"), None);
        assert_eq!(of("0.2.0"), Some("- B."));
        assert_eq!(of("0.1.0"), Some(""));
        assert_eq!(of("0.4.0"), None);
    }

    #[test]
    fn notes_say_something() {
        let of = |text, version: &str| notes(text, &version.parse().unwrap());
        assert_eq!(of(CHANGELOG, "0.2.0"), Some("- B."));
        assert_eq!(of(CHANGELOG, "0.1.0"), None);
        assert_eq!(of("## What is new\n- A.\n", "0.1.0"), Some("## What is new\n- A."));
        assert_eq!(of(" \n", "0.1.0"), None);
    }
}
