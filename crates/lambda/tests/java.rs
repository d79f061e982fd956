//! Java handlers: each form of handler, its types, its context, and what goes wrong. docs/spec/lambda-runtime.md 4, 7.6.
//!
//! They need java in PATH (`JAVA` names another one) and a compiler: javac, or with `TAILRACE_TEST_JARS` the one among the jars
//! in that directory. `cargo xtask test` has both; `--without java` leaves these tests out.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use common::{Bench, is_left_out};
use serde_json::{Value, json};
use tailrace_core::FunctionArn;
use tailrace_core::function::LogLevel;
use tailrace_lambda::{FunctionConfig, FunctionErrorKind, LogStream, Settings};

/// The classes of the handlers in `tests/java`, compiled once; `None`: these tests are left out.
fn classes() -> Option<&'static Path> {
    static CLASSES: OnceLock<PathBuf> = OnceLock::new();
    if is_left_out("java") {
        eprintln!("left out: it needs java");
        return None;
    }
    Some(CLASSES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let classes = Path::new(env!("CARGO_TARGET_TMPDIR")).join("java-handlers");
        let _ = std::fs::remove_dir_all(&classes);
        let mut compiler = match std::env::var_os("TAILRACE_TEST_JARS") {
            Some(jars) => {
                let mut java = Command::new("java");
                java.arg("-classpath").arg(Path::new(&jars).join("*"));
                java.args(["org.eclipse.jdt.internal.compiler.batch.Main", "-17", "-proc:none", "-nowarn"]);
                java
            }
            None => Command::new("javac"),
        };
        let sources = std::fs::read_dir(root.join("tests/java/shop")).unwrap().map(|entry| entry.unwrap().path());
        compiler.args(["-encoding", "UTF-8", "-classpath"]).arg(root.join("src/java/tailrace-runtime.jar"));
        let compiled = compiler.arg("-d").arg(&classes).args(sources).status();
        let needs = "these tests need java and javac in PATH; `cargo xtask test --without java` leaves them out";
        assert!(compiled.expect(needs).success());
        classes
    }))
}

fn bench_with(change: impl FnOnce(&mut Settings)) -> Bench {
    Bench::with(|settings| {
        settings.java = std::env::var_os("JAVA").map(Into::into);
        change(settings);
    })
}

fn config(handler: &str, code_dir: &Path) -> FunctionConfig {
    let mut config = FunctionConfig::new("f", FunctionArn::new(common::ARN), "java17", handler, code_dir);
    config.memory_mb = 256;
    config.timeout_s = 60;
    // A runtime that is slow to ask for the next event gets no second one beside it.
    config.reserved_concurrency = Some(1);
    config
}

/// A pool with the function `f`.
fn with_handler(handler: &str, classes: &Path) -> Bench {
    let bench = bench_with(|_| ());
    bench.functions.put(config(handler, classes)).unwrap();
    bench
}

/// Row 7.6: a method is a handler by its parameters; of several the longest list, one that ends with the context before others.
#[tokio::test]
async fn each_form_of_method_is_a_handler() {
    let Some(classes) = classes() else { return };
    for (method, event, expected) in [
        ("none", "1", "\"none\""),
        ("plus", r#"{"n":1}"#, "2"),
        ("fixed", "\"a\"", "\"a f\""),
        ("onlyContext", "{}", "\"$LATEST\""),
        ("sum", "[1,2,3000000000]", "3000000003"),
        ("nothing", "{}", "null"),
        ("same", r#"{"a":[1,-2.5,1e400,true,null,"ü\n"]}"#, r#"{"a":[1,-2.5,"Infinity",true,null,"ü\n"]}"#),
        ("wrapped", r#"{"a": 1}"#, r#"[{"a": 1}]"#),
        ("copied", " {}", " {}"),
        ("written", "{}", "7"),
        ("read", "{}", ""),
        ("many", "{}", "\"with a context\""),
    ] {
        let bench = with_handler(&format!("shop.Methods::{method}"), classes);
        assert_eq!(bench.result(event).await, expected, "{method}");
        bench.stop().await;
    }
    let bench = with_handler("shop.Methods::counts", classes);
    assert_eq!(bench.result("\"\"").await, "1");
    assert_eq!(bench.result("\"\"").await, "2", "an object of the class is made once");
    bench.stop().await;
}

/// Row 7.6: the two interfaces, also where the types come from a class above.
#[tokio::test]
async fn a_class_that_implements_an_interface_is_a_handler() {
    let Some(classes) = classes() else { return };
    for (class, event, expected) in [
        ("Bases$Streamed", r#"{"a":1}"#, r#"{"bytes":7}"#),
        ("Bases$OfNumbers", "[5]", "\"Long: 5\""),
        (
            "Bases$OfLines",
            r#"[{"name":"x","count":2,"sizes":{"a":[1]}}]"#,
            r#""Line: Line[name=x, count=2, price=null, sizes={a=[1]}]""#,
        ),
        (
            "Bases$Mapped",
            r#"{"i":1,"l":3000000000,"b":99999999999999999999,"d":1.5,"s":"","t":true,"m":{},"a":[],"n":null}"#,
            concat!(
                r#"{"i":"Integer","l":"Long","b":"BigInteger","d":"Double","s":"String","t":"Boolean","#,
                r#""m":"LinkedHashMap","a":"ArrayList","n":"null"}"#
            ),
        ),
    ] {
        let bench = with_handler(&format!("shop.{class}"), classes);
        assert_eq!(bench.result(event).await, expected, "{class}");
        bench.stop().await;
    }
}

/// Row 7.6: members of every kind go in and come out; what is unknown is passed over, and what is null is left out.
#[tokio::test]
async fn a_class_of_the_functions_own_is_made_of_an_event_and_back() {
    let Some(classes) = classes() else { return };
    let bench = with_handler("shop.Orders", classes);
    let event = json!({
        "id": 17, "state": "PAID", "unknown": {"a": [1]}, "hidden": "not set: there is no setter", "tags": "one",
        "lines": [{"name": "a", "count": "2", "price": 1.25, "sizes": {"s": [1, 2]}}, {"price": "0.10", "count": 3}],
        "made": 1_700_000_000_123_u64, "seen": "2024-02-29T12:00:00.5Z", "gift": true, "key": "AQI=", "weights": [1, 2.5],
        "note": "here", "URL": "u",
    });
    let answer: Value = serde_json::from_str(&bench.result(&event.to_string()).await).unwrap();
    let order = json!({
        "id": "17", "state": "PAID", "hidden": "as it was", "tags": ["one"],
        "lines": [
            {"name": "a", "count": 2, "price": 1.25, "sizes": {"s": [1, 2]}}, {"count": 3, "price": 0.1},
        ],
        "made": 1_700_000_000_123_u64, "seen": 1_709_208_000.5, "gift": true, "key": "AQI=", "weights": [1.0, 2.5],
        "note": "here", "URL": "u",
    });
    assert_eq!(answer, json!({"total": 2.8, "order": order, "parts": ["one"], "extra": {"nan": "NaN"}}));

    // The least, and texts that stand for nothing.
    let answer: Value =
        serde_json::from_str(&bench.result(r#"{"state":"UNKNOWN","lines":[],"gift":null}"#).await).unwrap();
    let order = json!({"lines": [], "gift": false, "hidden": "as it was", "note": null});
    assert_eq!(answer, json!({"total": 0, "order": order, "extra": {"nan": "NaN"}}));
    bench.stop().await;
}

#[tokio::test]
async fn the_context_is_filled() {
    let Some(classes) = classes() else { return };
    let bench = bench_with(|_| ());
    let mut config = config("shop.Told::context", classes);
    config.timeout_s = 7;
    config.environment.insert("OWN".into(), "mine".into());
    bench.functions.put(config).unwrap();
    assert_eq!(
        bench.result_with_contexts().await,
        json!({
            "event": {"t": "ü"}, "id": "11111111-2222-4333-8444-555555555555", "arn": common::ARN, "name": "f",
            "version": "$LATEST", "memory": 256, "group": "/aws/lambda/f", "stream": true, "remaining": true,
            "custom": {"k": "ü"}, "identity": "ip", "trace": true, "runtime": "AWS_Lambda_java17", "own": "mine",
            "root": true, "temporary": true, "home": true,
        })
    );
    bench.stop().await;
}

/// Row 10: each entry of the log is a line of its own, and nothing is held back.
#[tokio::test]
async fn what_a_handler_prints_and_logs_is_shown_line_by_line() {
    let Some(classes) = classes() else { return };
    let mut bench = with_handler("shop.Told::prints", classes);
    assert_eq!(bench.result("{}").await, "null");
    bench.functions.stop(Duration::from_secs(5)).await;
    let lines = bench.lines_left();
    let of = |stream| -> Vec<String> {
        lines.iter().filter(|line| line.stream == stream).map(|line| line.text.clone()).collect()
    };
    assert_eq!(
        of(LogStream::Stdout),
        ["Grüße", "a piece, and its end", "logged", "[INFO] logged with a level", "logged without a context"]
    );
    assert_eq!(of(LogStream::Stderr), ["an error"]);
}

/// Section 10: what loggers are given and what fails is JSON where that is asked for, from a level on; what is printed is not.
#[tokio::test]
async fn what_a_java_handler_logs_is_json_where_that_is_asked_for() {
    let Some(classes) = classes() else { return };
    let mut bench = bench_with(|_| ());
    let mut config = config("shop.Told::logs", classes);
    config.logging.json = true;
    config.logging.application_level = Some(LogLevel::Warn);
    bench.functions.put(config).unwrap();
    let (_, _, request_id) = bench.error("{}").await;
    bench.functions.stop(Duration::from_secs(5)).await;
    let lines: Vec<String> =
        bench.lines_left().into_iter().filter(|line| line.stream == LogStream::Stdout).map(|line| line.text).collect();
    assert_eq!((lines[0].as_str(), lines[1].as_str(), lines.len()), ("printed", "bytes as they are", 6), "{lines:?}");
    let texts = [
        "of no level",
        "Gr\u{fc}\u{df}e\nin two lines",
        "without a context",
        "no good: java.lang.IllegalStateException",
    ];
    let levels = ["UNDEFINED", "WARN", "ERROR", "ERROR"];
    for (line, (text, level)) in lines[2..].iter().zip(texts.into_iter().zip(levels)) {
        let line: Value = serde_json::from_str(line).unwrap();
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{line}");
        assert_eq!((&line["level"], &line["AWSRequestId"]), (&json!(level), &json!(request_id)), "{line}");
        assert!(line["message"].as_str().unwrap().starts_with(text), "{line}");
    }
}

/// Section 4: the documents of errors, and what is left of the process.
#[tokio::test]
async fn an_error_of_a_handler_is_told_as_lambda_tells_it() {
    let Some(classes) = classes() else { return };
    let bench = with_handler("shop.Failing::run", classes);
    let how = |how: &str| json!({ "how": how }).to_string();
    let first = bench.result(&how("well")).await;
    for (way, error_type, message) in [
        ("throws", "java.lang.IllegalStateException", "no good"),
        ("says nothing", "java.lang.UnsupportedOperationException", "java.lang.UnsupportedOperationException"),
        ("cannot be described", "shop.Failing$Undescribed", "shop.Failing$Undescribed"),
        ("goes in a circle", "java.lang.RuntimeException", "An error occurred during JSON serialization of response"),
    ] {
        let (document, kind, _) = bench.error(&how(way)).await;
        assert_eq!(kind, FunctionErrorKind::Handler, "{document}");
        assert_eq!((&document["errorType"], &document["errorMessage"]), (&json!(error_type), &json!(message)), "{way}");
        let trace = document["stackTrace"].as_array().unwrap();
        assert!(!trace.iter().any(|frame| frame.as_str().unwrap().contains("tailrace.runtime")), "{document}");
        if way != "goes in a circle" {
            let frame = trace[0].as_str().unwrap();
            assert!(frame.starts_with("shop.Failing.run(Failing.java:"), "{frame}");
        }
        assert_eq!(bench.result(&how("well")).await, first, "the process goes on after {way}");
    }
    assert_eq!(bench.result(&how("interrupts itself")).await, "\"done\"");
    assert_eq!(bench.result(&how("well")).await, first);
    bench.stop().await;
}

#[tokio::test]
async fn an_error_that_leaves_nothing_sound_ends_the_process() {
    let Some(classes) = classes() else { return };
    for (way, error_type, message) in [
        ("takes all memory", "java.lang.OutOfMemoryError", "Java heap space"),
        ("goes too deep", "java.lang.StackOverflowError", "java.lang.StackOverflowError"),
        ("exits", "Runtime.ExitError", "Runtime exited with error: exit status 3"),
        ("ends", "Runtime.ExitError", "Runtime exited without providing a reason"),
        ("is killed", "Runtime.ExitError", "Runtime exited with error: signal: killed"),
        ("hangs", "Sandbox.Timedout", "Task timed out after 10.00 seconds"),
    ] {
        let bench = bench_with(|_| ());
        let mut config = config("shop.Failing::run", classes);
        if way == "hangs" {
            config.timeout_s = 10;
        }
        bench.functions.put(config).unwrap();
        let well = json!({ "how": "well" }).to_string();
        let first = bench.result(&well).await;
        let (document, _, _) = bench.error(&json!({ "how": way }).to_string()).await;
        assert_eq!(document["errorType"], error_type, "{way}: {document}");
        assert!(document["errorMessage"].as_str().unwrap().ends_with(message), "{way}: {document}");
        assert_ne!(bench.result(&well).await, first, "another process after {way}");
        bench.stop().await;
    }
}

/// Events that are not what the handler takes fail as on AWS, and say in the log why.
#[tokio::test]
async fn an_event_of_another_type_is_an_error_of_the_parsing() {
    let Some(classes) = classes() else { return };
    for event in [r#"["a"]"#, "[[1,2]]", r#"{"a":1}"#, "[99999999999]"] {
        let mut bench = with_handler("shop.Failing::numbers", classes);
        let (document, _, _) = bench.error(event).await;
        assert_eq!(document["errorType"], "java.lang.RuntimeException", "{document}");
        assert_eq!(document["errorMessage"], "An error occurred during JSON parsing");
        let line = bench.line().await.text;
        assert!(line.contains("Caused by: java.lang.IllegalArgumentException"), "{line}");
        bench.stop().await;
    }
}

/// Row 7.6: what cannot be loaded, with AWS's words, and what helps behind them.
#[tokio::test]
async fn what_cannot_be_loaded_is_told_with_what_helps() {
    let Some(classes) = classes() else { return };
    let vague = "does not implement RequestHandler with concrete type parameters";
    for (handler, error_type, message) in [
        ("", None, "Invalid handler: `'".to_owned()),
        ("shop.Methods::", None, "Invalid handler: `shop.Methods::'".to_owned()),
        ("a::b::c", None, "Invalid handler: `a::b::c'".to_owned()),
        (
            "shop.Missing::run",
            Some("java.lang.ClassNotFoundException"),
            format!(
                "Class not found: shop.Missing\nthere is no shop/Missing.class in {} or in a jar of its lib folder",
                classes.canonicalize().unwrap().display()
            ),
        ),
        (
            "shop.Methods::missing",
            None,
            "No public method named missing with appropriate method signature found on class shop.Methods".to_owned(),
        ),
        (
            "shop.Methods::unusable",
            None,
            "No public method named unusable with appropriate method signature found on class shop.Methods".to_owned(),
        ),
        ("shop.Methods", None, "Class does not implement an appropriate handler interface: shop.Methods".to_owned()),
        ("shop.Bases$Raw", None, format!("Class shop.Bases$Raw {vague}")),
        ("shop.Bases$Open", None, format!("Class shop.Bases$Open {vague}: parameter T has no upper bound.")),
        (
            "shop.Bases$Inner",
            Some("java.lang.Exception"),
            "Class shop.Bases$Inner cannot be instantiated because it is a non-static inner class".to_owned(),
        ),
        (
            "shop.Bases$WithArgument",
            Some("java.lang.Exception"),
            "Class shop.Bases$WithArgument has no public zero-argument constructor".to_owned(),
        ),
        ("shop.Bases$Throwing", Some("java.lang.IllegalStateException"), "no table is named".to_owned()),
    ] {
        let bench = with_handler(handler, classes);
        let (document, kind, _) = bench.error("{}").await;
        assert_eq!(kind, FunctionErrorKind::Init, "{document}");
        assert_eq!(document["errorMessage"], json!(message), "{handler}");
        assert_eq!(document.get("errorType").and_then(Value::as_str), error_type, "{handler}");
        bench.stop().await;
    }
    let bench = with_handler("shop.Bases$Static", classes);
    let (document, _, _) = bench.error("{}").await;
    assert_eq!(document["errorType"], "java.lang.NullPointerException");
    assert!(
        document["errorMessage"].as_str().unwrap().starts_with("Error loading class shop.Bases$Static: "),
        "{document}"
    );
    bench.stop().await;
}

/// A class of a later Java, a class whose package lacks another one, and a project that nobody has built.
#[tokio::test]
async fn code_that_is_not_whole_is_told_with_what_helps() {
    let Some(classes) = classes() else { return };
    let bench = bench_with(|_| ());
    let error_of = async |handler: &str| {
        bench.functions.put(config(handler, &bench.code_dir())).unwrap();
        bench.error("{}").await.0
    };
    bench.write("pom.xml", "<project/>");
    let document = error_of("shop.Methods::none").await;
    let dir = bench.code_dir().canonicalize().unwrap().display().to_string();
    assert_eq!(
        document["errorMessage"],
        json!(format!(
            "Class not found: shop.Methods\n{dir} has a pom.xml and is not built: run `sam build` where SAM builds the function, \
             or `mvn package` and let CodeUri name the jar"
        ))
    );

    let mut class = std::fs::read(classes.join("shop/Methods.class")).unwrap();
    // The number of its format: far behind that of any Java.
    class[6..8].copy_from_slice(&[0x7f, 0]);
    std::fs::create_dir(bench.code_dir().join("shop")).unwrap();
    std::fs::write(bench.code_dir().join("shop/Methods.class"), class).unwrap();
    let document = error_of("shop.Methods::plus").await;
    assert_eq!(document["errorType"], "java.lang.UnsupportedClassVersionError");
    assert!(document["errorMessage"].as_str().unwrap().ends_with("): a later one in PATH runs it"), "{document}");

    std::fs::copy(classes.join("shop/Bases$OfLines.class"), bench.code_dir().join("shop/Bases$OfLines.class")).unwrap();
    let document = error_of("shop.Bases$OfLines").await;
    assert_eq!(
        document["errorMessage"],
        "Error loading class shop.Bases$OfLines: shop/Bases$Base\n\
         the function's package lacks it: it belongs into its jar, or into lib beside its classes"
    );
    bench.stop().await;
}

/// The function's `lib`, and the layers' `java/lib`, as the class path has them.
#[tokio::test]
async fn classes_come_from_the_directory_its_lib_and_the_layers() {
    let Some(classes) = classes() else { return };
    for (place, is_layer) in [("code/lib/shop.jar", false), ("layer/java/lib/shop.jar", true)] {
        let bench = bench_with(|_| ());
        let jar = bench.dir.path().join(place);
        std::fs::create_dir_all(jar.parent().unwrap()).unwrap();
        pack(classes, &jar);
        let mut config = config("shop.Methods::none", &bench.code_dir());
        if is_layer {
            config.layers.push(bench.dir.path().join("layer"));
        }
        bench.functions.put(config).unwrap();
        assert_eq!(bench.result("{}").await, "\"none\"", "{place}");
        bench.stop().await;
    }
}

/// A jar of classes.
fn pack(classes: &Path, jar: &Path) {
    let mut writer = zip::ZipWriter::new(std::fs::File::create(jar).unwrap());
    for entry in std::fs::read_dir(classes.join("shop")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("shop/{}", path.file_name().unwrap().to_str().unwrap());
        writer
            .start_file(
                name,
                zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored),
            )
            .unwrap();
        std::io::Write::write_all(&mut writer, &std::fs::read(path).unwrap()).unwrap();
    }
    writer.finish().unwrap();
}

/// It needs no Java: one that is not there is told at the start of a server, and again by an invocation.
#[tokio::test]
async fn a_java_that_does_not_run_is_missed_by_name() {
    let mut bench = Bench::with(|settings| settings.java = Some("/no/such/java".into()));
    bench.functions.put(config("a.B", &bench.code_dir())).unwrap();
    bench.functions.look_for_interpreter("f").await;
    assert_eq!(bench.line().await.text, "/no/such/java does not run as Java 11 or later");
    let outcome = format!("{:?}", bench.invoke("{}").await);
    assert!(outcome.contains("/no/such/java does not run as Java 11 or later"), "{outcome}");
    bench.stop().await;
}

/// The runtime's version is preferred; another one is told once.
#[tokio::test]
async fn the_java_in_use_is_told_when_it_is_another() {
    let Some(classes) = classes() else { return };
    let mut bench = Bench::with(|settings| settings.java = None);
    let mut config = config("shop.Methods::none", classes);
    config.runtime = "java8.al2".into();
    bench.functions.put(config).unwrap();
    assert_eq!(bench.result("{}").await, "\"none\"");
    let line = bench.line().await;
    assert_eq!(line.stream, LogStream::Notice);
    assert!(line.text.starts_with("the runtime of f is java8.al2; it runs with Java "), "{}", line.text);
    assert_eq!(bench.lines_left(), []);
    bench.stop().await;
}
