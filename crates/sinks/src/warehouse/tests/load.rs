//! Loads for somebody else, by the statements that they are.

use serde_json::json;

use super::redshift::Cluster;
use super::*;
use crate::warehouse::dialect::Limits;
use crate::warehouse::load::{CopyCommand, CopyError, LoadError, Loader, LoaderConfig, Login};
use crate::warehouse::session::Failure;

const LIMITS: Limits =
    Limits { connect: std::time::Duration::from_secs(1), statement: std::time::Duration::from_secs(1) };
const ROLE: &str = "arn:aws:iam::000000000000:role/r'1";

fn config(settings: Value) -> LoaderConfig {
    serde_json::from_value(settings).unwrap()
}

/// Source: Redshift's guide, "COPY": the manifest, who reads it, the options behind.
#[tokio::test]
async fn a_load_is_one_copy() {
    let keys = json!({"access_key_id": "AKIA", "secret_access_key": "s3cr3t", "region": "eu-west-1"});
    for ((table, columns, options), settings, expected) in [
        (
            ("clicks", "", ""),
            json!({}),
            "COPY clicks FROM 's3://lake/m' IAM_ROLE 'arn:aws:iam::000000000000:role/r''1' MANIFEST",
        ),
        (
            ("public.\"Clicks 1\"", "a, \"b\"", "delimiter '\\t' lzop; "),
            json!({"iam_role": "default"}),
            "COPY public.\"Clicks 1\" (a, \"b\") FROM 's3://lake/m' IAM_ROLE default MANIFEST delimiter '\\t' lzop",
        ),
        (
            ("clicks", "a", "JSON 's3://b/p;.txt' GZIP"),
            keys,
            "COPY clicks (a) FROM 's3://lake/m' ACCESS_KEY_ID 'AKIA' SECRET_ACCESS_KEY 's3cr3t' REGION 'eu-west-1' MANIFEST \
             JSON 's3://b/p;.txt' GZIP",
        ),
    ] {
        let cluster = Cluster::default();
        let loader = Loader::with(Arc::new(cluster.clone()), LIMITS, &config(settings)).unwrap();
        let copy = CopyCommand::new(table, columns, options).unwrap();
        loader.load(&copy, ROLE, "s3://lake/m").await.unwrap();
        assert_eq!(cluster.statements(), [expected]);
    }
}

#[tokio::test]
async fn what_the_cluster_says_is_told() {
    let cluster = Cluster::default();
    let loader = Loader::with(Arc::new(cluster.clone()), LIMITS, &LoaderConfig::default()).unwrap();
    let copy = CopyCommand::new("clicks", "", "").unwrap();
    let (code, text) = ("XX000".to_owned(), "Load into table 'clicks' failed".to_owned());
    cluster.say(vec![("COPY", Err(Failure::Refused { code: code.clone(), text: text.clone() }))]);
    assert_eq!(loader.load(&copy, ROLE, "s3://lake/m").await, Err(LoadError::Refused { code, text }));
    cluster.say(vec![("COPY", Err(Failure::Lost("reset".to_owned())))]);
    assert_eq!(loader.load(&copy, ROLE, "s3://lake/m").await, Err(LoadError::Unknown("reset".to_owned())));
}

#[test]
fn what_is_no_part_of_a_statement_is_refused() {
    let table = |text: &str| CopyCommand::new(text, "", "").map(|copy| copy.table);
    for good in ["clicks", "dev.public.clicks", "_a$1", "caf\u{e9}", "\"a.b\".\"c\"\"d\"", " a . b "] {
        assert_eq!(table(good), Ok(good.trim().to_owned()));
    }
    for bad in ["", "1a", "a b", "a;", "a.b.c.d", "a.", "\"\"", "\"a", "a\"b\"", "a--", "(select 1)"] {
        assert_eq!(table(bad), Err(CopyError::Table(bad.to_owned())), "{bad}");
    }
    for bad in ["a,", "a b", "a, 1b", "a) FROM 's3://x' --", ","] {
        assert_eq!(CopyCommand::new("t", bad, ""), Err(CopyError::Columns(bad.to_owned())));
    }
    for (options, error) in [
        ("CSV; DROP TABLE t", CopyError::Statements),
        ("CSV -- more", CopyError::Statements),
        ("/* ' */; DROP TABLE t; /* ' */", CopyError::Statements),
        ("\"'\"; DROP TABLE t; \"'\"", CopyError::Statements),
        ("$$'$$; DROP TABLE t; $$'$$", CopyError::Statements),
        ("delimiter '", CopyError::Quote),
        (r"quote '\''; DROP TABLE t; --'", CopyError::Quote),
        ("\"a", CopyError::Quote),
    ] {
        assert_eq!(CopyCommand::new("t", "", options), Err(error), "{options}");
    }
    for good in [
        r"delimiter '\\' escape",
        r"null as '\000' region 'eu-west-1'",
        "timeformat 'YYYY-MM-DD; HH'",
        "quote as '''' maxerror 5",
    ] {
        assert_eq!(CopyCommand::new("t", "", good).unwrap().options, good);
    }
}

#[test]
fn what_cannot_be_of_a_cluster_is_told_without_its_secrets() {
    for (settings, expected) in [
        (json!({"at": "localhost"}), "`at` is host:port"),
        (json!({"at": "u@h:1"}), "`at` is host:port"),
        (json!({"sslmode": "s3cr3t"}), "sslmode is disable, prefer, require, verify-ca or verify-full"),
        (json!({"ca": "none"}), "ca: there is no certificate in it"),
        (
            json!({"access_key_id": "s3cr3t"}),
            "who reads the objects is iam_role, or access_key_id and secret_access_key",
        ),
        (
            json!({"statement_timeout_seconds": 0}),
            "connect_timeout_seconds and statement_timeout_seconds are 1 to 3600",
        ),
    ] {
        assert_eq!(config(settings).validate().unwrap_err().to_string(), expected);
    }
    let all =
        json!({"at": "[::1]:5439", "sslmode": "disable", "access_key_id": "s3cr3t", "secret_access_key": "s3cr3t"});
    assert_eq!(config(all.clone()).validate(), Ok(()));
    assert!(!format!("{:?}", config(all)).contains("s3cr3t"));
    let login = Login {
        host: "h".into(),
        port: 1,
        database: "d".into(),
        user: "u".into(),
        password: crate::secret::Secret::new("s3cr3t"),
    };
    assert!(!format!("{login:?}").contains("s3cr3t"));
}
