//! What a pattern is matched against: anything that can be looked at as JSON, one value at a time.

use std::borrow::Cow;

/// What a value is, and what it says if it is a scalar.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// An object: [`Node::member`] looks into it.
    Object,
    /// An array: [`Node::any_element`] looks into it.
    Array,
}

/// A value of an event. Cheap to clone: a place, not its content.
pub trait Node: Clone {
    /// The value cannot be read.
    type Error;

    /// What it is.
    ///
    /// # Errors
    /// It cannot be read.
    fn kind(&self) -> Result<Kind<'_>, Self::Error>;

    /// The member of this name; `None` where there is none, or the value is no object.
    ///
    /// # Errors
    /// The value cannot be read up to it.
    fn member(&self, name: &str) -> Result<Option<Self>, Self::Error>;

    /// Shows the elements of an array in their order, until one is answered with true. False: none was.
    ///
    /// # Errors
    /// The value cannot be read, or an answer's.
    fn any_element(&self, answer: &mut dyn FnMut(Self) -> Result<bool, Self::Error>) -> Result<bool, Self::Error>;
}
