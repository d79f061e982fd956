//! What settings say of how AWS's services are reached: the defaults, the bounds and the rules are the same for every kind of sink.

use std::time::Duration;

use super::Access;
use crate::secret::Secret;

/// Longest time limit of a request, seconds.
pub(crate) const TIMEOUT_SECONDS_MAX: u64 = 600;

/// How long a request may take, seconds, unless something else is said.
pub(crate) fn timeout_seconds() -> u64 {
    30
}

/// How long a connection may take to be made, seconds, unless something else is said.
pub(crate) fn connect_timeout_seconds() -> u64 {
    10
}

/// The settings as they were given.
pub(crate) struct Given<'a> {
    pub ca: Option<&'a str>,
    pub timeout_seconds: u64,
    pub connect_timeout_seconds: u64,
    pub access_key_id: Option<&'a Secret>,
    pub secret_access_key: Option<&'a Secret>,
    pub session_token: Option<&'a Secret>,
}

impl<'a> Given<'a> {
    /// What they come to.
    ///
    /// # Errors
    /// They cannot be right.
    pub(crate) fn access(self) -> Result<Access<'a>, String> {
        let Given { ca, timeout_seconds, connect_timeout_seconds, access_key_id, secret_access_key, session_token } =
            self;
        let times = [timeout_seconds, connect_timeout_seconds];
        if times.iter().any(|seconds| !(1..=TIMEOUT_SECONDS_MAX).contains(seconds)) {
            return Err(format!("timeout_seconds and connect_timeout_seconds are from 1 to {TIMEOUT_SECONDS_MAX}"));
        }
        if access_key_id.is_some() != secret_access_key.is_some() {
            return Err("access_key_id and secret_access_key come together".to_owned());
        }
        let [timeout, connect_timeout] = times.map(Duration::from_secs);
        Ok(Access { ca, timeout, connect_timeout, key: access_key_id.zip(secret_access_key), session_token })
    }
}
