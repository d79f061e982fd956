//! Who asks for an operation. It goes with the request down to the private part of the stream record.

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
}

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

    /// The `Host` header of a client's request.
    pub fn host(&self) -> Option<&'a str> {
        match self {
            Caller::Client(client) => client.host,
            Caller::Service => None,
        }
    }
}
