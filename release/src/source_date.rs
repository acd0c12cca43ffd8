//! The time that stands in the files of a release (reproducible-builds.org, `SOURCE_DATE_EPOCH`).

use jiff::Timestamp;

use crate::error::Error;

/// `SOURCE_DATE_EPOCH`, if it is set.
pub(crate) fn source_date() -> Result<Option<Timestamp>, Error> {
    match std::env::var_os("SOURCE_DATE_EPOCH") {
        Some(text) => parse(&text.to_string_lossy()).map(Some),
        None => Ok(None),
    }
}

fn parse(text: &str) -> Result<Timestamp, Error> {
    let invalid = || Error::SourceDateEpoch { found: text.to_owned() };
    // Unsigned, and no further than a tar header reaches.
    let seconds = text.parse::<u32>().map_err(|_| invalid())?;
    Timestamp::from_second(seconds.into()).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_whole_seconds_are_a_time() {
        assert_eq!(parse("1767323045").unwrap().to_string(), "2026-01-02T03:04:05Z");
        for text in ["", "-1", "1.5", "today", "99999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
