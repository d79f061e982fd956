//! What a receiver says, without what it repeats of the secrets in the request: of the address behind the host, and of the headers.
//!
//! A receiver repeats what it has understood: of `Authorization: Bearer TOKEN` the token, of a query one value, in JSON with escapes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Url;

/// Shorter parts are no secrets, and words.
const SECRET_CHARS_MIN: usize = 8;
/// Shorter passwords and keys protect nothing, and hiding them would hide words.
const WHOLE_CHARS_MIN: usize = 4;

/// Texts that are not to be shown.
#[derive(Clone)]
pub(crate) struct Hidden(Vec<String>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Hidden {
    /// These texts, but for short ones, in the forms that others write them in.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Hidden {
        Hidden::of(secrets, SECRET_CHARS_MIN)
    }

    /// Passwords and keys, which are secrets as a whole.
    pub fn whole(secrets: impl IntoIterator<Item = String>) -> Hidden {
        Hidden::of(secrets, WHOLE_CHARS_MIN)
    }

    fn of(secrets: impl IntoIterator<Item = String>, chars_min: usize) -> Hidden {
        let long = secrets.into_iter().filter(|secret| secret.len() >= chars_min);
        let mut all: Vec<String> = long
            .flat_map(|secret| {
                let quoted = serde_json::Value::from(&*secret).to_string();
                let quoted = quoted[1..quoted.len() - 1].to_owned();
                [quoted.replace('/', "\\/"), quoted, secret]
            })
            .collect();
        // The whole before its parts.
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Hidden(all)
    }

    /// Whether one is in an answer.
    pub fn is_in(&self, said: &[u8]) -> bool {
        self.0.iter().any(|secret| memchr::memmem::find(said, secret.as_bytes()).is_some())
    }

    /// A text without them.
    pub fn hide(&self, said: &str) -> String {
        self.0.iter().fold(said.to_owned(), |said, secret| said.replace(secret, "***"))
    }
}

/// What of an address may be a secret: the query and its values, the path and what is between its slashes; as it is sent, and of the
/// query as it is meant.
pub(crate) fn of_address(url: &Url) -> impl Iterator<Item = String> + '_ {
    let (path, query) = (url.path(), url.query().unwrap_or_default());
    let values = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value);
    let sent = [query, path.trim_matches('/')].into_iter().chain(path.split('/')).chain(values).map(str::to_owned);
    sent.chain(url.query_pairs().map(|(_, value)| value.into_owned())).filter(|part| !part.is_empty())
}

/// What of a header's value may be one: all of it, its words, and of `Basic` the user and the password.
pub(crate) fn of_header(value: &str) -> impl Iterator<Item = String> + '_ {
    let words = value.split(|char: char| char.is_whitespace() || ",;=\"'".contains(char));
    let basic = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let known = basic.and_then(|(_, known)| String::from_utf8(BASE64.decode(known.trim()).ok()?).ok());
    let password = known.as_ref().and_then(|known| known.split_once(':')).map(|(_, password)| password.to_owned());
    std::iter::once(value).chain(words).map(str::to_owned).chain(known).chain(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_repeated_of_a_request_is_hidden() {
        let url = Url::parse("https://h/hooks/hunter2-path/in?key=hunter2%2Bkey&other=hunter2/other").unwrap();
        let headers =
            ["Bearer hunter2/token==", "Basic YW5uOmh1bnRlcjItcGFzc3dvcmQ=", "Token token=\"hunter2-quoted\""];
        let hidden = Hidden::new(of_address(&url).chain(headers.iter().flat_map(|header| of_header(header))));
        for (said, shown) in [
            ("no /hooks/hunter2-path/in?key=hunter2%2Bkey&other=hunter2/other", "no /***?***"),
            ("hunter2%2Bkey, hunter2+key and hunter2/other are wrong", "***, *** and *** are wrong"),
            ("unknown: Bearer hunter2/token==", "unknown: ***"),
            ("the token hunter2/token== is over", "the token ***== is over"),
            (r#"{"token": "hunter2\/token=="}"#, r#"{"token": "***=="}"#),
            ("ann:hunter2-password is not known, nor hunter2-password", "*** is not known, nor ***"),
            ("hunter2-quoted", "***"),
            ("Basic, Bearer and Token are taken", "Basic, Bearer and Token are taken"),
        ] {
            assert_eq!(hidden.hide(said), shown, "{said}");
        }
    }
}
