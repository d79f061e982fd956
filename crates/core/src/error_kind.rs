//! What a failed call asks of its caller: the kinds that errors of every layer come in.

/// The kind of an error. It says what the caller does, and which HTTP status a REST API answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong, and stays wrong: 400.
    Invalid,
    /// What it is about does not exist: 404.
    NotFound,
    /// It contradicts what exists or what goes on: 409.
    Conflict,
    /// Too much at once: 429.
    Throttled,
    /// Not now, for no fault of the request (no room, shutting down): 503.
    Unavailable,
    /// A fault of the server: 500.
    Internal,
}

/// What a caller does with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// The same call may succeed later: try it again.
    Retry,
    /// The same call never succeeds: tell whoever asked.
    Refuse,
    /// Something is broken: tell an operator.
    Stop,
}

impl ErrorKind {
    /// The status of a REST answer.
    pub fn http_status(self) -> u16 {
        match self {
            ErrorKind::Invalid => 400,
            ErrorKind::NotFound => 404,
            ErrorKind::Conflict => 409,
            ErrorKind::Throttled => 429,
            ErrorKind::Unavailable => 503,
            ErrorKind::Internal => 500,
        }
    }

    /// What the caller does.
    pub fn advice(self) -> Advice {
        match self {
            ErrorKind::Throttled | ErrorKind::Unavailable => Advice::Retry,
            ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict => Advice::Refuse,
            ErrorKind::Internal => Advice::Stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_status_and_says_what_to_do() {
        for (kind, status, advice) in [
            (ErrorKind::Invalid, 400, Advice::Refuse),
            (ErrorKind::NotFound, 404, Advice::Refuse),
            (ErrorKind::Conflict, 409, Advice::Refuse),
            (ErrorKind::Throttled, 429, Advice::Retry),
            (ErrorKind::Unavailable, 503, Advice::Retry),
            (ErrorKind::Internal, 500, Advice::Stop),
        ] {
            assert_eq!((kind.http_status(), kind.advice()), (status, advice), "{kind:?}");
        }
    }
}
