//! `RedshiftDestinationConfiguration`: what is read of it, and what is told of it. Source: the service model; docs/spec/sinks.md 2.9.
//!
//! Invariant: no description, error or status has the password in it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tailrace_sinks::secret::Secret;
use tailrace_sinks::warehouse::load::{CopyCommand, Login};

use super::Table;
use crate::config::{self, ConfigError, Destination, Processing, RetryOptions, S3, Switch, backup, wrong};
use crate::limits::LOAD_RETRY;

/// What the addresses of clusters begin with.
const SCHEMES: [&str; 2] = ["jdbc:redshift://", "jdbc:postgresql://"];

/// The configuration.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Redshift {
    #[serde(rename = "RoleARN")]
    role_arn: String,
    #[serde(rename = "ClusterJDBCURL")]
    cluster_jdbc_url: String,
    copy_command: Copy,
    username: Option<String>,
    password: Option<Secret>,
    retry_options: Option<RetryOptions>,
    s3_configuration: S3,
    processing_configuration: Option<Processing>,
    s3_backup_mode: Option<String>,
    s3_backup_configuration: Option<Box<S3>>,
    secrets_manager_configuration: Option<Switch>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Copy {
    data_table_name: String,
    data_table_columns: Option<String>,
    copy_options: Option<String>,
}

/// Reads a destination.
///
/// # Errors
/// What it cannot have.
pub fn read(members: &Map<String, Value>) -> Result<Destination, ConfigError> {
    let config: Redshift = serde_json::from_value(Value::Object(members.clone()))
        .map_err(|error| ConfigError(format!("RedshiftDestinationConfiguration: {error}")))?;
    if config.secrets_manager_configuration.is_some_and(Switch::is_on) {
        return wrong("SecretsManagerConfiguration is not supported by Tailrace: give Username and Password");
    }
    let given = config.username.zip(config.password).filter(|(user, _)| !user.is_empty());
    let Some((user, password)) = given else {
        return wrong("Username and Password must be given when SecretsManagerConfiguration is not enabled.");
    };
    let s3 = &config.s3_configuration;
    if s3.has_expressions() {
        return wrong(
            "The Prefix of S3Configuration cannot have expressions, and there is no ErrorOutputPrefix, when the destination is Redshift.",
        );
    }
    let mut destination = Destination::new(s3, s3.buffering_hints(), false)?;
    destination.backup = backup(config.s3_backup_mode.as_deref(), config.s3_backup_configuration.as_deref())?;
    destination.add_function(config.processing_configuration, "Redshift")?;
    destination.check_keys()?;
    let (host, port, database) = cluster(&config.cluster_jdbc_url)?;
    let Copy { data_table_name, data_table_columns, copy_options } = config.copy_command;
    let copy = CopyCommand::new(
        &data_table_name,
        data_table_columns.as_deref().unwrap_or_default(),
        copy_options.as_deref().unwrap_or_default(),
    );
    let retry = config.retry_options.unwrap_or_default().duration_in_seconds;
    destination.table = Some(Table {
        login: Login { host, port, database, user, password },
        copy: copy.map_err(|error| ConfigError(format!("CopyCommand: {error}")))?,
        role: config.role_arn,
        retry: retry.map_or(LOAD_RETRY, Duration::from_secs),
    });
    Ok(destination)
}

/// Host, port and database of an address.
fn cluster(url: &str) -> Result<(String, u16, String), ConfigError> {
    let read = || {
        let rest = SCHEMES.iter().find_map(|scheme| url.strip_prefix(scheme))?;
        let (authority, database) = rest.split_once('/')?;
        let (host, port) = authority.rsplit_once(':')?;
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_database = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'-');
        let is_sound = !host.is_empty()
            && host.bytes().all(is_host)
            && !database.is_empty()
            && database.bytes().all(is_database)
            && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| is_sound && *port > 0)?;
        Some((host.to_owned(), port, database.to_owned()))
    };
    // What is wrong may have a password in it.
    read().ok_or_else(|| {
        ConfigError("ClusterJDBCURL is no address of a cluster: jdbc:redshift://HOST:PORT/DATABASE is".to_owned())
    })
}

/// The description.
pub fn described(members: &Map<String, Value>) -> Value {
    let mut members = members.clone();
    if let Some(backup) = members.remove("S3BackupConfiguration") {
        let backup = backup.as_object().map_or(Value::Null, |backup| config::described(backup, false));
        members.insert("S3BackupDescription".to_owned(), backup);
    }
    config::or_members(&mut members, "RetryOptions", [("DurationInSeconds", LOAD_RETRY.as_secs().into())]);
    config::or(&mut members, "S3BackupMode", json!("Disabled"));
    let others = ["ClusterJDBCURL", "CopyCommand", "Username", "S3BackupDescription", "SecretsManagerConfiguration"];
    let mut shown = config::described_beside(members, &others);
    // Its buffer is that of its bucket.
    if let Some(shown) = shown.as_object_mut() {
        shown.remove("BufferingHints");
    }
    shown
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Kind, updated};

    use super::*;

    fn with(more: Value) -> Map<String, Value> {
        let mut config = json!({
            "ClusterJDBCURL": "jdbc:redshift://c.eu.redshift.amazonaws.com:5439/dev", "RoleARN": "role",
            "CopyCommand": {"DataTableName": "clicks"}, "Username": "loader", "Password": "hunter2",
            "S3Configuration": {"BucketARN": "arn:aws:s3:::lake", "RoleARN": "r", "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60}}});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config.as_object().unwrap().clone()
    }

    fn table(more: Value) -> Table {
        read(&with(more)).unwrap().table.unwrap()
    }

    /// docs/spec/sinks.md 2.9.
    #[test]
    fn what_is_not_said_is_as_the_service_has_it() {
        let destination = read(&with(json!({}))).unwrap();
        assert_eq!((destination.bytes_max, destination.window), (1 << 20, Duration::from_secs(60)));
        assert!(destination.backup.is_none() && destination.place.bucket == "lake");
        let of = table(json!({}));
        assert_eq!((&*of.login.host, of.login.port, &*of.login.database), ("c.eu.redshift.amazonaws.com", 5439, "dev"));
        assert_eq!((&*of.login.user, of.login.password.expose(), &*of.role), ("loader", "hunter2", "role"));
        assert_eq!((of.copy, of.retry), (CopyCommand::new("clicks", "", "").unwrap(), Duration::from_secs(3600)));
        let said = table(
            json!({"RetryOptions": {"DurationInSeconds": 0}, "ClusterJDBCURL": "jdbc:postgresql://localhost:1/d_$-",
            "CopyCommand": {"DataTableName": "s.t", "DataTableColumns": "a,b", "CopyOptions": "CSV"}}),
        );
        assert_eq!((said.copy, said.retry), (CopyCommand::new("s.t", "a,b", "CSV").unwrap(), Duration::ZERO));
        assert_eq!((&*said.login.host, said.login.port, &*said.login.database), ("localhost", 1, "d_$-"));
        let backup = json!({"S3BackupMode": "Enabled", "S3BackupConfiguration": {"BucketARN": "arn:aws:s3:::raw", "RoleARN": "r"}});
        assert_eq!(read(&with(backup)).unwrap().backup.unwrap().bucket, "raw");
    }

    #[test]
    fn what_cannot_be_is_told_without_the_password() {
        let url = |url: &str| json!({ "ClusterJDBCURL": url });
        let s3 = |more: Value| {
            let mut s3 = json!({"BucketARN": "arn:aws:s3:::lake", "RoleARN": "r"});
            s3.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "S3Configuration": s3 })
        };
        let no_address = "ClusterJDBCURL is no address of a cluster";
        for (more, part) in [
            (url("redshift://h:1/d"), no_address),
            (url("jdbc:redshift://h/d"), no_address),
            (url("jdbc:redshift://u:hunter2@h:1/d"), no_address),
            (url("jdbc:redshift://h:0/d"), no_address),
            (url("jdbc:redshift://h:+1/d"), no_address),
            (url("jdbc:redshift://h:1/d?ssl=false"), no_address),
            (json!({"Password": null}), "Username and Password must be given"),
            (json!({"SecretsManagerConfiguration": {"Enabled": true}}), "SecretsManagerConfiguration is not supported"),
            (json!({"CopyCommand": {"DataTableName": "a b"}}), "CopyCommand: \"a b\" is no table"),
            (json!({"CopyCommand": {"DataTableName": "a", "CopyOptions": "CSV; SELECT 1"}}), "more than options"),
            (s3(json!({"Prefix": "!{timestamp:yyyy}/"})), "cannot have expressions"),
            (s3(json!({"ErrorOutputPrefix": "e/"})), "there is no ErrorOutputPrefix"),
            (s3(json!({"CompressionFormat": "Snappy"})), "CompressionFormat Snappy is not supported"),
            (json!({"S3BackupMode": "Enabled"}), "S3BackupConfiguration must be given"),
            (
                json!({"ProcessingConfiguration": {"Enabled": true, "Processors": [{"Type": "MetadataExtraction"}]}}),
                "MetadataExtraction do not go with Redshift",
            ),
        ] {
            let error = read(&with(more.clone())).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("hunter2"), "{more}: {error}");
        }
        assert!(!format!("{:?}", table(json!({}))).contains("hunter2"));
    }

    #[test]
    fn a_description_has_no_password() {
        let backup = json!({"BucketARN": "arn:aws:s3:::raw", "RoleARN": "r"});
        let shown = described(&with(json!({"S3BackupMode": "Enabled", "S3BackupConfiguration": backup})));
        let names: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "CloudWatchLoggingOptions",
            "ClusterJDBCURL",
            "CopyCommand",
            "RetryOptions",
            "RoleARN",
            "S3BackupDescription",
            "S3BackupMode",
            "S3DestinationDescription",
            "Username",
        ];
        assert_eq!(names, expected);
        assert_eq!(shown["RetryOptions"], json!({"DurationInSeconds": 3600}));
        assert_eq!(shown["S3BackupDescription"]["CompressionFormat"], "UNCOMPRESSED");
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
    }

    #[test]
    fn an_update_replaces_what_it_names() {
        let before = Config { kind: Kind::Redshift, members: with(json!({})) };
        let backup = json!({"BucketARN": "arn:aws:s3:::raw", "RoleARN": "r"});
        let update = json!({"CopyCommand": {"DataTableName": "other"}, "S3Update": {"Prefix": "p/"}, "S3BackupMode": "Enabled",
            "S3BackupUpdate": backup});
        let update = Config { kind: Kind::Redshift, members: update.as_object().unwrap().clone() };
        let after = updated(&before, &update).members;
        assert_eq!(
            (&after["CopyCommand"], &after["Password"]),
            (&json!({"DataTableName": "other"}), &json!("hunter2"))
        );
        assert_eq!((&after["S3Configuration"]["Prefix"], &after["S3BackupMode"]), (&json!("p/"), &json!("Enabled")));
        assert_eq!(read(&after).unwrap().backup.unwrap().bucket, "raw");
    }
}
