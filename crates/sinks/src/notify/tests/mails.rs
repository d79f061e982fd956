//! Mails, to a mail server of our own. Source: RFC 5321.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{flush, id_of, orders, record, sink};
use crate::sink::{Rejected, Sink};

/// What the server answers to a command; nothing: the connection is cut.
type Answers = Box<dyn FnMut(&str) -> Option<String> + Send>;

#[derive(Default)]
pub struct Mailbox {
    /// Envelopes and letters that were taken.
    pub letters: Vec<(Vec<String>, String)>,
    commands: Vec<String>,
    connections: usize,
}

pub struct Server {
    pub to: String,
    pub mailbox: Arc<Mutex<Mailbox>>,
    answers: Arc<Mutex<Answers>>,
}

pub fn usual(command: &str) -> Option<String> {
    let answer = match command.split([' ', ':']).next().unwrap_or_default() {
        "EHLO" => "250-mail\r\n250 8BITMIME",
        "DATA" => "354 go on",
        "QUIT" => "221 bye",
        _ => "250 ok",
    };
    Some(answer.to_owned())
}

impl Server {
    pub async fn start(answers: impl FnMut(&str) -> Option<String> + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = format!("smtp://{}", listener.local_addr().unwrap());
        let server =
            Server { to, mailbox: Arc::default(), answers: Arc::new(Mutex::new(Box::new(answers) as Answers)) };
        let (mailbox, answers) = (server.mailbox.clone(), server.answers.clone());
        tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                mailbox.lock().connections += 1;
                // A connection that is cut ends with an error.
                tokio::spawn(serve(socket, mailbox.clone(), answers.clone()));
            }
        });
        server
    }

    fn commands(&self, verb: &str) -> usize {
        self.mailbox.lock().commands.iter().filter(|command| command.starts_with(verb)).count()
    }
}

fn ask(answers: &Mutex<Answers>, command: &str) -> Option<String> {
    let mut answers = answers.lock();
    (*answers)(command)
}

async fn serve(socket: TcpStream, mailbox: Arc<Mutex<Mailbox>>, answers: Arc<Mutex<Answers>>) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    socket.get_mut().write_all(b"220 mail\r\n").await?;
    let mut to = Vec::new();
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim().to_owned();
        mailbox.lock().commands.push(command.clone());
        let answer = ask(&answers, &command);
        let Some(answer) = answer else { return Ok(()) };
        socket.get_mut().write_all(format!("{answer}\r\n").as_bytes()).await?;
        match command.split([' ', ':']).next().unwrap_or_default() {
            "MAIL" | "RSET" => to.clear(),
            "RCPT" if answer.starts_with('2') => to.push(command),
            "DATA" if answer.starts_with('3') => {
                let mut letter = Vec::new();
                while !letter.ends_with(b"\r\n.\r\n") {
                    letter.push(socket.read_u8().await?);
                }
                let answer = ask(&answers, "LETTER");
                let taken = answer.as_ref().is_none_or(|answer| answer.starts_with('2'));
                if taken {
                    let letter = String::from_utf8(letter).unwrap();
                    mailbox.lock().letters.push((std::mem::take(&mut to), letter));
                }
                let Some(answer) = answer else { return Ok(()) };
                socket.get_mut().write_all(format!("{answer}\r\n").as_bytes()).await?;
            }
            _ => {}
        }
    }
}

fn settings(more: serde_json::Value) -> serde_json::Value {
    let mut settings = json!({"tls": "none", "mail": {"from": "The shop <shop@example.com>", "to": "ann@example.com"}});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

#[tokio::test]
async fn a_change_is_a_mail() {
    let server = Server::start(usual).await;
    let more = settings(json!({
        "subject": "Order {{ item.id }}\n shipped", "body": "It has {{ new_image.v }}.\n.\n", "html": "<b>{{ new_image.note }}</b>",
        "mail": {"from": "The shop <shop@example.com>", "to": ["{{ new_image.mail }}", "sales@example.com"], "bcc": "archive@example.com",
            "reply_to": "help@example.com"},
    }));
    let (sink, _) = sink(&server.to, &more);
    assert_eq!((sink.bounds().records_max, sink.plans()), (1, false));
    let change =
        record(1, "o1", Some(json!({"v": {"N": "3"}, "note": {"S": "<i>"}, "mail": {"S": "Ann <ann@example.com>"}})));
    for _ in 0..2 {
        assert_eq!(sink.flush(flush(vec![change.clone()])).await.unwrap().rejected, []);
    }
    let mailbox = server.mailbox.lock();
    let (to, letter) = &mailbox.letters[0];
    assert_eq!(to[..], ["ann", "sales", "archive"].map(|name| format!("RCPT TO:<{name}@example.com>")));
    for part in [
        format!("Message-ID: <{}-ping@example.com>", id_of(&change)),
        "Subject: Order o1 shipped\r\n".to_owned(),
        "From: \"The shop\" <shop@example.com>\r\n".to_owned(),
        "To: Ann <ann@example.com>, sales@example.com\r\n".to_owned(),
        "Reply-To: help@example.com".to_owned(),
        "Auto-Submitted: auto-generated".to_owned(),
        "Date: Thu, 25 Feb 2016 13:00:00 +0000".to_owned(),
        "It has 3.\r\n..\r\n".to_owned(),
        "<b>&lt;i&gt;</b>".to_owned(),
    ] {
        assert!(letter.contains(&part), "{part} is not in\n{letter}");
    }
    assert!(!letter.contains("archive"), "{letter}");
    // The same bytes on a repeat, over the same connection.
    assert_eq!((mailbox.letters.len(), mailbox.connections), (2, 1));
    assert_eq!(mailbox.letters[0], mailbox.letters[1]);
}

/// People read it: an apostrophe is one.
#[tokio::test]
async fn the_usual_text_shows_a_change_as_it_is() {
    let server = Server::start(usual).await;
    let (sink, _) = sink(&server.to, &settings(json!({})));
    let change = record(1, "O'Brien & Co", Some(json!({"v": {"N": "1.50"}, "note": {"S": "<a> \\u0027"}})));
    sink.flush(flush(vec![change])).await.unwrap();
    let mailbox = server.mailbox.lock();
    let (_, letter) = &mailbox.letters[0];
    let text = "Orders.insert {\"id\":\"O'Brien & Co\"}\r\n{\r\n  \"id\": \"O'Brien & Co\",\r\n  \"note\": \"<a> \\\\u0027\",\r\n  \"v\": 1.5\r\n}\r\n";
    assert!(letter.contains(text), "{letter}");
}

/// A mailbox passes over a letter whose `Message-ID` it had: what two sinks say of one change are two letters. Source: RFC 5322, 3.6.4.
#[tokio::test]
async fn letters_of_two_sinks_about_one_change_are_two() {
    let server = Server::start(usual).await;
    let (sink, _) = sink(&server.to, &settings(json!({})));
    for name in ["a.b", "..", "a.b"] {
        sink.flush(crate::sink::Flush { sink: name.into(), ..flush(orders(1)) }).await.unwrap();
    }
    let mailbox = server.mailbox.lock();
    let id = |(_, letter): &(_, String)| {
        letter.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap().to_owned()
    };
    let ids: Vec<String> = mailbox.letters.iter().map(id).collect();
    let event = id_of(&orders(1)[0]);
    let expected = ["a=b", "==", "a=b"].map(|name| format!("<{event}-{name}@example.com>"));
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn a_digest_is_one_mail_that_lists_its_changes() {
    let server = Server::start(usual).await;
    let (sink, _) = sink(&server.to, &settings(json!({"digest": {"seconds": 300, "records": 1000}})));
    sink.flush(flush(orders(1000))).await.unwrap();
    let mailbox = server.mailbox.lock();
    let [(_, letter)] = &mailbox.letters[..] else { panic!("{} letters", mailbox.letters.len()) };
    for part in ["Subject: ping: 1000 changes of Orders", "2016-02-25T13:00:00.100Z Orders.insert", "and 900 more"] {
        assert!(letter.contains(part), "{part} is not in\n{letter}");
    }
}

/// A server's answer at each step, and what becomes of the record.
#[tokio::test]
async fn an_answer_says_whether_the_mail_ever_passes() {
    for (step, answer, expected) in [
        ("MAIL", "550 who are you?", Err("550")),
        ("MAIL", "552 too large", Ok(Some("552"))),
        ("RCPT", "550 no such user", Ok(Some("ann@example.com: permanent error (550)"))),
        ("RCPT", "450 not now", Err("450")),
        ("DATA", "554 no", Ok(Some("554"))),
        ("DATA", "451 not now", Err("451")),
        ("LETTER", "554 spam", Ok(Some("554"))),
        ("LETTER", "452 full", Err("452")),
        ("LETTER", "421 closing", Err("421")),
        ("EHLO", "554 no", Err("554")),
        ("LETTER", "250 ok", Ok(None)),
    ] {
        let mut refused = false;
        let server = Server::start(move |command| {
            if command.starts_with(step) && !refused {
                refused = true;
                return Some(answer.to_owned());
            }
            usual(command)
        })
        .await;
        let (sink, _) = sink(&server.to, &settings(json!({})));
        let sent = sink.flush(flush(orders(1))).await;
        match (&sent, expected) {
            (Ok(flushed), Ok(None)) => assert!(flushed.rejected.is_empty()),
            (Ok(flushed), Ok(Some(part))) => {
                let [Rejected { index: 0, error }] = &flushed.rejected[..] else { panic!("{step} {answer}: {sent:?}") };
                assert!(error.contains(part), "{error}");
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            _ => panic!("{step} {answer}: {sent:?}"),
        }
        // Whatever happened, the next one passes.
        assert_eq!(sink.flush(flush(orders(1))).await.unwrap().rejected, [], "{step} {answer}");
    }
}

#[tokio::test]
async fn of_several_recipients_those_get_it_that_can() {
    let server = Server::start(|command| match command {
        "RCPT TO:<bob@example.com>" => Some("550 no such user".to_owned()),
        command => usual(command),
    })
    .await;
    let mail = json!({"from": "shop@example.com", "to": ["ann@example.com", "bob@example.com", "ann@example.com"]});
    let (sink, _) = sink(&server.to, &settings(json!({ "mail": mail })));
    let flushed = sink.flush(flush(orders(1))).await.unwrap();
    assert!(
        flushed.rejected[0].error.contains("bob@example.com")
            && flushed.rejected[0].error.contains("the other recipients have it")
    );
    assert_eq!(server.mailbox.lock().letters[0].0, ["RCPT TO:<ann@example.com>"]);
    // Who is not taken for now holds the letter up before anybody has it.
    *server.answers.lock() = Box::new(|command| match command {
        "RCPT TO:<bob@example.com>" => Some("450 later".to_owned()),
        command => usual(command),
    });
    sink.flush(flush(orders(1))).await.unwrap_err();
    let letters = server.mailbox.lock().letters.len();
    assert_eq!((letters, server.commands("RSET")), (1, 1));
}

#[tokio::test]
async fn a_letter_whose_answer_is_lost_comes_again_with_its_id() {
    let mut cut = true;
    let server = Server::start(move |command| match command {
        "LETTER" if std::mem::take(&mut cut) => None,
        command => usual(command),
    })
    .await;
    let (sink, _) = sink(&server.to, &settings(json!({})));
    sink.flush(flush(orders(1))).await.unwrap_err();
    sink.flush(flush(orders(1))).await.unwrap();
    let mailbox = server.mailbox.lock();
    assert_eq!(mailbox.letters.len(), 2);
    assert_eq!(mailbox.letters[0], mailbox.letters[1]);
}

#[tokio::test]
async fn no_password_is_sent_where_everybody_reads_it() {
    // The server has no STARTTLS.
    let server = Server::start(usual).await;
    let more = json!({"mail": {"from": "shop@example.com", "to": "ann@example.com"}, "auth": {"user": "u", "password": "hunter2"}});
    let (sink, _) = sink(&server.to, &more);
    let error = sink.flush(flush(orders(1))).await.unwrap_err().to_string();
    assert!(error.contains("STARTTLS") && !error.contains("hunter2"), "{error}");
    assert_eq!((server.commands("AUTH"), server.commands("MAIL")), (0, 0));
}

#[tokio::test]
async fn a_recipient_that_is_none_rejects_its_record() {
    let server = Server::start(usual).await;
    let mail = json!({"from": "shop@example.com", "to": "{{ item.mail | default('nobody') }}"});
    let (sink, _) = sink(&server.to, &settings(json!({ "mail": mail })));
    let injected = record(2, "o2", Some(json!({"mail": {"S": "a@example.com>\r\nDATA"}})));
    for change in [orders(1).remove(0), injected] {
        let flushed = sink.flush(flush(vec![change])).await.unwrap();
        assert!(flushed.rejected[0].error.contains("is no address of a mail"), "{flushed:?}");
    }
    assert_eq!(server.commands("DATA"), 0);
}
