//! Stored items, looked at one value at a time: what nobody asks for is stepped over and not decoded. And read from the front
//! to the end in one pass ([`Walk`]), for those who write an item in another form.
//!
//! Invariant: what is found is what [`crate::codec::decode_item`] would have found there.
//! What it does not do: it does not see to it that what was stepped over or never reached is sound.

use crate::codec::{CodecError, Head, Reader, StoredItem};
use crate::json_text::StoredNumber;

/// A value: a place in the bytes of an item.
#[derive(Clone, Debug)]
pub struct EncodedValue<'a> {
    reader: Reader<'a>,
    level: usize,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Encoded<'a> {
    /// NULL.
    Null,
    /// BOOL.
    Bool(bool),
    /// S.
    S(&'a str),
    /// N.
    N(StoredNumber<'a>),
    /// B.
    B(&'a [u8]),
    /// SS.
    Ss(Elements<'a>),
    /// NS.
    Ns(Elements<'a>),
    /// BS.
    Bs(Elements<'a>),
    /// L.
    L(Elements<'a>),
    /// M.
    M(Members<'a>),
}

impl Encoded<'_> {
    /// The name of its type on the wire.
    pub fn type_name(&self) -> &'static str {
        match self {
            Encoded::Null => "NULL",
            Encoded::Bool(_) => "BOOL",
            Encoded::S(_) => "S",
            Encoded::N(_) => "N",
            Encoded::B(_) => "B",
            Encoded::Ss(_) => "SS",
            Encoded::Ns(_) => "NS",
            Encoded::Bs(_) => "BS",
            Encoded::L(_) => "L",
            Encoded::M(_) => "M",
        }
    }
}

/// The members of an item or a map.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    /// Where the count stands, or, with it, behind it.
    reader: Reader<'a>,
    count: Option<usize>,
    level: usize,
}

/// Reads a stored item from its front, every byte once: who reads takes the members or elements that each [`Step`] announces,
/// in their order.
#[derive(Clone, Debug)]
pub struct Walk<'a>(Reader<'a>);

/// A value on a [`Walk`]: a whole scalar, or how many members or elements follow.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// NULL.
    Null,
    /// BOOL.
    Bool(bool),
    /// S.
    S(&'a str),
    /// N.
    N(StoredNumber<'a>),
    /// B.
    B(&'a [u8]),
    /// SS: so many [`Walk::text`].
    Ss(usize),
    /// NS: so many [`Walk::number`].
    Ns(usize),
    /// BS: so many [`Walk::bytes`].
    Bs(usize),
    /// L: so many [`Walk::value`].
    L(usize),
    /// M: so many times [`Walk::text`], the name, and [`Walk::value`].
    M(usize),
}

/// The elements of a set or a list, one after the other.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    reader: Reader<'a>,
    left: usize,
    level: usize,
}

impl<'a> StoredItem<'a> {
    /// Its attributes.
    pub fn members(&self) -> Members<'a> {
        Members { reader: self.reader(), count: None, level: 1 }
    }

    /// A walk over its attributes, and how many there are: so many times [`Walk::text`], the name, and [`Walk::value`], at
    /// level 1.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn walk(&self) -> Result<(Walk<'a>, usize), CodecError> {
        let mut reader = self.reader();
        let count = reader.count()?;
        Ok((Walk(reader), count))
    }
}

impl<'a> Walk<'a> {
    /// The next text: a name, or a member of an SS.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn text(&mut self) -> Result<&'a str, CodecError> {
        self.0.text()
    }

    /// The next number of an NS.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn number(&mut self) -> Result<StoredNumber<'a>, CodecError> {
        self.0.number().map(StoredNumber)
    }

    /// The next member of a BS.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        self.0.bytes()
    }

    /// The next value. `level` is 1 for an attribute's, and one more for what is inside of a value.
    ///
    /// # Errors
    /// The bytes are not what the codec writes, or are nested too deep.
    pub fn value(&mut self, level: usize) -> Result<Step<'a>, CodecError> {
        Ok(match self.0.head(level)? {
            Head::Null => Step::Null,
            Head::Bool(value) => Step::Bool(value),
            Head::S(text) => Step::S(text),
            Head::N(number) => Step::N(StoredNumber(number)),
            Head::B(bytes) => Step::B(bytes),
            Head::Ss(count) => Step::Ss(count),
            Head::Ns(count) => Step::Ns(count),
            Head::Bs(count) => Step::Bs(count),
            Head::L(count) => Step::L(count),
            Head::M(count) => Step::M(count),
        })
    }

    /// Steps over the next value.
    ///
    /// # Errors
    /// As for [`Walk::value`].
    pub fn skip(&mut self, level: usize) -> Result<(), CodecError> {
        self.0.skip_value(level)
    }

    /// Sees that nothing is left.
    ///
    /// # Errors
    /// Something is.
    pub fn finish(&self) -> Result<(), CodecError> {
        self.0.finish()
    }
}

impl<'a> Members<'a> {
    /// The value of this name.
    ///
    /// # Errors
    /// The bytes up to it are not what the codec writes.
    pub fn find(&self, name: &str) -> Result<Option<EncodedValue<'a>>, CodecError> {
        let mut reader = self.reader.clone();
        let count = match self.count {
            Some(count) => count,
            None => reader.count()?,
        };
        for _ in 0..count {
            match reader.text()?.cmp(name) {
                std::cmp::Ordering::Less => reader.skip_value(self.level)?,
                std::cmp::Ordering::Equal => return Ok(Some(EncodedValue { reader, level: self.level })),
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }
}

impl<'a> EncodedValue<'a> {
    /// Its bytes, as [`crate::codec::encode_value`] writes them: equal values, and only those, have equal bytes.
    ///
    /// # Errors
    /// They are not what the codec writes, so far as stepping over them shows it.
    pub fn bytes(&self) -> Result<&'a [u8], CodecError> {
        let mut reader = self.reader.clone();
        reader.skip_value(self.level)?;
        Ok(reader.passed_since(&self.reader))
    }

    /// A reader that stands before it, and its level.
    pub(crate) fn place(&self) -> (Reader<'a>, usize) {
        (self.reader.clone(), self.level)
    }

    /// What it is.
    ///
    /// # Errors
    /// The bytes are not what the codec writes, so far as its head shows it.
    pub fn read(&self) -> Result<Encoded<'a>, CodecError> {
        let mut reader = self.reader.clone();
        let level = self.level;
        let head = reader.head(level)?;
        let elements = |reader, left| Elements { reader, left, level: level + 1 };
        Ok(match head {
            Head::Null => Encoded::Null,
            Head::Bool(value) => Encoded::Bool(value),
            Head::S(text) => Encoded::S(text),
            Head::N(number) => Encoded::N(StoredNumber(number)),
            Head::B(bytes) => Encoded::B(bytes),
            Head::Ss(count) => Encoded::Ss(elements(reader, count)),
            Head::Ns(count) => Encoded::Ns(elements(reader, count)),
            Head::Bs(count) => Encoded::Bs(elements(reader, count)),
            Head::L(count) => Encoded::L(elements(reader, count)),
            Head::M(count) => Encoded::M(Members { reader, count: Some(count), level: level + 1 }),
        })
    }
}

impl<'a> Elements<'a> {
    /// The next member of an SS.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn next_text(&mut self) -> Result<Option<&'a str>, CodecError> {
        self.next(|reader, _| reader.text())
    }

    /// The next member of an NS.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn next_number(&mut self) -> Result<Option<StoredNumber<'a>>, CodecError> {
        self.next(|reader, _| reader.number().map(StoredNumber))
    }

    /// The next member of a BS.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn next_bytes(&mut self) -> Result<Option<&'a [u8]>, CodecError> {
        self.next(|reader, _| reader.bytes())
    }

    /// The next element of an L.
    ///
    /// # Errors
    /// The bytes of the one before are not what the codec writes.
    pub fn next_value(&mut self) -> Result<Option<EncodedValue<'a>>, CodecError> {
        self.next(|reader, level| {
            let value = EncodedValue { reader: reader.clone(), level };
            reader.skip_value(level)?;
            Ok(value)
        })
    }

    fn next<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'a>, usize) -> Result<T, CodecError>,
    ) -> Result<Option<T>, CodecError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        read(&mut self.reader, self.level).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::encode_stored;
    use crate::codec::tests::item as any_item;
    use crate::value::{AttributeValue, Item};

    /// The item again, from nothing but what is found by its names.
    fn rebuilt(value: &EncodedValue<'_>, like: &AttributeValue) -> AttributeValue {
        let mut list = Vec::new();
        match (value.read().unwrap(), like) {
            (Encoded::Null, _) => AttributeValue::Null,
            (Encoded::Bool(value), _) => AttributeValue::Bool(value),
            (Encoded::S(text), _) => AttributeValue::S(text.to_owned()),
            (Encoded::N(number), _) => AttributeValue::N(crate::Number::parse(&number.decimal()).unwrap()),
            (Encoded::B(bytes), _) => AttributeValue::B(bytes.to_owned()),
            (Encoded::Ss(mut elements), _) => {
                AttributeValue::Ss(std::iter::from_fn(|| elements.next_text().unwrap().map(str::to_owned)).collect())
            }
            (Encoded::Ns(mut elements), _) => {
                let next = || elements.next_number().unwrap();
                let decimals = std::iter::from_fn(next).map(|number| crate::Number::parse(&number.decimal()).unwrap());
                AttributeValue::Ns(decimals.collect())
            }
            (Encoded::Bs(mut elements), _) => AttributeValue::Bs(
                std::iter::from_fn(|| elements.next_bytes().unwrap().map(<[u8]>::to_owned)).collect(),
            ),
            (Encoded::L(mut elements), AttributeValue::L(likes)) => {
                for like in likes {
                    list.push(rebuilt(&elements.next_value().unwrap().unwrap(), like));
                }
                assert!(elements.next_value().unwrap().is_none());
                AttributeValue::L(list)
            }
            (Encoded::M(members), AttributeValue::M(likes)) => AttributeValue::M(item(&members, likes)),
            (other, like) => panic!("{other:?} instead of {like:?}"),
        }
    }

    fn item(members: &Members<'_>, like: &Item) -> Item {
        assert!(members.find("no such name").unwrap().is_none());
        let value = |(name, like): (&String, &AttributeValue)| {
            (name.clone(), rebuilt(&members.find(name).unwrap().unwrap(), like))
        };
        like.iter().map(value).collect()
    }

    /// The value again, from one walk over it.
    fn walked(walk: &mut Walk<'_>, level: usize) -> AttributeValue {
        let number = |number: StoredNumber<'_>| {
            let mut text = Vec::new();
            number.write_decimal(&mut text);
            assert_eq!(text, number.decimal().as_bytes());
            crate::Number::parse(&number.decimal()).unwrap()
        };
        match walk.value(level).unwrap() {
            Step::Null => AttributeValue::Null,
            Step::Bool(value) => AttributeValue::Bool(value),
            Step::S(text) => AttributeValue::S(text.to_owned()),
            Step::N(stored) => AttributeValue::N(number(stored)),
            Step::B(bytes) => AttributeValue::B(bytes.to_owned()),
            Step::Ss(count) => AttributeValue::Ss((0..count).map(|_| walk.text().unwrap().to_owned()).collect()),
            Step::Ns(count) => AttributeValue::Ns((0..count).map(|_| number(walk.number().unwrap())).collect()),
            Step::Bs(count) => AttributeValue::Bs((0..count).map(|_| walk.bytes().unwrap().to_owned()).collect()),
            Step::L(count) => AttributeValue::L((0..count).map(|_| walked(walk, level + 1)).collect()),
            Step::M(count) => AttributeValue::M(walked_members(walk, count, level + 1)),
        }
    }

    fn walked_members(walk: &mut Walk<'_>, count: usize, level: usize) -> Item {
        (0..count).map(|_| (walk.text().unwrap().to_owned(), walked(walk, level))).collect()
    }

    proptest! {
        #[test]
        fn a_walk_comes_by_what_was_stored(stored in any_item()) {
            let bytes = encode_stored(&stored);
            let (mut walk, count) = StoredItem::new(&bytes).unwrap().walk().unwrap();
            let mut over = walk.clone();
            prop_assert_eq!(walked_members(&mut walk, count, 1), stored);
            walk.finish().unwrap();
            for _ in 0..count {
                over.text().unwrap();
                over.skip(1).unwrap();
            }
            over.finish().unwrap();
        }

        #[test]
        fn what_is_found_is_what_was_stored(stored in any_item()) {
            let bytes = encode_stored(&stored);
            let members = StoredItem::new(&bytes).unwrap().members();
            for (name, value) in &stored {
                let mut encoded = Vec::new();
                crate::codec::encode_value(value, &mut encoded);
                prop_assert_eq!(members.find(name).unwrap().unwrap().bytes().unwrap(), &encoded[..]);
            }
            prop_assert_eq!(item(&members, &stored), stored);
        }
    }
}
