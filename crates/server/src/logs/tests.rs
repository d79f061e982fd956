use tailrace_core::{EpochMs, limits};
use tailrace_lambda::LogStream;

use super::*;

fn line(function: &str, request: &str, text: &str) -> LogLine {
    LogLine {
        function: function.into(),
        request_id: Some(request.into()),
        time_ms: EpochMs(1_785_499_200_123),
        stream: LogStream::Stdout,
        text: text.to_owned(),
    }
}

fn all(function: &str) -> Selection {
    Selection { function: function.to_owned(), ..Selection::default() }
}

fn texts(page: &LogPage) -> Vec<&str> {
    page.lines.iter().map(|line| line.text.as_str()).collect()
}

fn writer(directory: &Path) -> (Writer, mpsc::Receiver<Event>) {
    let (events, told) = mpsc::channel(8);
    (Writer::new(directory.into(), events), told)
}

#[test]
fn lines_are_kept_with_time_request_and_stream() {
    let root = tempfile::tempdir().unwrap();
    let (mut writer, _told) = writer(root.path());
    let platform = LogLine { stream: LogStream::Platform, request_id: None, ..line("f", "", "START") };
    writer.write(&[line("f", "r-1", "two\nlines \u{e9}"), platform, line("g", "r-2", "other")]);
    let page = read(root.path(), &all("f")).unwrap();
    let first = KeptLine {
        time: "2026-07-31T12:00:00.123Z".to_owned(),
        request_id: Some("r-1".to_owned()),
        stream: "stdout".to_owned(),
        text: "two\nlines \u{e9}".to_owned(),
    };
    assert_eq!(page.lines[0], first);
    assert_eq!((page.lines[1].stream.as_str(), page.lines[1].request_id.as_deref()), ("platform", None));
    assert!(!page.more && !page.gap);
    assert_eq!(functions(root.path()), ["f", "g"]);
    // Behind the last line there is nothing; then what comes.
    let after = Selection { after: page.next, ..all("f") };
    assert_eq!(read(root.path(), &after).unwrap(), LogPage { next: page.next, ..LogPage::default() });
    writer.write(&[line("f", "r-3", "later")]);
    assert_eq!(texts(&read(root.path(), &after).unwrap()), ["later"]);
    assert_eq!(read(root.path(), &all("none")).unwrap(), LogPage::default());
}

#[test]
fn one_invocation_is_found_by_the_beginning_of_its_id() {
    let root = tempfile::tempdir().unwrap();
    let (mut writer, _told) = writer(root.path());
    writer.write(&[line("f", "aa-1", "a"), line("f", "bb-1", "b"), line("f", "aa-1", "c")]);
    let of = |request: &str| Selection { request: Some(request.to_owned()), ..all("f") };
    assert_eq!(texts(&read(root.path(), &of("aa")).unwrap()), ["a", "c"]);
    assert_eq!(texts(&read(root.path(), &of("x")).unwrap()), [""; 0]);
}

#[test]
fn a_page_is_bounded_and_the_next_goes_on_behind_it() {
    let root = tempfile::tempdir().unwrap();
    let (mut writer, _told) = writer(root.path());
    let lines: Vec<LogLine> =
        (0..limits::KEPT_LOG_PAGE_LINES_MAX + 5).map(|n| line("f", "r", &n.to_string())).collect();
    writer.write(&lines);
    let first = read(root.path(), &all("f")).unwrap();
    assert_eq!((first.lines.len(), first.more), (limits::KEPT_LOG_PAGE_LINES_MAX, true));
    let second = read(root.path(), &Selection { after: first.next, ..all("f") }).unwrap();
    assert_eq!((second.lines.len(), second.more), (5, false));
    assert_eq!(second.lines[0].text, limits::KEPT_LOG_PAGE_LINES_MAX.to_string());
}

/// The oldest files go, a restart goes on in the newest, and a reader of what is gone is told.
#[test]
fn files_are_rotated_within_their_bounds() {
    let root = tempfile::tempdir().unwrap();
    let big = "x".repeat(limits::KEPT_LOG_FILE_BYTES_MAX as usize / 3);
    let sizes = || -> Vec<u64> {
        let own = root.path().join("f");
        let numbers = files::numbers(&own).unwrap();
        numbers.iter().map(|n| std::fs::metadata(own.join(files::file_name(*n))).unwrap().len()).collect()
    };
    let mut place = None;
    for round in 0..20 {
        let (mut writer, _told) = writer(root.path());
        writer.write(&[line("f", "r", &format!("{round} {big}"))]);
        place = place.or(read(root.path(), &all("f")).unwrap().next);
        let sizes = sizes();
        assert!(sizes.len() as u64 <= limits::KEPT_LOG_FILES_MAX, "{sizes:?}");
        assert!(sizes.iter().all(|bytes| *bytes <= limits::KEPT_LOG_FILE_BYTES_MAX), "{sizes:?}");
    }
    let page = read(root.path(), &Selection { after: place, ..all("f") }).unwrap();
    assert!(page.gap, "{:?}", page.next);
    let mut rounds = Vec::new();
    let mut selection = all("f");
    loop {
        let page = read(root.path(), &selection).unwrap();
        rounds.extend(page.lines.iter().map(|line| line.text.split(' ').next().unwrap().parse::<u64>().unwrap()));
        selection.after = page.next;
        if !page.more {
            break;
        }
    }
    assert_eq!(rounds, (rounds[0]..20).collect::<Vec<_>>(), "what is kept is kept whole and in order");
    assert!(rounds.len() >= 6);
}

/// A process that was killed in the middle of a write costs that line and no other.
#[test]
fn half_a_line_is_its_own_line_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    writer(root.path()).0.write(&[line("f", "r", "whole")]);
    let file = root.path().join("f").join(files::file_name(1));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend_from_slice(b"{\"time\":\"20");
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(texts(&read(root.path(), &all("f")).unwrap()), ["whole"], "not before it has an end");
    writer(root.path()).0.write(&[line("f", "r", "later")]);
    let page = read(root.path(), &all("f")).unwrap();
    assert_eq!(texts(&page), ["whole", "{\"time\":\"20", "later"]);
    assert_eq!(page.lines[1].stream, "damaged");
}

#[test]
fn what_cannot_be_written_is_told_once() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("f"), "no directory").unwrap();
    let (mut writer, mut told) = writer(root.path());
    writer.write(&[line("f", "r", "a")]);
    writer.write(&[line("f", "r", "b")]);
    let Event::Notice(text) = told.try_recv().unwrap() else { panic!("a notice") };
    assert!(text.starts_with("what f writes cannot be kept: "), "{text}");
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn whoever_waits_gets_what_comes() {
    let root = tempfile::tempdir().unwrap();
    let (events, _told) = mpsc::channel(8);
    let (logs, writer) = FunctionLogs::open(root.path().to_owned(), events);
    let waits = tokio::spawn({
        let logs = logs.clone();
        async move { logs.page(all("f"), Some(Duration::from_secs(30))).await.unwrap() }
    });
    writer.keep(&line("g", "r", "of another"));
    writer.keep(&line("f", "r", "mine"));
    assert_eq!(texts(&waits.await.unwrap()), ["mine"]);
    let next = logs.page(all("f"), None).await.unwrap().next;
    let nothing = logs.page(Selection { after: next, ..all("f") }, Some(Duration::from_secs(30)));
    logs.end_waits();
    assert_eq!(nothing.await.unwrap().lines, [], "a stop holds nobody up");
    writer.finish().await;
}
