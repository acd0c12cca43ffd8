//! Why a connection failed, in the words of the one that knows.

use std::error::Error;
use std::{fmt, io};

/// A failure of the HTTP client.
///
/// The client wraps a reason such as "Connection refused" in four or five layers that only say who passed it on. `Display`
/// is the innermost reason, and there is no [`source`](Error::source) below it. `Debug` has all of them.
#[derive(Debug)]
pub struct ConnectionError(reqwest::Error);

impl ConnectionError {
    /// The URL after redirects may hold a signature that is a secret, and is left out.
    pub fn new(error: reqwest::Error) -> Self {
        Self(error.without_url())
    }

    /// Whether the connection may stand the next time.
    pub fn may_pass(&self) -> bool {
        !self.0.is_builder() && !self.0.is_redirect() && !is_about_certificates(&self.0)
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&innermost(&self.0))
    }
}

impl Error for ConnectionError {}

fn is_about_certificates(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inner {
            Some(inner) if inner.is::<rustls::Error>() => return true,
            _ if error.is::<rustls::Error>() => return true,
            _ => {}
        }
        next = error.source();
    }
    false
}

/// The text of the last reason that has one.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(reason) = next {
        text = Some(reason.to_string()).filter(|reason| !reason.is_empty()).unwrap_or(text);
        next = reason.source();
    }
    text
}
