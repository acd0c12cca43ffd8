//! A secret that proves who asks.

use std::fmt;

use reqwest::header::HeaderValue;

/// An access token. It is shown nowhere, and sent only to the host it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A text that cannot be sent as a token. The text is not part of the error.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("not an access token: expected visible characters only")]
pub struct InvalidToken;

impl Token {
    /// Takes what an environment variable holds; white space around it is not part of the token.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible { Ok(Self(text.to_owned())) } else { Err(InvalidToken) }
    }

    /// The value of the `Authorization` header (RFC 6750), marked as a secret.
    pub fn authorization(&self) -> HeaderValue {
        let value = HeaderValue::try_from(format!("Bearer {}", self.0));
        let mut value = value.expect("visible characters make a header");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::new(" hunter2\n").unwrap();
        assert!(!format!("{token:?} {:?}", token.authorization()).contains("hunter2"));
        assert_eq!(token.authorization().to_str().unwrap(), "Bearer hunter2");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_being_repeated() {
        for text in ["", "  ", "hunter2\nX-Evil: 1", "hünter2"] {
            let error = Token::new(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("unter2"), "{error}");
        }
    }
}
