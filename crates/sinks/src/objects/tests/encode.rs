//! docs/spec/sinks.md 2.4 and 2.6: what is in the objects.

use std::collections::BTreeMap;
use std::io::Read as _;

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tailrace_core::json_text::ValueForm;
use tailrace_engine::streams::record::StreamRecord;

use super::fixture::{change, records, source};
use crate::objects::encode::columns::{FIXED, TypedColumn};
use crate::objects::encode::{Compression, Encoder, Format, Of};
use crate::objects::partition::record::RecordDocument;
use crate::objects::partition::{Expression, Place as _};
use crate::objects::store::hex;

fn encoder(format: Format, compression: Compression, values: ValueForm, columns: &[(&str, &str)]) -> Encoder {
    let columns: BTreeMap<String, String> =
        columns.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let columns = TypedColumn::parse_all(&columns).unwrap();
    Encoder { format, compression, values, columns, writer: records() }
}

fn encoded(encoder: &Encoder, records: &[StreamRecord]) -> Vec<u8> {
    let of = Of { source: &source(), shard_id: "shardId-00000001535365800000-00000007" };
    encoder.encode(of, &records.iter().collect::<Vec<_>>()).unwrap()
}

/// An insert of every type, a change and a delete by time to live.
fn changes() -> Vec<StreamRecord> {
    let rich = json!({
        "total": {"N": "12.5"}, "big": {"N": "12345678901234567890"}, "name": {"S": "a \"b\", c\n"}, "paid": {"BOOL": true},
        "blob": {"B": "AP8="}, "lines": {"L": [{"M": {"sku": {"S": "x"}}}, {"N": "2"}]}, "tags": {"SS": ["t1", "t2"]},
    });
    let mut removed = change(9, "b", Some(json!({"total": {"N": "7"}})), None);
    removed.meta.by_service = true;
    vec![
        change(3, "a", None, Some(rich)),
        change(5, "b", Some(json!({"total": {"S": "none"}})), Some(json!({"total": {"N": "7"}}))),
        removed,
    ]
}

const CHOSEN: [(&str, &str); 9] = [
    ("amount", "total.N decimal(6,2)"),
    ("blob", "blob.B"),
    ("doc", "lines json"),
    ("huge", "big long"),
    ("item", "id.S"),
    ("paid", "paid.BOOL"),
    ("second", "lines[1] long"),
    ("sku", "lines[0].sku string"),
    ("total", "total double"),
];

#[test]
fn a_line_is_the_event_of_a_function_and_the_table() {
    let changes = changes();
    let lines = encoded(&encoder(Format::Json, Compression::None, ValueForm::DynamodbJson, &[]), &changes);
    let lines = String::from_utf8(lines).unwrap();
    assert!(lines.ends_with('\n'));
    for (line, record) in lines.lines().zip(&changes) {
        let mut event = Vec::new();
        records().write_event(record, &source().stream_arn, &mut event).unwrap();
        let mut expect: Value = serde_json::from_slice(&event).unwrap();
        expect["tableName"] = json!("Orders");
        assert_eq!(serde_json::from_str::<Value>(line).unwrap(), expect);
    }
    assert_eq!(lines.lines().count(), 3);
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["userIdentity"], json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"}));
}

#[test]
fn plain_lines_have_values_without_types() {
    let lines = encoded(&encoder(Format::Json, Compression::None, ValueForm::Plain, &[]), &changes());
    let first: Value = serde_json::from_slice(lines.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(
        first["dynamodb"]["NewImage"],
        json!({
            "id": "a", "total": 12.5, "big": "12345678901234567890", "name": "a \"b\", c\n", "paid": true, "blob": "AP8=",
            "lines": [{"sku": "x"}, 2], "tags": ["t1", "t2"],
        })
    );
    assert_eq!(first["dynamodb"]["Keys"], json!({"id": "a"}));
    assert_eq!(first["dynamodb"]["SequenceNumber"], "100000000000000000003");
}

#[test]
fn compressed_text_is_the_text() {
    let plain = encoded(&encoder(Format::Json, Compression::None, ValueForm::Plain, &[]), &changes());
    let gzip = encoded(&encoder(Format::Json, Compression::Gzip, ValueForm::Plain, &[]), &changes());
    let zstd = encoded(&encoder(Format::Json, Compression::Zstd, ValueForm::Plain, &[]), &changes());
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(gzip.as_slice()).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain);
    assert_eq!(zstd::decode_all(zstd.as_slice()).unwrap(), plain);
    assert_eq!(gzip[4..8], [0; 4], "no time of its making");
}

#[test]
fn csv_has_the_fixed_columns_and_the_chosen_ones() {
    let text = encoded(&encoder(Format::Csv, Compression::None, ValueForm::Plain, &CHOSEN), &changes());
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(header, FIXED.into_iter().chain(CHOSEN.map(|(name, _)| name)).collect::<Vec<_>>());
    let lines: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    let shard = "shardId-00000001535365800000-00000007";
    let (keys, new) = (r#"{"id":"a"}"#, &lines[0][8]);
    assert_eq!(serde_json::from_str::<Value>(new).unwrap()["name"], "a \"b\", c\n");
    assert_eq!(
        lines[0].iter().collect::<Vec<_>>(),
        [
            "Orders",
            "INSERT",
            &records().event_id(&changes()[0]).to_string(),
            shard,
            "100000000000000000003",
            "3",
            "2018-08-27T10:30:05.681Z",
            keys,
            new,
            "",
            "false",
            "12.50",
            "AP8=",
            r#"[{"sku":"x"},2]"#,
            "",
            "a",
            "true",
            "2",
            "x",
            "12.5",
        ]
    );
    let chosen = |line: usize| lines[line].iter().skip(FIXED.len()).collect::<Vec<_>>();
    assert_eq!(chosen(1), ["7.00", "", "", "", "b", "", "", "", "7"]);
    // Of a delete there are the keys.
    assert_eq!(chosen(2), ["", "", "", "", "b", "", "", "", ""]);
    assert_eq!(
        (&lines[2][1], &lines[2][8], &lines[2][9], &lines[2][10]),
        ("REMOVE", "", r#"{"id":"b","total":7}"#, "true")
    );
}

#[test]
fn parquet_has_the_same_with_types() {
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let file = encoded(&encoder(Format::Parquet, compression, ValueForm::Plain, &CHOSEN), &changes());
        let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 1);
        assert_eq!(reader.metadata().file_metadata().created_by(), Some("tailrace"));
        let rows: Vec<BTreeMap<String, Field>> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect())
            .collect();
        let text = |text: &str| Field::Str(text.to_owned());
        let first = &rows[0];
        assert_eq!(first.len(), FIXED.len() + CHOSEN.len());
        assert_eq!(first["table"], text("Orders"));
        assert_eq!(first["event_name"], text("INSERT"));
        assert_eq!(first["sequence_number"], text("100000000000000000003"));
        assert_eq!(first["lsn"], Field::Long(3));
        assert_eq!(first["event_time"], Field::TimestampMillis(1_535_365_805_681));
        assert_eq!(first["keys"], text(r#"{"id":"a"}"#));
        assert_eq!(first["old_image"], Field::Null);
        assert_eq!(first["is_ttl"], Field::Bool(false));
        assert_eq!(first["amount"].to_string(), "12.50");
        assert_eq!(first["blob"], Field::Bytes(vec![0, 255].into()));
        assert_eq!(first["doc"], text(r#"[{"sku":"x"},2]"#));
        assert_eq!(first["huge"], Field::Null, "it does not fit 64 bits");
        assert_eq!(
            (&first["paid"], &first["second"], &first["total"]),
            (&Field::Bool(true), &Field::Long(2), &Field::Double(12.5))
        );
        assert_eq!((&rows[1]["total"], &rows[1]["sku"]), (&Field::Double(7.0), &Field::Null));
        assert_eq!((&rows[2]["is_ttl"], &rows[2]["new_image"]), (&Field::Bool(true), &Field::Null));
        assert_eq!((&rows[2]["item"], &rows[2]["old_image"]), (&text("b"), &text(r#"{"id":"b","total":7}"#)));
    }
}

/// The bytes of each format. Who changes them changes what a repeat after an upgrade writes, and says so in the changelog.
#[test]
fn the_bytes_of_each_format_stay_what_they_are() {
    let shas: Vec<String> = [
        (Format::Json, Compression::None),
        (Format::Json, Compression::Gzip),
        (Format::Json, Compression::Zstd),
        (Format::Csv, Compression::None),
        (Format::Parquet, Compression::None),
        (Format::Parquet, Compression::Snappy),
        (Format::Parquet, Compression::Zstd),
    ]
    .into_iter()
    .map(|(format, compression)| {
        let columns: &[_] = if format == Format::Json { &[] } else { &CHOSEN };
        let bytes = encoded(&encoder(format, compression, ValueForm::DynamodbJson, columns), &changes());
        format!("{format:?} {compression:?} {}", &hex(&Sha256::digest(bytes))[..16])
    })
    .collect();
    let golden = [
        "Json None 87d4166a92c58d32",
        "Json Gzip 8e6bd1e1f5307006",
        "Json Zstd f1b2868b99fa0ec1",
        "Csv None c18d99f410d48c36",
        "Parquet None c797645932e85069",
        "Parquet Snappy 1798cc4663231fe8",
        "Parquet Zstd 7e49949941c8350c",
    ];
    assert_eq!(shas, golden);
}

/// Leaves of a document with the steps to them.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves(value, &format!("{path}[{}]", json!(name)), found));
        }
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, value)| leaves(value, &format!("{path}[{index}]"), found));
        }
        scalar => found.push((path.to_owned(), scalar.clone())),
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        "[a-c]{0,3}".prop_map(|text| json!({"S": text})),
        any::<i32>().prop_map(|number| json!({"N": number.to_string()})),
        Just(json!({"N": "123456789012345678901"})),
        Just(json!({"B": "AQI="})),
        any::<bool>().prop_map(|value| json!({"BOOL": value})),
        Just(json!({"NULL": true})),
        Just(json!({"SS": ["a", "b"]})),
        Just(json!({"NS": ["1", "2.5"]})),
        Just(json!({"BS": ["AQ==", "Ag=="]})),
    ];
    scalar.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|elements| json!({"L": elements})),
            prop::collection::btree_map("[a-cSMN]", inner, 0..3).prop_map(|members| json!({"M": members})),
        ]
    })
}

proptest! {
    /// docs/spec/sinks.md 2.3: a path finds in the stored record what it finds in its line.
    #[test]
    fn paths_see_the_record_as_its_line_has_it(
        old in prop::collection::btree_map("[a-c]{1,2}", any_value(), 0..4),
        new in prop::option::of(prop::collection::btree_map("[a-c]{1,2}", any_value(), 0..4)),
        plain in any::<bool>(),
        by_service in any::<bool>(),
    ) {
        let values = if plain { ValueForm::Plain } else { ValueForm::DynamodbJson };
        let mut record = change(3, "x", Some(json!(old)), new.map(|new| json!(new)));
        record.meta.by_service = by_service;
        let line = encoded(&encoder(Format::Json, Compression::None, values, &[]), std::slice::from_ref(&record));
        let line: Value = serde_json::from_slice(&line).unwrap();
        let (source, writer) = (source(), records());
        let document = RecordDocument { record: &record, source: &source, writer: &writer, values }.root();
        let mut found = Vec::new();
        leaves(&line, ".", &mut found);
        prop_assert!(found.len() > 8);
        for (path, _) in found {
            let expression = Expression::parse(&path).unwrap();
            let mut expect = expression.find(&&line).unwrap();
            if path.ends_with(r#"["ApproximateCreationDateTime"]"#) {
                expect = Some(record.time_ms.seconds().to_string());
            }
            prop_assert_eq!(expression.find(&document).unwrap(), expect, "{} of {}", path, line);
            let further = Expression::parse(&format!("{path}.a")).unwrap();
            prop_assert_eq!(further.find(&document).unwrap(), None);
        }
        prop_assert!(document.member("nothing").unwrap().is_none());
    }
}
