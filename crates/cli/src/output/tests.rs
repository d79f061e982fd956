use super::*;

/// A descriptor that takes a line when the test lets it.
struct Descriptor {
    writer: Arc<Writer>,
    /// Lines whose writing has begun, and losses that were told.
    lines: mpsc::Receiver<String>,
    allow: mpsc::Sender<io::Result<()>>,
}

impl Descriptor {
    fn new() -> Descriptor {
        let writer = Arc::new(Writer::default());
        let (sender, lines) = mpsc::channel();
        let (allow, allowed) = mpsc::channel::<io::Result<()>>();
        let (own, told) = (Arc::clone(&writer), sender.clone());
        std::thread::spawn(move || {
            let write = move |_, text: &str| {
                sender.send(text.to_owned()).unwrap();
                allowed.recv().unwrap()
            };
            own.run(write, move |loss| told.send(loss).map_err(io::Error::other));
        });
        Descriptor { writer, lines, allow }
    }

    fn offer(&self, text: &str) {
        self.writer.offer(Out::Stdout, text.to_owned());
    }

    /// The line that stands before the descriptor.
    fn next(&self) -> String {
        self.lines.recv().unwrap()
    }

    fn take(&self) {
        self.allow.send(Ok(())).unwrap();
    }
}

fn long() -> String {
    "x".repeat(OUTPUT_QUEUED_BYTES_MAX)
}

#[test]
fn what_comes_while_there_is_no_room_is_one_gap_that_is_told_behind_what_waited() {
    let descriptor = Descriptor::new();
    descriptor.offer("a");
    assert_eq!(descriptor.next(), "a");
    for text in [&long(), "b", "c"] {
        descriptor.offer(text);
    }
    descriptor.take();
    assert_eq!(descriptor.next(), long());
    // There is room for it, but the gap is not told yet.
    descriptor.offer("d");
    descriptor.take();
    assert_eq!(descriptor.next(), "3 lines of output were dropped: nobody read them in time");
    descriptor.writer.flush(Duration::from_secs(60));
    descriptor.offer("e");
    assert_eq!(descriptor.next(), "e", "and then lines pass again");
}

#[test]
fn a_disk_without_room_costs_lines_and_tells_how_many_when_there_is_room_again() {
    let descriptor = Descriptor::new();
    for text in ["a", "b"] {
        descriptor.offer(text);
        assert_eq!(descriptor.next(), text);
        descriptor.allow.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    }
    descriptor.offer("c");
    assert_eq!(descriptor.next(), "c");
    descriptor.take();
    assert_eq!(descriptor.next(), "2 lines of output were dropped: nobody read them in time");
}

#[tokio::test]
async fn a_slow_reader_is_waited_for_and_one_that_stands_still_not_for_long() {
    let descriptor = Descriptor::new();
    descriptor.offer("a");
    assert_eq!(descriptor.next(), "a");
    descriptor.offer(&long());
    let writer = Arc::clone(&descriptor.writer);
    let waiting = tokio::spawn(async move { writer.send(Out::Stdout, "b".to_owned()).await });
    descriptor.take();
    assert_eq!(descriptor.next(), long());
    waiting.await.unwrap();
    descriptor.take();
    assert_eq!(descriptor.next(), "b", "taken when there was room");

    descriptor.offer(&long());
    for text in ["c", "d"] {
        descriptor.writer.send(Out::Stdout, text.to_owned()).await;
    }
    assert_eq!(descriptor.writer.queue.lock().dropped, 2);
    descriptor.take();
    assert_eq!(descriptor.next(), long());
    descriptor.take();
    assert!(descriptor.next().starts_with("2 lines"));
}

#[test]
fn a_flush_has_an_end() {
    let descriptor = Descriptor::new();
    descriptor.offer("a");
    assert_eq!(descriptor.next(), "a");
    descriptor.writer.flush(Duration::from_millis(1));
    descriptor.take();
    descriptor.writer.flush(Duration::from_secs(60));
    assert!(!descriptor.writer.queue.lock().writing);
}
