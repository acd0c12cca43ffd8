//! The HTTP client: how patient it is, and where it lets itself be sent.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect};

use crate::source::is_loopback;

const MAX_REDIRECTS: usize = 10;

/// How patient a download is.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Without a single byte.
    pub idle_timeout: Duration,
    /// How often a failure that may pass is tried again, without progress in between.
    pub retries: u32,
    /// Before the first new try; doubled each time, with jitter.
    pub backoff: Duration,
    /// What to tell the server.
    pub user_agent: String,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            retries: 3,
            backoff: Duration::from_millis(250),
            user_agent: concat!("encoderfile/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// What every client of this project begins with. Proxies and certificates are the system's, as `reqwest` finds them; how
/// long to wait for an answer, and where to be sent, is for who completes it to say.
pub fn client_builder(config: &NetworkConfig) -> ClientBuilder {
    // Fails only where the program has chosen a provider already, which is then used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().user_agent(&config.user_agent).connect_timeout(config.connect_timeout).referer(false)
}

/// The client of downloads.
pub(crate) fn client(config: &NetworkConfig, allow_http: bool) -> reqwest::Result<Client> {
    client_builder(config)
        .read_timeout(config.idle_timeout)
        .redirect(redirect::Policy::custom(move |attempt| follow(attempt, allow_http)))
        .build()
}

/// Never from HTTPS to plain HTTP, and to plain HTTP elsewhere only where that was allowed.
fn follow(attempt: redirect::Attempt<'_>, allow_http: bool) -> redirect::Action {
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("too many redirects");
    }
    let from_http = attempt.previous().last().is_some_and(|url| url.scheme() == "http");
    match attempt.url().scheme() {
        "https" => attempt.follow(),
        "http" if from_http && (allow_http || is_loopback(attempt.url())) => attempt.follow(),
        _ => attempt.error("the server redirects to plain HTTP"),
    }
}
