//! The registry against a release that is signed, served and damaged in every way that is known to happen.

#![allow(clippy::unwrap_used, reason = "the functions that tests share are tests too")]

mod bench;
mod bundle;
mod concurrency;
mod download;
mod fetch;
mod github;
mod lockfile;
mod minisign;
mod proxies;
mod regression;
mod removal;
mod rotation;
mod sources;
mod trust;
mod versions;
