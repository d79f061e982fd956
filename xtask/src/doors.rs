//! Errors at doors: no `Result<_, String>` in what a module shows to others, so that who calls can tell what to do about an error.
//!
//! A door is what is `pub` (not `pub(crate)` and the like: a module's own parts may hand texts to each other), and everything in a
//! trait. A private function may compose a text for an operator where nobody decides by it.
//!
//! What it does not do: it reads text, not Rust; a type that is `String` by another name gets past it.

/// What is wrong with a source: a line for each door whose error is a text.
pub fn faults(name: &str, shipped: &str) -> Vec<String> {
    let code = bare(shipped);
    // The heads of the blocks that are open, and where the item begins that is being read.
    let (mut blocks, mut begin, mut faults) = (Vec::new(), 0, Vec::new());
    for (at, c) in code.char_indices() {
        match c {
            '{' => blocks.push(&code[std::mem::replace(&mut begin, at + 1)..at]),
            '}' => {
                blocks.pop();
                begin = at + 1;
            }
            ';' => begin = at + 1,
            'R' if is_text_error(&code, at) => {
                let within = blocks.last().copied().unwrap_or_default();
                if is_door(&code[begin..at], within) {
                    let line = 1 + code[..at].matches('\n').count();
                    faults.push(format!(
                        "{name}:{line}: a public error is a type that says what the caller does, no String"
                    ));
                }
            }
            _ => {}
        }
    }
    faults
}

/// Whether what begins here is a `Result` whose error is a String.
fn is_text_error(code: &str, at: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let Some(arguments) = code[at..].strip_prefix("Result<").filter(|_| !code[..at].ends_with(is_word)) else {
        return false;
    };
    let (mut depth, mut last, mut before) = (0, 0, ' ');
    for (at, c) in arguments.char_indices() {
        match c {
            '>' if matches!(before, '-' | '=') => {}
            '>' if depth == 0 => return last > 0 && arguments[last..at].trim_matches([',', ' ', '\n']) == "String",
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            // One behind the last argument begins none.
            ',' if depth == 0 && !arguments[at + 1..].trim_start().starts_with('>') => last = at + 1,
            _ => {}
        }
        before = c;
    }
    false
}

/// Whether an item is shown to others: `head` is what stands before, `within` the head of the block that it stands in.
fn is_door(head: &str, within: &str) -> bool {
    let has = |text: &str, wanted: &str| text.split_whitespace().any(|word| word == wanted);
    // Of the fields of a struct only the last one is meant.
    let head = if has(head, "fn") { head } else { last_of_list(head) };
    let is_shown = has(head, "pub") || (has(within, "pub") && has(within, "enum"));
    is_shown || (has(head, "fn") && has(within, "trait"))
}

/// What is behind the last comma that stands in no brackets.
fn last_of_list(text: &str) -> &str {
    let (mut depth, mut start, mut before) = (0, 0, ' ');
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' if matches!(before, '-' | '=') => {}
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => start = at + 1,
            _ => {}
        }
        before = c;
    }
    &text[start..]
}

/// A source without what stands in comments, texts and characters: of those the line breaks are left.
fn bare(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let length = skipped(rest, code.chars().next_back());
        if length > 0 {
            code.extend(rest[..length].chars().filter(|c| *c == '\n'));
            rest = &rest[length..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

/// Bytes of the comment, text or character that begins here; 0: none does.
fn skipped(rest: &str, before: Option<char>) -> usize {
    let up_to = |open: usize, close: &str| rest[open..].find(close).map_or(rest.len(), |at| open + at + close.len());
    let is_in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let escaped = |open: usize, quote: char| {
        let mut is_escaped = false;
        let end = rest[open..].find(|c| {
            let ends = c == quote && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        });
        end.map_or(rest.len(), |at| open + at + 1)
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return up_to(2, "*/");
    }
    if rest.starts_with('"') {
        return escaped(1, '"');
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')).filter(|_| !is_in_word);
    if let Some(raw) = raw {
        let signs = raw.len() - raw.trim_start_matches('#').len();
        if raw[signs..].starts_with('"') {
            return up_to(rest.len() - raw.len() + signs + 1, &format!("\"{}", "#".repeat(signs)));
        }
    }
    // A lifetime has no quote behind its first character.
    let mut chars = rest.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\''), Some('\\'), _) => escaped(1, '\''),
        (Some('\''), Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, lines: &[usize]) {
        let found = faults("a.rs", source);
        let expected: Vec<String> = lines.iter().map(|line| format!("a.rs:{line}: ")).collect();
        let is_expected = found.len() == expected.len() && found.iter().zip(&expected).all(|(a, b)| a.starts_with(b));
        assert!(is_expected, "{source}\n{found:?}");
    }

    #[test]
    fn a_public_function_has_no_text_for_an_error() {
        check("pub fn f() -> Result<(), String> {\n    Ok(())\n}", &[1]);
        check("impl A {\n    pub async fn f(a: A, b: &'a B) -> Result<Vec<(A, B)>, String> {}\n}", &[2]);
        check("pub fn f(\n    a: A,\n) -> io::Result<Result<(), String>> {}", &[3]);
        check("pub fn f(call: impl Fn(&A) -> Result<B, String>) {}", &[1]);
        check("pub fn f() -> Result<\n    A,\n    String,\n> {}", &[1]);
        check("fn f() -> Result<(), String> {}\npub(crate) fn g() -> Result<(), String> {}", &[]);
        check("pub fn f() -> Result<String, Error> {}\npub fn g() -> Result<String> {}", &[]);
        check("pub fn f() -> MyResult<(), String> {}", &[]);
        check("pub fn f() {\n    let a: Result<(), String> = b;\n}", &[]);
    }

    #[test]
    fn a_trait_has_none_whoever_may_see_it() {
        check("trait T<A>: Send {\n    /// Says.\n    fn f(&self) -> BoxFuture<'static, Result<(), String>>;\n}", &[3]);
        check("pub trait T {\n    fn f(&self) {}\n    fn g() -> Result<(), String>;\n}", &[3]);
        check("impl T for A {\n    fn f(&self) -> Result<(), String> {}\n}", &[]);
    }

    #[test]
    fn neither_have_public_types() {
        check("pub type F = Arc<dyn Fn(&A, B) -> Result<C, String> + Send>;", &[1]);
        check("pub struct S {\n    pub a: A,\n    pub b: Result<Arc<A>, String>,\n}", &[3]);
        check("pub struct S {\n    pub a: Map<A, B>,\n    b: Result<Arc<A>, String>,\n}", &[]);
        check("pub enum E {\n    A,\n    Each(Vec<Result<(), String>>),\n}", &[3]);
        check("enum E {\n    Each(Vec<Result<(), String>>),\n}", &[]);
    }

    #[test]
    fn what_is_no_code_is_not_looked_at() {
        check("// pub fn f() -> Result<(), String> {}\n/* pub fn f() -> Result<(), String> {} */", &[]);
        check("const A: &str = \"pub fn f() -> \\\"Result<(), String>\";", &[]);
        check("const A: &str = r#\"\"pub fn f() -> Result<(), String>\"#;", &[]);
        // What opens a block in a text opens none.
        check("fn a(c: char) {\n    f('{', '\\'', \"{\");\n}\npub fn f() -> Result<(), String> {}", &[4]);
        check("#[error(\"{a}\")]\npub struct A<'a>(pub Result<&'a A, String>);", &[2]);
    }
}
