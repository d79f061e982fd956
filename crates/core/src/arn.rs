//! ARNs: the names of tables, indexes, streams and functions, each kind a type of its own, so that one is never given for another.
//!
//! A value is the text that someone gave or that was made here; whether such a thing exists, or the text is well formed, is for
//! whoever looks it up.

use std::borrow::Borrow;
use std::fmt;

macro_rules! arn {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The ARN that this text is.
            pub fn new(text: impl Into<String>) -> $name {
                $name(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    };
}

arn! {
    /// `arn:aws:dynamodb:<region>:<account>:table/<name>`
    TableArn
}
arn! {
    /// `<table's ARN>/index/<name>`
    IndexArn
}
arn! {
    /// `<table's ARN>/stream/<label>`
    StreamArn
}
arn! {
    /// `arn:aws:lambda:<region>:<account>:function:<name>`, perhaps with `:<qualifier>`
    FunctionArn
}
