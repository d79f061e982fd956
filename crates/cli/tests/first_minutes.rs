//! The first five minutes: what a new user meets, in the order in which he does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;

use support::{Process, Tailrace, command, example, run};

/// The example, without a write of its own: its data directory alone is ours.
fn up(data: &tempfile::TempDir, more: &[&str]) -> Tailrace {
    let dir = example();
    Tailrace::start(&[&["up", &*dir.to_string_lossy()], more].concat(), data.path())
}

#[test]
fn the_start_draws_what_there_is_and_says_what_to_try() {
    let data = tempfile::tempdir().unwrap();
    let server = up(&data, &[]);
    let drawn = server.process.stderr_line("--stream-->");
    assert_eq!(drawn, "  GameScores --stream--> level-up (python3.13, batch 100)");
    let endpoint = server.endpoint();
    let put = server.process.stderr_line("put-item");
    assert!(put.contains(&format!("--endpoint-url {endpoint} --region us-east-1 --table-name GameScores")), "{put}");
    assert!(put.ends_with(r#"--item '{"UserId":{"S":"a"}}'"#), "{put}");
    server.process.stderr_line(&format!("tailrace tail GameScores --endpoint {endpoint}"));
    assert_eq!(server.interrupt().code, 0);
}

#[test]
fn colour_is_where_it_is_asked_for() {
    let data = tempfile::tempdir().unwrap();
    for (arguments, drawn) in [
        (&[][..], "  GameScores --stream--> "),
        (&["--color", "always"], "  \x1b[1mGameScores\x1b[0m --stream--> "),
        (&["--color", "never"], "  GameScores --stream--> "),
    ] {
        let server = up(&data, arguments);
        let line = server.process.stderr_line("--stream-->");
        assert!(line.starts_with(drawn), "{arguments:?}: {line:?}");
        assert_eq!(server.interrupt().code, 0);
    }
}

#[test]
fn quiet_says_nothing_but_errors() {
    let (dir, data) = (example(), tempfile::tempdir().unwrap());
    let (dir, data) = (dir.to_string_lossy(), data.path().to_string_lossy());
    let ended = run(&["up", &*dir, "--port", "0", "--exit-when-drained", "--data-dir", &*data, "--quiet"]);
    // A missing interpreter is said all the same: it may be why the function fails.
    let said: Vec<&str> = ended.stderr.lines().filter(|line| !line.contains("no python3.13 in PATH")).collect();
    assert_eq!((ended.code, said), (0, Vec::new()));
    assert!(ended.stdout.contains("just leveled up"), "what functions print is data: {}", ended.stdout);
    let failed = run(&["up", "/nowhere/at/all", "-q"]);
    assert!(failed.stderr.contains("TR0010"), "{}", failed.stderr);
}

#[test]
fn items_are_put_and_queried_in_plain_values() {
    let data = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], data.path());
    let endpoint = server.endpoint();
    let tailrace = |arguments: &[&str]| run(&[arguments, &["--endpoint", &endpoint]].concat());
    assert_eq!(tailrace(&["tables"]).stderr, "there is no table\n");
    let table = r#"{"TableName":"Notes","BillingMode":"PAY_PER_REQUEST","KeySchema":[
        {"AttributeName":"who","KeyType":"HASH"},{"AttributeName":"at","KeyType":"RANGE"}],
        "AttributeDefinitions":[{"AttributeName":"who","AttributeType":"S"},{"AttributeName":"at","AttributeType":"N"}]}"#;
    server.call("DynamoDB_20120810.CreateTable", table);
    let tables = tailrace(&["tables"]).stdout;
    assert!(tables.contains("Notes  who (S), at (N)"), "{tables}");

    for at in ["at=1", "at=5", "at=20"] {
        let put = tailrace(&["put", "Notes", "who=7", at, "text=hello", "big=true"]);
        assert_eq!((put.code, put.stdout.as_str()), (0, ""), "{}", put.stderr);
    }
    let put = tailrace(&["put", "Notes", r#"{"who": "8", "at": 1, "tags": ["a"]}"#]);
    assert_eq!(put.code, 0, "{}", put.stderr);

    let ats = |arguments: &[&str]| -> Vec<i64> {
        let ended = tailrace(&[&["query", "Notes", "7"], arguments].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let items = ended.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        items.map(|item| item["at"].as_i64().unwrap()).collect()
    };
    assert_eq!(ats(&[]), [1, 5, 20]);
    assert_eq!(ats(&["--reverse", "--limit", "2"]), [20, 5]);
    assert_eq!(ats(&["5"]), [5]);
    assert_eq!(ats(&[">=5"]), [5, 20]);
    assert_eq!(ats(&["1..5"]), [1, 5]);
    let typed = tailrace(&["query", "Notes", "8", "--output", "json"]).stdout;
    let typed: serde_json::Value = serde_json::from_str(&typed).unwrap();
    assert_eq!(typed, serde_json::json!({ "who": {"S": "8"}, "at": {"N": "1"}, "tags": {"L": [{"S": "a"}]} }));

    let wrong = tailrace(&["put", "Notes", "who"]);
    assert!(wrong.stderr.contains("\"who\" is not NAME=VALUE [TR0002]"), "{}", wrong.stderr);
    let none = tailrace(&["query", "Nothing", "1"]);
    assert!(none.stderr.contains("ResourceNotFoundException"), "{}", none.stderr);
    assert!(!none.stderr.contains("did you mean"), "{}", none.stderr);
    for slip in [&["query", "Note", "1"][..], &["put", "Note", "id=1"], &["tail", "Note"]] {
        let meant = tailrace(slip);
        assert!(meant.stderr.contains("; did you mean Notes?"), "{slip:?}: {}", meant.stderr);
    }
    assert_eq!(tailrace(&["parked"]).stderr, "no record is parked\n");
}

#[test]
fn a_function_is_invoked_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(&["init", &dir.path().to_string_lossy()]).code, 0);
    let handler = "def handler(event, context):\n    return {'twice': 2 * event['n']}\n";
    std::fs::write(dir.path().join("app.py"), handler).unwrap();
    std::fs::remove_file(dir.path().join("writes.ndjson")).unwrap();
    let server = Tailrace::start(&["up", &dir.path().to_string_lossy()], &dir.path().join("data"));
    let endpoint = server.endpoint();
    let invoke = |arguments: &[&str]| run(&[&["invoke"], arguments, &["--endpoint", &endpoint]].concat());
    let answer = invoke(&["ship", r#"{"n": 21}"#]);
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "{\"twice\":42}\n"), "{}", answer.stderr);
    let failed = invoke(&["ship"]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stdout.contains("KeyError"), "{}", failed.stdout);
    assert_eq!(invoke(&["nothing"]).code, 1);
    assert!(invoke(&["ship", "{"]).stderr.contains("the event is no JSON"));
}

#[test]
fn a_first_project_starts_as_it_is_and_is_never_overwritten() {
    for (flag, handler) in [("--python", "app.py"), ("--node", "app.mjs")] {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("first");
        let path = project.to_string_lossy();
        let made = run(&["init", &path, flag]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        assert!(made.stderr.contains(&format!("tailrace up {path}")), "{}", made.stderr);
        let ended = run(&["up", &path, "--port", "0", "--exit-when-drained"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stdout.contains("ship order 1003"), "{flag}: {}{}", ended.stdout, ended.stderr);

        let mine = "mine";
        std::fs::write(project.join(handler), mine).unwrap();
        std::fs::remove_file(project.join("README.md")).unwrap();
        let again = run(&["init", &path, flag]);
        assert!(again.stderr.contains("is there already, and nothing was written"), "{}", again.stderr);
        assert_eq!(again.code, 1);
        assert_eq!(std::fs::read_to_string(project.join(handler)).unwrap(), mine);
        assert!(!project.join("README.md").exists());
    }
}

#[test]
fn other_machines_reach_it_only_where_that_is_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let refused = run(&["serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", &data.path().to_string_lossy()]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("--insecure") && refused.stderr.contains("TR0002"), "{}", refused.stderr);
    let arguments = ["serve", "--host", "0.0.0.0", "--insecure", "--port", "0", "--data-dir"];
    let server = Process::start(&[&arguments[..], &[&*data.path().to_string_lossy()]].concat());
    server.stderr_line("listening on http://0.0.0.0:");
    assert_eq!(server.interrupt().code, 0);
}

#[test]
fn one_stop_that_comes_as_two_signals_drains() {
    let data = tempfile::tempdir().unwrap();
    for (first, second) in [("INT", "INT"), ("INT", "TERM"), ("TERM", "TERM"), ("TERM", "INT"), ("INT", "INT")] {
        let server = Tailrace::start(&["serve"], data.path());
        server.process.signal_twice(first, second);
        let ended = server.process.wait();
        assert_eq!(ended.code, 0, "{first}, {second}: {}", ended.stderr);
    }
}

#[test]
fn shells_and_man_are_served() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.code, 0, "{}", script.stderr);
        assert!(script.stdout.contains("mappings"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    let pages = run(&["man", &dir.path().join("man1").to_string_lossy()]);
    assert_eq!(pages.code, 0, "{}", pages.stderr);
    for page in ["tailrace.1", "tailrace-up.1"] {
        assert!(std::fs::read_to_string(dir.path().join("man1").join(page)).unwrap().contains(".TH"), "{page}");
    }
}

#[test]
fn what_is_watched_is_shown_until_ctrl_c() {
    let data = tempfile::tempdir().unwrap();
    let server = up(&data, &[]);
    let endpoint = server.endpoint();
    let watching = Process::start(&["mappings", "--watch", "--endpoint", &endpoint]);
    watching.stdout_line("LAST RESULT");
    watching.stdout_line("level-up");
    assert_eq!(watching.interrupt().code, 0);
    let shards = command(&["mappings", "-v", "--endpoint", &endpoint]).output().unwrap();
    assert_eq!(String::from_utf8(shards.stdout).unwrap().lines().filter(|line| line.contains("shardId-")).count(), 4);
}

#[test]
fn what_is_watched_goes_on_when_the_server_is_back() {
    let data = tempfile::tempdir().unwrap();
    let mut server = up(&data, &[]);
    let (port, endpoint) = (server.port(), server.endpoint());
    let watch = ["mappings", "--watch", "--endpoint", &endpoint];
    let watching = Process::start(&watch);
    watching.stdout_line("level-up");
    for ended_in_order in [true, false] {
        if ended_in_order {
            assert_eq!(server.interrupt().code, 0);
        } else {
            server.kill();
        }
        watching.stderr_line("trying again until the server is back");
        server = Tailrace::start_at(port, &["up", &example().to_string_lossy()], data.path());
        watching.stderr_line("connected again");
        watching.stdout_line("level-up");
    }
    server.kill();
    watching.stderr_line("trying again until the server is back");
    assert_eq!(watching.interrupt().code, 0, "Ctrl-C ends it meanwhile");
    // Who has never answered is not waited for.
    let ended = run(&watch);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("no server answers"), "{}", ended.stderr);
}

/// What a newcomer sees is the work of several shards, not of one by chance.
#[test]
fn the_examples_players_are_in_several_shards() {
    assert_eq!(shards_with_records(&example()), 3, "one for each player");
}

/// Nor do they see it in a first project of their own.
#[test]
fn the_orders_of_a_first_project_are_in_several_shards() {
    for language in [&[][..], &["--node"]] {
        let work = tempfile::tempdir().unwrap();
        let project = work.path().join("first");
        let written = run(&[&["init", &*project.to_string_lossy()], language].concat());
        assert_eq!(written.code, 0, "{}", written.stderr);
        assert_eq!(shards_with_records(&project), 2, "one for each order");
    }
}

/// Runs a project until its lines are delivered; how many shards of its stream have records then.
fn shards_with_records(project: &Path) -> usize {
    let (dir, data) = (project.to_string_lossy(), tempfile::tempdir().unwrap());
    let data = data.path().to_string_lossy();
    let ended = run(&["up", &*dir, "--port", "0", "--exit-when-drained", "--data-dir", &*data]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let server = Tailrace::start(&["serve"], data.as_ref().as_ref());
    let streams = |operation: &str, body: String| -> serde_json::Value {
        serde_json::from_str(&server.call(&format!("DynamoDBStreams_20120810.{operation}"), &body)).unwrap()
    };
    let arn = streams("ListStreams", "{}".to_owned())["Streams"][0]["StreamArn"].clone();
    let described = streams("DescribeStream", format!(r#"{{"StreamArn":{arn}}}"#));
    let shards = described["StreamDescription"]["Shards"].as_array().unwrap();
    let has_records = |shard: &&serde_json::Value| {
        let shard = &shard["ShardId"];
        let asked = format!(r#"{{"StreamArn":{arn},"ShardId":{shard},"ShardIteratorType":"TRIM_HORIZON"}}"#);
        let iterator = streams("GetShardIterator", asked)["ShardIterator"].clone();
        let read = streams("GetRecords", format!(r#"{{"ShardIterator":{iterator}}}"#));
        !read["Records"].as_array().unwrap().is_empty()
    };
    shards.iter().filter(has_records).count()
}
