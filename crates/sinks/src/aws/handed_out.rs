//! Credentials that remember what they handed out last, so that nothing which a service says shows it: those of a machine or of the
//! environment are in no configuration.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use object_store::CredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use parking_lot::RwLock;

use crate::hidden::Hidden;

/// Hands out another's credentials.
pub(crate) struct HandedOut {
    inner: AwsCredentialProvider,
    last: RwLock<Option<(Arc<AwsCredential>, Hidden)>>,
}

// The provider would show its secrets.
impl fmt::Debug for HandedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandedOut").finish_non_exhaustive()
    }
}

impl HandedOut {
    pub fn new(inner: AwsCredentialProvider) -> Arc<HandedOut> {
        Arc::new(HandedOut { inner, last: RwLock::new(None) })
    }

    /// A text without the secret and the token that were handed out last.
    pub fn hide(&self, said: &str) -> String {
        self.last.read().as_ref().map_or_else(|| said.to_owned(), |(_, hidden)| hidden.hide(said))
    }

    /// The same of an answer, which stays as it is where they are not in it.
    pub fn hide_in(&self, said: Vec<u8>) -> Vec<u8> {
        match self.last.read().as_ref() {
            Some((_, hidden)) if hidden.is_in(&said) => hidden.hide(&String::from_utf8_lossy(&said)).into_bytes(),
            _ => said,
        }
    }

    fn remember(&self, credential: &Arc<AwsCredential>) {
        let is_known = |last: &(Arc<AwsCredential>, Hidden)| Arc::ptr_eq(&last.0, credential);
        if self.last.read().as_ref().is_some_and(is_known) {
            return;
        }
        let secrets = [credential.secret_key.clone()].into_iter().chain(credential.token.clone());
        *self.last.write() = Some((Arc::clone(credential), Hidden::new(secrets)));
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
