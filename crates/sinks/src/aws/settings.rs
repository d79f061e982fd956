//! What settings say of how AWS's services are reached: members, defaults, bounds and rules are the same for every kind of sink.

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

/// Settings with the members that say how a service is reached, behind those that are theirs alone; and `access`, what these come to. They are members
/// of one structure, and not of one within it, since serde finds no unknown member of a structure that has another one flattened into it.
macro_rules! with_access {
    ($(#[$of_all:meta])* pub struct $name:ident { $($(#[$of_one:meta])* pub $member:ident: $kind:ty,)* }) => {
        $(#[$of_all])*
        pub struct $name {
            $($(#[$of_one])* pub $member: $kind,)*
            /// Where the service is, if not at AWS.
            pub endpoint: Option<String>,
            /// The region that requests are signed for, if the address does not say it.
            pub region: Option<String>,
            /// The access key; without one, that of the environment or of the machine.
            pub access_key_id: Option<crate::secret::Secret>,
            /// Its secret.
            pub secret_access_key: Option<crate::secret::Secret>,
            /// The token of temporary ones.
            pub session_token: Option<crate::secret::Secret>,
            /// The certificates of the authorities that are trusted instead of the system's, PEM.
            pub ca: Option<String>,
            /// How long a request may take, seconds.
            #[serde(default = "crate::aws::settings::timeout_seconds")]
            pub timeout_seconds: u64,
            /// How long a connection may take to be made, seconds.
            #[serde(default = "crate::aws::settings::connect_timeout_seconds")]
            pub connect_timeout_seconds: u64,
        }

        impl $name {
            /// How the service is reached.
            ///
            /// # Errors
            /// What is said of that cannot be right.
            pub(crate) fn access(
                &self,
            ) -> Result<crate::aws::Access<'_>, crate::aws::settings::SettingsError> {
                let given = crate::aws::settings::Given {
                    ca: self.ca.as_deref(),
                    timeout_seconds: self.timeout_seconds,
                    connect_timeout_seconds: self.connect_timeout_seconds,
                    access_key_id: self.access_key_id.as_ref(),
                    secret_access_key: self.secret_access_key.as_ref(),
                    session_token: self.session_token.as_ref(),
                };
                given.access()
            }
        }
    };
}
pub(crate) use with_access;

/// The settings of an access cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A time limit.
    #[error("timeout_seconds and connect_timeout_seconds are from 1 to {TIMEOUT_SECONDS_MAX}")]
    Times,
    /// A key without its secret, or the other way round.
    #[error("access_key_id and secret_access_key come together")]
    Keys,
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
    pub(crate) fn access(self) -> Result<Access<'a>, SettingsError> {
        let Given { ca, timeout_seconds, connect_timeout_seconds, access_key_id, secret_access_key, session_token } =
            self;
        let times = [timeout_seconds, connect_timeout_seconds];
        if times.iter().any(|seconds| !(1..=TIMEOUT_SECONDS_MAX).contains(seconds)) {
            return Err(SettingsError::Times);
        }
        if access_key_id.is_some() != secret_access_key.is_some() {
            return Err(SettingsError::Keys);
        }
        let [timeout, connect_timeout] = times.map(Duration::from_secs);
        Ok(Access { ca, timeout, connect_timeout, key: access_key_id.zip(secret_access_key), session_token })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    with_access! {
        /// Settings of a test.
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Settings {
            /// Where to.
            pub to: String,
        }
    }

    fn read(value: serde_json::Value) -> Result<Settings, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn members_of_an_access_are_those_of_the_settings() {
        let settings = read(json!({"to": "x", "access_key_id": "id", "secret_access_key": "hunter2", "region": "r"}));
        let settings = settings.unwrap();
        assert!(settings.to == "x" && settings.endpoint.is_none() && settings.region.as_deref() == Some("r"));
        let access = settings.access().unwrap();
        assert_eq!((access.timeout, access.connect_timeout), (Duration::from_secs(30), Duration::from_secs(10)));
        assert_eq!(access.key.map(|(id, secret)| (id.expose(), secret.expose())), Some(("id", "hunter2")));
        assert!(!format!("{settings:?}").contains("hunter2"));
        for (more, error) in [
            (json!({"to": "x", "timeout_seconds": 0}), SettingsError::Times),
            (json!({"to": "x", "connect_timeout_seconds": 601}), SettingsError::Times),
            (json!({"to": "x", "secret_access_key": "s"}), SettingsError::Keys),
        ] {
            assert_eq!(read(more.clone()).unwrap().access().err(), Some(error), "{more}");
        }
        let unknown = read(json!({"to": "x", "endpont": "y"})).unwrap_err();
        assert!(
            unknown.starts_with("unknown field `endpont`, expected one of `to`, `endpoint`, `region`,"),
            "{unknown}"
        );
    }
}
