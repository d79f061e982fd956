//! Credentials that remember what they handed out last, and before, so that nothing which a service says shows it: those of a machine or of the
//! environment are in no configuration.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use object_store::CredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use parking_lot::RwLock;

use crate::hidden::Hidden;

/// Credentials that are hidden.
const REMEMBERED: usize = 2;

/// Hands out another's credentials.
pub(crate) struct HandedOut {
    inner: AwsCredentialProvider,
    /// The newest first. An answer may be to a request that was signed with the one before.
    last: RwLock<Vec<(Arc<AwsCredential>, Hidden)>>,
}

// The provider would show its secrets.
impl fmt::Debug for HandedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandedOut").finish_non_exhaustive()
    }
}

impl HandedOut {
    pub fn new(inner: AwsCredentialProvider) -> Arc<HandedOut> {
        Arc::new(HandedOut { inner, last: RwLock::default() })
    }

    /// A text without the secret and the token that were handed out last.
    pub fn hide(&self, said: &str) -> String {
        self.last.read().iter().fold(said.to_owned(), |said, (_, hidden)| hidden.hide(&said))
    }

    /// The same of an answer, which stays as it is where they are not in it.
    pub fn hide_in(&self, said: Vec<u8>) -> Vec<u8> {
        match self.last.read().iter().any(|(_, hidden)| hidden.is_in(&said)) {
            true => self.hide(&String::from_utf8_lossy(&said)).into_bytes(),
            false => said,
        }
    }

    fn remember(&self, credential: &Arc<AwsCredential>) {
        let is_known = |last: &(Arc<AwsCredential>, Hidden)| Arc::ptr_eq(&last.0, credential);
        if self.last.read().first().is_some_and(is_known) {
            return;
        }
        let secrets = [credential.secret_key.clone()].into_iter().chain(credential.token.clone());
        let mut last = self.last.write();
        last.insert(0, (Arc::clone(credential), Hidden::whole(secrets)));
        last.truncate(REMEMBERED);
    }
}

impl CredentialProvider for HandedOut {
    type Credential = AwsCredential;

    fn get_credential<'a, 'b>(
        &'a self,
    ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let credential = self.inner.get_credential().await?;
            self.remember(&credential);
            Ok(credential)
        })
    }
}
