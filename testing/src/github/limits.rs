//! How much may be asked of the API.

use super::api::error;
use crate::answer::Reply;

/// The rate limits.
pub(super) struct Limits {
    limit: u64,
    remaining: u64,
    reset: u64,
    retry_after: u64,
    refusals: u64,
}

impl Default for Limits {
    /// So much that no test meets it by chance.
    fn default() -> Self {
        Self { limit: 5000, remaining: 5000, reset: 4_102_444_800, retry_after: 0, refusals: 0 }
    }
}

impl Limits {
    pub(super) fn set(&mut self, remaining: u64, reset: u64) {
        self.limit = remaining.max(60);
        self.remaining = remaining;
        self.reset = reset;
    }

    pub(super) fn set_secondary(&mut self, retry_after: u64, times: u64) {
        self.retry_after = retry_after;
        self.refusals = times;
    }

    /// Counts a request; an answer where it is one too many.
    pub(super) fn spend(&mut self) -> Result<(), Reply> {
        if self.refusals > 0 {
            self.refusals -= 1;
            let message =
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
            let place = "overview/rate-limits-for-the-rest-api#about-secondary-rate-limits";
            return Err(error(429, message, place).with("Retry-After", self.retry_after.to_string()));
        }
        if self.remaining == 0 {
            let message = "API rate limit exceeded for 127.0.0.1. (But here's the good news: Authenticated requests \
                           get a higher rate limit. Check out the documentation for more details.)";
            return Err(error(403, message, "overview/resources-in-the-rest-api#rate-limiting"));
        }
        self.remaining -= 1;
        Ok(())
    }

    /// The same reply with the headers that every answer of the API has.
    pub(super) fn tell(&self, reply: Reply) -> Reply {
        reply
            .with("x-ratelimit-limit", self.limit.to_string())
            .with("x-ratelimit-remaining", self.remaining.to_string())
            .with("x-ratelimit-used", (self.limit - self.remaining).to_string())
            .with("x-ratelimit-reset", self.reset.to_string())
            .with("x-ratelimit-resource", "core")
    }
}
