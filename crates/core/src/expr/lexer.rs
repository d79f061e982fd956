//! Cuts the text of an expression into tokens, and words the syntax errors, whose `near` part is a slice of the text.
//!
//! The lexer never fails: a character that starts no token is a token of its own, which no rule of the grammar takes.
//! `_` is one where a bare name begins, although the specification's row lists it: AWS and DynamoDB Local refuse it there,
//! and a program that got by with it here would fail on AWS. Source: docs/spec/dynamodb-api.md 4.1.

use super::error::{ExprError, ExprKind};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A bare name.
    Identifier,
    /// `#name`.
    NamePlaceholder,
    /// `:value`.
    ValuePlaceholder,
    /// `0`, or digits that do not start with a zero.
    Index,
    /// A word of the grammar.
    Keyword(Keyword),
    /// `=`.
    Equal,
    /// `<>`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterEqual,
    /// `+`.
    Plus,
    /// `-`.
    Minus,
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `[`.
    OpenBracket,
    /// `]`.
    CloseBracket,
    /// `.`.
    Dot,
    /// `,`.
    Comma,
    /// A character that starts no token.
    Stray,
    /// The end of the text.
    End,
}

/// The words of the grammar; any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    /// `AND`.
    And,
    /// `OR`.
    Or,
    /// `NOT`.
    Not,
    /// `BETWEEN`.
    Between,
    /// `IN`.
    In,
    /// `SET`.
    Set,
    /// `REMOVE`.
    Remove,
    /// `ADD`.
    Add,
    /// `DELETE`.
    Delete,
}

impl Keyword {
    const ALL: [(&'static str, Keyword); 9] = [
        ("AND", Keyword::And),
        ("OR", Keyword::Or),
        ("NOT", Keyword::Not),
        ("BETWEEN", Keyword::Between),
        ("IN", Keyword::In),
        ("SET", Keyword::Set),
        ("REMOVE", Keyword::Remove),
        ("ADD", Keyword::Add),
        ("DELETE", Keyword::Delete),
    ];

    fn of(word: &str) -> Option<Keyword> {
        Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|&(_, keyword)| keyword)
    }
}

/// A token and the bytes of the text that it covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The tokens of `text`, closed by one [`TokenKind::End`].
pub(super) fn tokenize(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::with_capacity(text.len() / 3 + 2);
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let kind = match bytes[at] {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            b'a'..=b'z' | b'A'..=b'Z' => {
                at = word_end(bytes, at);
                Keyword::of(&text[start..at]).map_or(TokenKind::Identifier, TokenKind::Keyword)
            }
            sigil @ (b'#' | b':') => {
                at = word_end(bytes, at + 1);
                match (sigil, at - start) {
                    (_, 1) => TokenKind::Stray,
                    (b'#', _) => TokenKind::NamePlaceholder,
                    _ => TokenKind::ValuePlaceholder,
                }
            }
            b'0' => {
                at += 1;
                TokenKind::Index
            }
            b'1'..=b'9' => {
                while at < bytes.len() && bytes[at].is_ascii_digit() {
                    at += 1;
                }
                TokenKind::Index
            }
            byte => {
                let (kind, length) = punctuation(byte, bytes.get(at + 1).copied());
                at += length;
                while !text.is_char_boundary(at) {
                    at += 1;
                }
                kind
            }
        };
        tokens.push(Token { kind, start, end: at });
    }
    tokens.push(Token { kind: TokenKind::End, start: text.len(), end: text.len() });
    tokens
}

fn word_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_') {
        at += 1;
    }
    at
}

fn punctuation(byte: u8, next: Option<u8>) -> (TokenKind, usize) {
    match (byte, next) {
        (b'<', Some(b'>')) => (TokenKind::NotEqual, 2),
        (b'<', Some(b'=')) => (TokenKind::LessEqual, 2),
        (b'>', Some(b'=')) => (TokenKind::GreaterEqual, 2),
        (b'<', _) => (TokenKind::Less, 1),
        (b'>', _) => (TokenKind::Greater, 1),
        (b'=', _) => (TokenKind::Equal, 1),
        (b'+', _) => (TokenKind::Plus, 1),
        (b'-', _) => (TokenKind::Minus, 1),
        (b'(', _) => (TokenKind::Open, 1),
        (b')', _) => (TokenKind::Close, 1),
        (b'[', _) => (TokenKind::OpenBracket, 1),
        (b']', _) => (TokenKind::CloseBracket, 1),
        (b'.', _) => (TokenKind::Dot, 1),
        (b',', _) => (TokenKind::Comma, 1),
        _ => (TokenKind::Stray, 1),
    }
}

/// The error for an unexpected `tokens[at]`: `near` runs from the token before it to the end of the token after it.
pub(super) fn syntax_error(kind: ExprKind, text: &str, tokens: &[Token], at: usize) -> ExprError {
    let token = tokens[at];
    // Before the first token there is only whitespace, which counts as near.
    let start = if at == 0 { 0 } else { tokens[at - 1].start };
    let (name, start, end) = match token.kind {
        TokenKind::End => ("<EOF>", start, text.len()),
        _ => (&text[token.start..token.end], start, tokens.get(at + 1).map_or(token.end, |next| next.end)),
    };
    ExprError::invalid(kind, format_args!("Syntax error; token: \"{name}\", near: \"{}\"", &text[start..end]))
}
