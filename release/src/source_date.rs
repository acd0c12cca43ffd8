//! The time that stands in the files of a release: `SOURCE_DATE_EPOCH` (reproducible-builds.org), or one that is given.

use jiff::Timestamp;

use crate::error::Error;

/// `SOURCE_DATE_EPOCH`, if it is set.
pub(crate) fn source_date() -> Result<Option<Timestamp>, Error> {
    match std::env::var_os("SOURCE_DATE_EPOCH") {
        Some(text) => parse(&text.to_string_lossy()).map(Some),
        None => Ok(None),
    }
}

/// A time that is given: seconds since 1970 (`git log --format=%ct`), or whole seconds as RFC 3339 has them (`%cI`).
pub(crate) fn given(text: &str) -> Result<Timestamp, InvalidTime> {
    let seconds = parse(text).ok();
    let time =
        seconds.or_else(|| text.parse::<Timestamp>().ok().filter(|time| time.subsec_nanosecond() == 0));
    time.ok_or(InvalidTime)
}

/// A text that is not a time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("expected seconds since 1970, such as 1767323045, or a time such as 2026-01-02T03:04:05Z")]
pub(crate) struct InvalidTime;

fn parse(text: &str) -> Result<Timestamp, Error> {
    let invalid = || Error::SourceDateEpoch { found: text.to_owned() };
    // Unsigned, and no further than a tar header reaches.
    let seconds = text.parse::<u32>().map_err(|_| invalid())?;
    Timestamp::from_second(seconds.into()).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::{given, parse};

    #[test]
    fn only_whole_seconds_are_a_time() {
        assert_eq!(parse("1767323045").unwrap().to_string(), "2026-01-02T03:04:05Z");
        for text in ["", "-1", "1.5", "today", "99999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_given_time_is_one_in_either_form() {
        for text in ["1767323045", "2026-01-02T03:04:05Z", "2026-01-02T05:04:05+02:00"] {
            assert_eq!(given(text).unwrap().to_string(), "2026-01-02T03:04:05Z", "{text}");
        }
        for text in ["", "today", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05.5Z", "1.5"] {
            assert!(given(text).is_err(), "{text}");
        }
    }
}
