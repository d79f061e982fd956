//! Who asks for an operation. It goes with the request down to the private part of the stream record; what the operation wrote into
//! streams comes back with it.

use parking_lot::Mutex;
use tailrace_store::RecordId;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller<'a> {
    /// A client of the API, or whoever is inside and writes what a user asked for (a template, a played line).
    Client(Client<'a>),
    /// The service itself (time to live), and nobody who asked it to: the stream's records say so.
    Service,
}

/// What is known of a client's request besides its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client<'a> {
    /// The operation's name, as it was called.
    pub operation: &'a str,
    /// The id of the access key that the request was signed with; nothing verifies it.
    pub access_key: Option<&'a str>,
    /// The id that the answer will carry, where it is known before.
    pub request_id: Option<&'a str>,
    /// The `Host` header.
    pub host: Option<&'a str>,
    /// Is told what the operation writes, if anybody wants to know.
    pub written: Option<&'a Written>,
}

/// The records that an operation has written: of each shard the last one.
#[derive(Debug, Default)]
pub struct Written(Mutex<Vec<RecordId>>);

impl Written {
    fn note(&self, records: &[RecordId]) {
        let mut written = self.0.lock();
        for record in records {
            match written.iter_mut().find(|known| known.shard == record.shard) {
                Some(known) => known.number = known.number.max(record.number),
                None => written.push(*record),
            }
        }
    }

    /// They.
    pub fn into_records(self) -> Vec<RecordId> {
        self.0.into_inner()
    }
}

/// One is only itself.
impl PartialEq for Written {
    fn eq(&self, other: &Written) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Written {}

impl Client<'_> {
    /// Whether anything is known of who asks.
    pub(crate) fn is_known(&self) -> bool {
        !self.operation.is_empty() || self.access_key.is_some() || self.request_id.is_some()
    }
}

impl Default for Caller<'_> {
    fn default() -> Self {
        Caller::Client(Client::default())
    }
}

impl<'a> Caller<'a> {
    /// Whether it is the service itself.
    pub fn is_service(&self) -> bool {
        matches!(self, Caller::Service)
    }

    /// Whether it is somebody inside, a template for one, who cannot be asked to wait: no call of the API brought him here.
    pub(crate) fn is_inside(&self) -> bool {
        match self {
            Caller::Client(client) => client.operation.is_empty(),
            Caller::Service => true,
        }
    }

    /// Notes records that were written.
    pub(crate) fn note_written(&self, records: &[RecordId]) {
        if let Caller::Client(Client { written: Some(written), .. }) = self
            && !records.is_empty()
        {
            written.note(records);
        }
    }

    /// The `Host` header of a client's request.
    pub fn host(&self) -> Option<&'a str> {
        match self {
            Caller::Client(client) => client.host,
            Caller::Service => None,
        }
    }
}
