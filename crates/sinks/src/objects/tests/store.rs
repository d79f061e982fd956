//! docs/spec/sinks.md 2.5 and 7: an object is put whole and once, whatever goes wrong on the way.

use std::time::Duration;

use bytes::Bytes;
use tailrace_core::EpochMs;

use super::fake_s3::{FakeS3, Fault};
use super::fixture::Place;
use crate::objects::store::{Lock, LockMode, ObjectError, ObjectWriter, Over, Put};

const ONCE: Put<'static> = Put { over: Over::Same, lock: None, content_type: "text/plain" };

async fn put(writer: &ObjectWriter, key: &str, body: &str) -> Result<(), ObjectError> {
    writer.put(key, Bytes::copy_from_slice(body.as_bytes()), ONCE).await
}

#[tokio::test]
async fn objects_are_put_read_and_listed() {
    for place in Place::both().await {
        let writer = place.writer();
        for (key, body) in [("b/d=1/x.txt", "one"), ("a.txt", ""), ("b/e", "two"), ("b%2Fc/y", "three")] {
            put(&writer, key, body).await.unwrap();
        }
        let listed = |folder: &'static str, after: Option<&'static str>, most| {
            let writer = writer.clone();
            async move {
                let listed = writer.list(folder, after, most).await.unwrap();
                listed.into_iter().map(|object| object.key).collect::<Vec<_>>()
            }
        };
        assert_eq!(listed("", None, 9).await, ["a.txt", "b%2Fc/y", "b/d=1/x.txt", "b/e"]);
        assert_eq!(listed("", Some("b%2Fc/y"), 1).await, ["b/d=1/x.txt"]);
        assert_eq!(listed("b", None, 9).await, ["b/d=1/x.txt", "b/e"]);
        assert!(listed("c", None, 9).await.is_empty());
        assert_eq!(writer.get("b/d=1/x.txt").await.unwrap().unwrap().body, "one");
        assert_eq!(writer.get("b/nothing").await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_same_bytes_again_are_done_and_others_are_refused() {
    for place in Place::both().await {
        let writer = place.writer();
        put(&writer, "a/x", "one").await.unwrap();
        put(&writer, "a/x", "one").await.unwrap();
        for other in ["two", "longer"] {
            let error = put(&writer, "a/x", other).await.unwrap_err();
            assert!(matches!(error, ObjectError::Differs { .. }), "{error}");
        }
        assert_eq!(writer.get("a/x").await.unwrap().unwrap().body, "one");
        writer.put("a/x", "two".into(), Put { over: Over::Anything, ..ONCE }).await.unwrap();
        assert_eq!(writer.get("a/x").await.unwrap().unwrap().body, "two");
    }
}

#[tokio::test]
async fn what_was_read_is_changed_only_if_nobody_else_did() {
    for place in Place::both().await {
        let writer = place.writer();
        let over = |over| Put { over, ..ONCE };
        writer.put("m", "1".into(), over(Over::Read(None))).await.unwrap();
        let first = writer.get("m").await.unwrap().unwrap();
        let again = writer.put("m", "1b".into(), over(Over::Read(None))).await;
        assert!(matches!(again, Err(ObjectError::Changed { .. })), "{again:?}");
        writer.put("m", "2".into(), over(Over::Read(Some(&first.tag)))).await.unwrap();
        let late = writer.put("m", "3".into(), over(Over::Read(Some(&first.tag)))).await;
        assert!(matches!(late, Err(ObjectError::Changed { .. })), "{late:?}");
        assert_eq!(writer.get("m").await.unwrap().unwrap().body, "2");
    }
}

#[tokio::test]
async fn a_put_that_failed_is_done_by_its_repeat_at_whatever_step_it_failed() {
    for fault in [
        Fault::Refuse(500),
        Fault::Refuse(503),
        Fault::HangUp,
        Fault::EffectThenHangUp,
        Fault::EffectThenRefuse(500),
        Fault::EffectThenSilence,
    ] {
        let fake = FakeS3::start().await;
        fake.fail([fault]);
        let place = Place::S3(fake);
        let writer = place.writer();
        assert!(put(&writer, "x", "one").await.is_err(), "{fault:?}");
        put(&writer, "x", "one").await.unwrap();
        assert_eq!(place.objects().await, [("x".to_owned(), Bytes::from("one"))], "{fault:?}");
    }
}

#[tokio::test]
async fn errors_say_what_the_store_says_and_no_secret() {
    let fake = FakeS3::start().await;
    fake.fail([Fault::Refuse(403), Fault::EffectThenSilence]);
    let place = Place::S3(fake);
    let writer = place.writer();
    let refused = put(&writer, "x", "one").await.unwrap_err();
    assert_eq!(refused.to_string(), "s3://bucket/lake/x: AccessDenied: Because of ***.");
    let silent = put(&writer, "x", "one").await.unwrap_err();
    assert_eq!(silent, ObjectError::Timeout { place: "s3://bucket/lake/x".into(), after: Duration::from_secs(5) });
    let Place::S3(fake) = &place else { unreachable!() };
    fake.state.lock().refuse_reads = true;
    let unreadable = put(&writer, "x", "one").await.unwrap_err().to_string();
    assert_eq!(
        unreadable,
        "s3://bucket/lake/x: it is there, and may not be read to see whether it is the same: AccessDenied: Because of ***."
    );
}

#[tokio::test]
async fn nobody_there_is_an_error() {
    let settings = FakeS3::start().await.settings();
    let s3 = serde_json::from_value(settings).unwrap();
    let destination = crate::objects::store::Destination::parse("s3://bucket").unwrap();
    let writer = ObjectWriter::new(&destination, &s3).unwrap();
    let error = put(&writer, "x", "one").await.unwrap_err().to_string();
    assert!(error.starts_with("s3://bucket/x: ") && error.contains("onnection re"), "{error}");
}

/// docs/spec/sinks.md 7, S3 target.
#[tokio::test]
async fn a_lock_is_asked_for_in_what_is_signed() {
    let place = Place::S3(FakeS3::start().await);
    let lock = Lock { mode: LockMode::Compliance, until: EpochMs(1_535_365_805_678) };
    place.writer().put("x", "one".into(), Put { lock: Some(lock), ..ONCE }).await.unwrap();
    put(&place.writer(), "y", "two").await.unwrap();
    let Place::S3(fake) = &place else { unreachable!() };
    let puts = &fake.state.lock().puts;
    let header = |index: usize, name: &str| puts[index].get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header(0, "x-amz-object-lock-mode").unwrap(), "COMPLIANCE");
    assert_eq!(header(0, "x-amz-object-lock-retain-until-date").unwrap(), "2018-08-27T10:30:05.678Z");
    assert_eq!(header(0, "content-md5").unwrap(), "+XxdKZQb+xsv2rCHSQargg==");
    assert_eq!(header(0, "if-none-match").unwrap(), "*");
    assert_eq!(header(0, "x-amz-meta-tailrace-release").unwrap(), env!("CARGO_PKG_VERSION"));
    let signed = header(0, "authorization").unwrap();
    for name in
        ["content-md5", "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-checksum-sha256"]
    {
        assert!(signed.contains(name), "{signed}");
    }
    assert_eq!(header(1, "x-amz-object-lock-mode"), None);
}

#[tokio::test]
async fn a_directory_forgets_what_was_not_finished() {
    let place = Place::Directory(tempfile::tempdir().unwrap());
    let writer = place.writer();
    let lock = Some(Lock { mode: LockMode::Governance, until: EpochMs(1) });
    writer.put("a/x", "one".into(), Put { lock, ..ONCE }).await.unwrap();
    let folder = std::path::PathBuf::from(place.to()).join("a");
    assert!(std::fs::metadata(folder.join("x")).unwrap().permissions().readonly());
    // What a crash leaves.
    std::fs::write(folder.join(".y.tmp"), "hal").unwrap();
    std::fs::set_permissions(folder.join(".y.tmp"), std::fs::metadata(folder.join("x")).unwrap().permissions())
        .unwrap();
    assert_eq!(place.objects().await.len(), 1);
    put(&writer, "a/y", "half").await.unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    // Something else is in the way.
    std::fs::write(folder.join("file"), "").unwrap();
    let error = put(&writer, "a/file/z", "one").await.unwrap_err();
    assert!(matches!(error, ObjectError::Failed { .. }), "{error}");
}
