//! Redshift, by the statements it gets: there is none to be had for a test. What PostgreSQL makes of the same statements is seen
//! in `tests/postgres.rs` of this crate.

use std::io::Read;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;

use super::database::Whims;
use super::*;
use crate::objects::store::ObjectError;
use crate::sink::Sink;
use crate::warehouse::session::{Answer, Failure, Session};

/// Objects in memory.
#[derive(Default)]
pub(super) struct Bucket(Mutex<Vec<(String, Bytes)>>, Mutex<Option<Whims>>);

impl Bucket {
    /// One that fails now and then, before an object is there and after.
    pub(super) fn moody() -> Bucket {
        Bucket(Mutex::default(), Mutex::new(Some(Whims::default())))
    }

    fn object(&self, key: &str) -> Bytes {
        let objects = self.0.lock();
        objects.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("no object {key}")).1.clone()
    }

    /// The rows of the objects that a manifest names: of each the columns `names`, as a load over a connection has them.
    pub(super) fn rows(&self, manifest: &str, names: &[String]) -> Vec<Vec<String>> {
        let key = |address: &str| address.strip_prefix(ADDRESS).unwrap().to_owned();
        let manifest: Value = serde_json::from_slice(&self.object(&key(manifest))).unwrap();
        let cell = |cell: &Value| match cell {
            Value::Null => "\\N".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let row = |line: &str| {
            let row: Value = serde_json::from_str(line).unwrap();
            names.iter().map(|name| cell(&row[name])).collect()
        };
        let objects = manifest["entries"].as_array().unwrap().iter();
        let texts = objects.map(|entry| unpacked(&self.object(&key(entry["url"].as_str().unwrap()))));
        texts.flat_map(|text| text.lines().map(row).collect::<Vec<_>>()).collect()
    }
}

const ADDRESS: &str = "s3://b/p/";

impl Stage for Bucket {
    fn put(&self, key: String, body: Bytes, _: &'static str) -> BoxFuture<'static, Result<(), ObjectError>> {
        let whim = self.1.lock().as_mut().map(Whims::next);
        let failed = |error: &str| Err(ObjectError::Failed { place: self.address(&key), error: error.to_owned() });
        if whim == Some(0) {
            return std::future::ready(failed("503")).boxed();
        }
        let reset = std::future::ready(failed("connection reset"));
        let mut objects = self.0.lock();
        if let Some((_, there)) = objects.iter().find(|(name, _)| *name == key) {
            assert_eq!(*there, body, "{key} is not what it was");
        } else {
            objects.push((key, body));
        }
        if whim == Some(1) {
            return reset.boxed();
        }
        async { Ok(()) }.boxed()
    }

    fn address(&self, key: &str) -> String {
        format!("{ADDRESS}{key}")
    }
}

/// What to answer to the first statement that has a text; each once.
pub(super) type Answers = Vec<(&'static str, Result<Vec<Vec<&'static str>>, Failure>)>;

/// A cluster that answers what it is told to, and nothing otherwise.
#[derive(Clone, Default)]
pub(super) struct Cluster(Arc<Mutex<(Answers, Vec<String>, bool)>>);

impl Cluster {
    pub(super) fn say(&self, answers: Answers) {
        self.0.lock().0 = answers;
    }

    /// No row is what an UPDATE takes it for.
    fn update_nothing(&self) {
        self.0.lock().2 = true;
    }

    pub(super) fn statements(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().1)
    }
}

impl Connector for Cluster {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        let session: Box<dyn Session> = Box::new(self.clone());
        async { Ok(session) }.boxed()
    }
}

impl Session for Cluster {
    fn run<'a>(&'a mut self, sql: &'a str, _: Duration) -> BoxFuture<'a, Result<Vec<Answer>, Failure>> {
        async move {
            let mut state = self.0.lock();
            state.1.push(sql.to_owned());
            let mut answers = Vec::new();
            for statement in sql.split("; ") {
                let told = state.0.iter().position(|(part, _)| statement.contains(part));
                let rows = told.map(|told| state.0.remove(told).1).transpose()?.unwrap_or_default();
                let changes = statement.starts_with("DELETE") || (statement.starts_with("UPDATE") && !state.2);
                let rows: Vec<Vec<Option<String>>> =
                    rows.into_iter().map(|row| row.into_iter().map(|field| Some(field.to_owned())).collect()).collect();
                answers.push(Answer { rows, affected: u64::from(changes) });
            }
            Ok(answers)
        }
        .boxed()
    }

    fn copy<'a>(&'a mut self, sql: &'a str, _: Bytes, _: Duration) -> BoxFuture<'a, Result<u64, Failure>> {
        panic!("nothing comes over the connection: {sql}")
    }

    fn is_open(&self) -> bool {
        true
    }
}

fn sink(cluster: &Cluster, bucket: &Arc<Bucket>, more: Value) -> Warehouse {
    let mut settings = json!({
        "to": "redshift://u:p@h/d",
        "staging": {"to": "s3://b/p/", "iam_role": "arn:aws:iam::000000000000:role/copy", "region": "eu-west-1"},
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    warehouse(settings, Arc::new(cluster.clone()), Some(bucket.clone()))
}

fn unpacked(body: &Bytes) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    text
}

/// The stage's name is a digest of its shape; the object's has one of its rows.
fn plain(statements: &[String]) -> Vec<String> {
    let cut = |text: &str, from: &str, length: usize| match text.find(from) {
        None => text.to_owned(),
        Some(_) => {
            let parts: Vec<&str> = text.split(from).collect();
            let rest: Vec<String> =
                parts[1..].iter().map(|part| part.get(length..).unwrap_or_default().to_owned()).collect();
            std::iter::once(parts[0].to_owned()).chain(rest).collect::<Vec<_>>().join(&format!("{from}X"))
        }
    };
    statements.iter().map(|sql| cut(sql, "_tailrace_stage_", 16)).collect()
}

const SHARD: &str = "shardId-00000001767225600000-00000001";

#[tokio::test]
async fn a_flush_is_objects_and_one_transaction() {
    let (cluster, bucket) = (Cluster::default(), Arc::new(Bucket::default()));
    let sink = sink(&cluster, &bucket, json!({}));
    assert!(sink.plans(), "names of objects are those of flushes");
    cluster.say(vec![
        ("current_schema", Ok(vec![vec!["public"]])),
        ("SELECT last_number", Ok(vec![vec!["-1", "0"]])),
        ("SELECT generation FROM", Ok(vec![vec!["1000000001"]])),
    ]);
    let records = vec![
        put(1, "a", &[("total", n("1.5"))]),
        put(2, "b", &[]),
        remove(3, "b"),
        put(4, "blank ", &[]),
        put(5, "a", &[("total", n("2")), ("big", n("12345678901234567890"))]),
    ];
    let flushed = sink.flush(flush(records)).await.unwrap();
    let reason = "key pk: a key that ends in a blank is the same as one without it to Redshift";
    assert_eq!((flushed.rejected[0].index, flushed.rejected[0].error.as_str()), (3, reason));

    let objects = bucket.0.lock().clone();
    let [(rows, body), (manifest, entries)] = &objects[..] else { panic!("{objects:?}") };
    let name = format!("wh-v1-{SHARD}-100000000000000000001-100000000000000000005-");
    let digest = rows.strip_prefix(&name).and_then(|rest| rest.strip_suffix(".json.gz")).unwrap();
    assert_eq!(*manifest, format!("{name}{digest}.manifest"));
    let time = "2026-01-02 03:04:05.678";
    assert_eq!(
        unpacked(body),
        format!(
            "{{\"_op\":\"REMOVE\",\"pk\":\"b\",\"total\":null,\"doc\":null,\"_event_time\":\"{time}\",\"_lsn\":3}}\n\
             {{\"_op\":\"UPSERT\",\"pk\":\"a\",\"total\":2,\"doc\":{{\"big\":\"12345678901234567890\",\"pk\":\"a\",\"total\":2}},\
             \"_event_time\":\"{time}\",\"_lsn\":5}}\n"
        )
    );
    let expected = json!({"entries": [{
        "url": format!("s3://b/p/{rows}"), "mandatory": true, "meta": {"content_length": body.len()},
    }]});
    assert_eq!(serde_json::from_slice::<Value>(entries).unwrap(), expected);

    let statements = cluster.statements();
    let begin = statements.iter().position(|sql| sql.starts_with("SELECT last_number")).unwrap();
    let item = super::super::records::item_id(&put(4, "blank ", &[]));
    assert_eq!(
        plain(&statements[begin..]),
        [
            format!(
                "SELECT last_number, epoch FROM \"public\".\"_tailrace_progress\" WHERE target = 'orders' AND generation = 1000000001 AND \
                 shard = '{SHARD}'"
            ),
            // What an earlier flush went past: nothing.
            "SELECT generation FROM \"public\".\"_tailrace_targets\" WHERE target = 'orders'".to_owned(),
            "BEGIN".to_owned(),
            "DROP TABLE IF EXISTS \"_tailrace_stage_X\"; CREATE TEMP TABLE \"_tailrace_stage_X\" (\"_op\" character varying(16), \
             \"pk\" character varying(2048), \"total\" numeric(6,2), \"doc\" super, \
             \"_event_time\" timestamp without time zone, \"_lsn\" bigint)"
                .to_owned(),
            format!(
                "COPY \"_tailrace_stage_X\" (\"_op\", \"pk\", \"total\", \"doc\", \"_event_time\", \"_lsn\") \
                 FROM 's3://b/p/{manifest}' IAM_ROLE 'arn:aws:iam::000000000000:role/copy' REGION 'eu-west-1' MANIFEST \
                 FORMAT AS JSON 'auto' GZIP TIMEFORMAT 'auto' ROUNDEC COMPUPDATE OFF STATUPDATE OFF"
            ),
            "DELETE FROM \"public\".\"orders\" USING \"_tailrace_stage_X\" WHERE \"orders\".\"pk\" = \"_tailrace_stage_X\".\"pk\" \
             AND (\"orders\".\"_generation\" < 1000000001 OR (\"orders\".\"_generation\" = 1000000001 AND \
             \"orders\".\"_lsn\" < \"_tailrace_stage_X\".\"_lsn\")); \
             INSERT INTO \"public\".\"orders\" (\"pk\", \"total\", \"doc\", \"_event_time\", \"_lsn\", \"_generation\") \
             SELECT s.\"pk\", s.\"total\", s.\"doc\", s.\"_event_time\", s.\"_lsn\", 1000000001 FROM \"_tailrace_stage_X\" AS s \
             WHERE s.\"_op\" <> 'REMOVE' AND NOT EXISTS (SELECT 1 FROM \"public\".\"orders\" AS t WHERE t.\"pk\" = s.\"pk\")"
                .to_owned(),
            "DROP TABLE \"_tailrace_stage_X\"".to_owned(),
            "SELECT 1 FROM \"public\".\"_tailrace_rejected\" WHERE target = 'orders' AND live LIMIT 1".to_owned(),
            format!(
                "DELETE FROM \"public\".\"_tailrace_rejected\" WHERE target = 'orders' AND generation = 1000000001 AND \
                 ((item = '{item}' AND number = 4)); INSERT INTO \"public\".\"_tailrace_rejected\" \
                 (target, item, number, generation, shard, place, live, error) \
                 VALUES ('orders', '{item}', 4, 1000000001, '{SHARD}', 4, true, '{reason}')"
            ),
            // Under SNAPSHOT a transaction that had only read the generation would not see that another one changes it.
            "UPDATE \"public\".\"_tailrace_targets\" SET generation = 1000000001 WHERE target = 'orders' AND generation = 1000000001"
                .to_owned(),
            format!(
                "UPDATE \"public\".\"_tailrace_progress\" SET last_number = 5, epoch = 1 WHERE target = 'orders' AND \
                 generation = 1000000001 AND shard = '{SHARD}' AND last_number = -1 AND epoch = 0"
            ),
            "COMMIT".to_owned(),
        ]
    );
}

#[tokio::test]
async fn rows_that_a_load_refuses_are_found_by_a_trial() {
    let (cluster, bucket) = (Cluster::default(), Arc::new(Bucket::default()));
    let sink = sink(&cluster, &bucket, json!({"mode": "append"}));
    let refused = Failure::Refused { code: "XX000".into(), text: "Load into table 'orders' failed".into() };
    cluster.say(vec![
        ("current_schema", Ok(vec![vec!["public"]])),
        ("SELECT last_number", Ok(vec![vec!["0", "1"]])),
        ("SELECT generation FROM", Ok(vec![vec!["1000000001"]])),
        ("COPY", Err(refused.clone())),
        ("sys_load_error_detail", Ok(vec![vec!["2", "new_image", "Invalid UTF8"]])),
        ("SELECT generation FROM", Ok(vec![vec!["1000000001"]])),
    ]);
    let records = vec![put(1, "a", &[]), put(2, "b", &[]), put(3, "c", &[])];
    let flushed = sink.flush(flush(records.clone())).await.unwrap();
    let rejected: Vec<(usize, &str)> =
        flushed.rejected.iter().map(|rejected| (rejected.index, rejected.error.as_str())).collect();
    assert_eq!(rejected, [(1, "column new_image: Invalid UTF8")]);
    let statements = cluster.statements();
    let copies: Vec<&String> = statements.iter().filter(|sql| sql.starts_with("COPY")).collect();
    assert_eq!(copies.len(), 3);
    assert_eq!(*copies[1], format!("{} NOLOAD MAXERROR 100000", copies[0]));
    let objects = bucket.0.lock().clone();
    assert_eq!(objects.len(), 4);
    let lines: Vec<usize> = [0, 2].map(|object| unpacked(&objects[object].1).lines().count()).to_vec();
    assert_eq!(lines, [3, 2]);
    assert!(copies[2].contains(&objects[3].0));
    assert!(
        statements
            .iter()
            .any(|sql| sql.contains("_tailrace_rejected") && sql.contains("'column new_image: Invalid UTF8'"))
    );

    // A load that fails for another reason is nobody's fault.
    cluster.say(vec![
        ("SELECT last_number", Ok(vec![vec!["0", "1"]])),
        ("SELECT generation FROM", Ok(vec![vec!["1000000001"]])),
        ("COPY", Err(refused)),
    ]);
    assert_eq!(sink.flush(flush(records)).await.unwrap_err().0, "Load into table 'orders' failed");
}

/// A flush, or a retry, that was under way when a newer version of the sink took the table: whether the database tells them apart by the
/// row that both write, or one had ended when the other looked.
#[tokio::test]
async fn a_flush_of_an_older_generation_is_kept_out() {
    let conflict = "could not serialize access due to concurrent update";
    for is_conflict in [true, false] {
        for origin in [Origin::Stream, Origin::Retry] {
            let (cluster, bucket) = (Cluster::default(), Arc::new(Bucket::default()));
            let sink = sink(&cluster, &bucket, json!({}));
            let of_the_list = Ok(vec![vec!["1000000001"]]);
            let mut answers = Vec::new();
            for _ in 0..3 {
                answers.extend([
                    ("current_schema", Ok(vec![vec!["public"]])),
                    ("SELECT generation FROM \"public\".\"_tailrace_rejected", of_the_list.clone()),
                    ("SELECT last_number", Ok(vec![vec!["0", "1"]])),
                    ("SELECT generation FROM \"public\".\"_tailrace_targets", Ok(vec![vec!["1000000001"]])),
                ]);
                if is_conflict {
                    let refused = Failure::Refused { code: "XX000".into(), text: conflict.into() };
                    answers.push(("UPDATE \"public\".\"_tailrace_targets\" SET generation", Err(refused)));
                }
            }
            cluster.say(answers);
            if !is_conflict {
                cluster.update_nothing();
            }
            let error = sink.flush(Flush { origin, ..flush(vec![put(1, "a", &[])]) }).await.unwrap_err().0;
            let expected = if is_conflict { conflict } else { "not filled by this version of the sink any more" };
            assert!(error.contains(expected), "{error}");
            let statements = cluster.statements();
            assert!(statements.iter().any(|sql| sql.starts_with("COPY")), "{statements:#?}");
            let ends = statements.iter().filter(|sql| *sql == "COMMIT").count();
            assert_eq!(ends, 3, "the tables alone: {statements:#?}");
        }
    }
}

#[tokio::test]
async fn transactions_that_get_in_each_others_way_are_tried_again() {
    let (cluster, bucket) = (Cluster::default(), Arc::new(Bucket::default()));
    let sink = sink(&cluster, &bucket, json!({}));
    let text = "1023 DETAIL: Serializable isolation violation on table - 5, transactions forming the cycle are: 1, 2";
    let again = || Failure::Refused { code: "XX000".into(), text: text.into() };
    cluster.say(vec![
        ("current_schema", Ok(vec![vec!["public"]])),
        ("SELECT last_number", Ok(vec![vec!["0", "1"]])),
        ("SELECT generation FROM", Ok(vec![vec!["1000000001"]])),
        ("UPDATE \"public\".\"_tailrace_progress\"", Err(again())),
        ("current_schema", Ok(vec![vec!["public"]])),
        ("SELECT last_number", Ok(vec![vec!["0", "1"]])),
        ("SELECT generation FROM", Ok(vec![vec!["1000000001"]])),
    ]);
    sink.flush(flush(vec![put(1, "a", &[])])).await.unwrap();
    assert_eq!(cluster.statements().iter().filter(|sql| *sql == "COMMIT").count(), 3, "tables twice, and the flush");
    assert_eq!(bucket.0.lock().len(), 2, "the same objects");
}
