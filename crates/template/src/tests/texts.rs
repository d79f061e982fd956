//! Templates as texts: what they are relative to, how scalars are written.

use super::*;
use crate::node::Node;

/// A path of this machine.
pub(super) fn at(path: &str) -> CodeSource {
    CodeSource::Path(path.into())
}

#[test]
fn code_is_found_relative_to_the_template() {
    for (property, expected) in [
        ("", "/app"),
        ("CodeUri: .", "/app"),
        ("CodeUri: ./", "/app"),
        ("CodeUri: ./src/", "/app/src"),
        ("CodeUri: ../shared", "/app/../shared"),
        ("CodeUri: /abs/olute", "/abs/olute"),
        ("CodeUri: {Bucket: local-dir, Key: /else/where}", "/else/where"),
    ] {
        assert_eq!(plan(&function_with(property)).functions[0].code, at(expected), "{property}");
    }
}

#[test]
fn malformed_templates_are_told_so() {
    check_error("[]", "the template is malformed: a map with Resources is expected");
    check_error("Other: {}", "Resources: there are none");
    check_error("Resources:\n", "Resources: there are none");
    check_error("Resources: []", "Resources: a map is expected");
    check_error("Resources: {A: {}}", "Resources.A: there is no Type");
    check_error(
        "Resources: {A: {Type: AWS::Serverless::SimpleTable, Properties: []}}",
        "Resources.A.Properties: a map is expected, not a list",
    );
    check_error(
        "Resources: {A: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: Bee}}, Bee: {Type: AWS::Serverless::SimpleTable}}",
        "Resources.Bee: the table name \"Bee\" is taken by A",
    );
    for text in ["Resources: {", "{\"Resources\": "] {
        assert!(matches!(plan_with(text, &Options::default()), Err(TemplateError::Malformed(_))), "{text}");
    }
    let transform = plan("Transform: [AWS::Serverless-2016-10-31, Mine]\nResources: {}");
    assert_eq!(transform.skipped, ["Transform: \"Mine\" is not applied"]);
}

/// What a variable of a function is, in YAML, or in JSON.
#[track_caller]
fn variable(written: &str, more: &str, json: bool) -> String {
    let template = match json {
        false => function_with(&format!("Environment: {{Variables: {{VALUE: {written}}}}}\n{more}")),
        true => format!(
            r#"{{"Resources": {{"F": {{"Type": "AWS::Serverless::Function", "Properties": {{
            "Handler": "app.handler", "Runtime": "python3.12", "Environment": {{"Variables": {{"VALUE": {written}}}}}}}}}}}{more}}}"#
        ),
    };
    plan(&template).functions[0].environment["VALUE"].resolve(|_| None).unwrap()
}

#[test]
fn scalars_stay_as_they_are_written() {
    for written in [
        "1.10",
        "1e3",
        "0x1F",
        "-0.0",
        "1_000",
        "007",
        "+5",
        "0o17",
        "1.",
        ".5",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        "yes",
        "2010-09-09",
        "1.10.2",
    ] {
        assert_eq!(variable(written, "", false), written);
        let more = format!("\nParameters: {{P: {{Type: String, Default: {written}}}}}");
        assert_eq!(variable("!Ref P", &more, false), written);
        assert_eq!(variable(&format!("!Sub {written}"), "", false), written);
        let aliased =
            function_with(&format!("Environment: {{Variables: {{FIRST: &anchor {written}, SECOND: *anchor}}}}"));
        let environment = &plan(&aliased).functions[0].environment;
        assert_eq!(environment["SECOND"], Text::literal(written));
    }
    assert_eq!(variable("!Join [-, [1.10, 2.50]]", "", false), "1.10-2.50");
    for written in ["1.10", "1e3", "1E+2", "18446744073709551616"] {
        assert_eq!(variable(written, "", true), written);
        let more = format!(r#", "Parameters": {{"P": {{"Type": "Number", "Default": {written}}}}}"#);
        assert_eq!(variable(r#"{"Ref": "P"}"#, &more, true), written);
    }
    // Where a number is meant it may be written in any way.
    for (written, expected) in [("0x1F", 31), ("0o17", 15), ("1e2", 100), ("10.0", 10), ("'20'", 20), ("+5", 5)] {
        assert_eq!(plan(&function_with(&format!("Timeout: {written}"))).functions[0].timeout_s, expected, "{written}");
    }
    check_error(
        &used_function_with("Timeout: 1.5"),
        "Resources.F.Properties.Timeout: an integer from 1 to 900 is expected, not 1.5",
    );
    for (written, expected) in [
        ("'True'", true),
        ("TRUE", true),
        ("yes", true),
        ("on", true),
        ("'False'", false),
        ("no", false),
        ("off", false),
    ] {
        assert_eq!(plan(&mapping_with(&format!("Enabled: {written}"))).mappings[0].enabled, expected, "{written}");
    }
}

#[test]
fn merge_keys_are_merged() {
    let template = "
Transform: AWS::Serverless-2016-10-31
Metadata: {a: &a {TableName: first, Foo: 1}, b: &b {TableName: second}}
Resources:
  A: {Type: AWS::Serverless::SimpleTable, Properties: {<<: *a, Foo: !Ref AWS::NoValue}}
  B: {Type: AWS::Serverless::SimpleTable, Properties: {<<: [*b, *a], Foo: !Ref AWS::NoValue}}
";
    let plan = plan(template);
    assert_eq!(plan.tables.iter().map(|table| table.name()).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(plan.skipped, Vec::<String>::new());
}

#[test]
fn a_byte_order_mark_is_no_text() {
    plan_with("\u{feff}Resources: {}", &Options::default()).unwrap();
    parse("\u{feff}{\"Resources\": {}}", Format::Json, &Options::default()).unwrap();
}

#[test]
fn a_dash_alone_is_a_text() {
    for (written, expected) in [
        ("!Join [-, [a, b]]", "a-b"),
        ("!Join [ -, [a, b]]", "a-b"),
        ("!Join ['-,', [a, b]]", "a-,b"),
        ("!Join [\", -]\", [a, b]]", "a, -]b"),
        ("!Join [x -, [a, b]]", "ax -b"),
        ("!Join [\u{E000}, [a, -]]", "a\u{E000}-"),
        ("!Select [0, [-]]", "-"),
    ] {
        assert_eq!(variable(written, "", false), expected, "{written}");
    }
    let block = function_with(
        "Environment:\n        Variables:\n          VALUE: |\n            - [-, {-}]\n            -, -\n",
    );
    let function = &plan(&block).functions[0];
    assert_eq!(function.environment["VALUE"], Text::literal("- [-, {-}]\n-, -\n"));
}

#[test]
fn what_is_wrong_with_a_text_is_told_with_its_place() {
    let malformed = |text: &str| match plan_with(text, &Options::default()) {
        Err(TemplateError::Malformed(message)) => message,
        other => panic!("{text}: {other:?}"),
    };
    for (text, expected) in [
        (
            "Resources:\n  A:\n    Type: x\n    Type: y\n",
            "Resources.A: the key \"Type\" is given twice at line 4 column 5",
        ),
        ("Resources:\n  A: {a: 1, a: 2}", "Resources.A: the key \"a\" is given twice at line 2 column 13"),
        ("A: {<<: {}, <<: {}}", "A: the key \"<<\" is given twice at line 1 column 13"),
        ("A:\n  <<: 5", "A: a map is expected behind `<<`, not 5 at line 2 column 3"),
        ("A: {[a]: 1}", "A: a text is expected as a key at line 1 column 5"),
        ("A: [&a [*a]]", "A.0.0: an alias stands inside of what it names at line 1 column 9"),
        ("A: *none", "while parsing node, found unknown anchor at line 1 column 4"),
        ("A: 1\n---\nB: 1", "there is more than one document at line 3 column 1"),
        ("A: b: c", "mapping values are not allowed in this context at line 1 column 5"),
    ] {
        assert_eq!(malformed(text), expected, "{text}");
    }
    let nested = |open: &str, close: &str| format!("A: {}{}", open.repeat(200), close.repeat(200));
    for text in [nested("[", "]"), nested("{a: ", "}")] {
        let message = malformed(&text);
        assert!(message.contains("maps and lists are nested too deeply at line 1"), "{message}");
    }
}

/// An alias at the bottom of each level of what the next one names: no line is nested too deeply, and together they are.
#[test]
fn aliases_cannot_nest_deeper_than_a_text_may() {
    let mut text = "A0: &a0 x\n".to_owned();
    for n in 1..80 {
        text += &format!("A{n}: &a{n} {}*a{}{}\n", "{a: ".repeat(100), n - 1, "}".repeat(100));
    }
    let message = Node::parse(&text, Format::Yaml).unwrap_err().to_string();
    assert!(message.contains("maps and lists are nested too deeply at line 3"), "{message}");
}

/// Nine aliases of nine aliases of nine: a text of a few hundred bytes that stands for thousands of millions of values.
#[test]
fn aliases_cannot_blow_a_template_up() {
    let mut text = "A0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        text += &format!("A{n}: &a{n} [{aliases}]\n");
    }
    let error = plan_with(&text, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("with its aliases the text has more than 500000 values at line 6"), "{error}");
}

proptest::proptest! {
    /// Whatever a text is, it is read or refused.
    #[test]
    fn no_text_panics(words in proptest::collection::vec("[-:,\\[\\]{}&*!#|>'\"%@?~< a1\n\t\u{e9}\u{E000}]{0,3}", 0..40)) {
        let text = words.concat();
        let _ = plan_with(&text, &Options::default());
        let _ = plan_with(&format!("Resources:\n  A: {text}"), &Options::default());
    }
}

/// Looking each key up in all before it would take minutes.
#[test]
fn a_map_of_very_many_keys_is_read() {
    let keys = 0..60_000;
    let yaml: String = keys.clone().map(|n| format!(" k{n}: 1\n")).collect();
    plan(&format!("Metadata:\n{yaml}Resources: {{}}"));
    let json: Vec<String> = keys.map(|n| format!("\"k{n}\": 1")).collect();
    plan(&format!("{{\"Metadata\": {{{}}}, \"Resources\": {{}}}}", json.join(", ")));
}
