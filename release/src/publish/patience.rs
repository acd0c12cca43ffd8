//! What may pass is tried again, after a pause.

use std::time::Duration;

use encoderfile_registry::NetworkConfig;

use crate::publish::PublishError;
use crate::publish::failure::{Failure, Retry};
use crate::publish::journal::{Journal, tell};

/// A server that wants a longer pause gets an error instead, which says how long.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// How often, and how long.
pub(crate) struct Patience<'a> {
    pub(crate) network: NetworkConfig,
    pub(crate) journal: &'a Journal,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(network: NetworkConfig, journal: &'a Journal) -> Self {
        Self { network, journal }
    }

    /// Tries again what does no harm when it is done twice.
    pub(crate) async fn persist<T>(
        &self,
        attempt: impl AsyncFn() -> Result<T, Failure>,
    ) -> Result<T, PublishError> {
        let mut failures = 0;
        loop {
            match attempt().await {
                Ok(result) => return Ok(result),
                Err(failure) => self.pause(&mut failures, failure).await?,
            }
        }
    }

    /// Waits before the next try, or gives up.
    pub(crate) async fn pause(&self, failures: &mut u32, failure: Failure) -> Result<(), PublishError> {
        let Failure { error, retry } = failure;
        *failures += 1;
        let asked = match retry {
            Retry::Never => return Err(error),
            Retry::Later(asked) => asked,
        };
        if *failures > self.network.retries || asked.is_some_and(|asked| asked > LONGEST_PAUSE) {
            return Err(error);
        }
        let backoff = self.network.backoff.saturating_mul(1 << (*failures - 1).min(10));
        let pause = asked.unwrap_or_else(|| backoff.mul_f64(0.5 + fastrand::f64() / 2.0).min(LONGEST_PAUSE));
        tell(&format!("{}: trying again in {:.1} s", error.in_one_line(), pause.as_secs_f64()));
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
