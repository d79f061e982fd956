//! What an SSESpecification asks for. The key is kept and told back; nothing is encrypted. Pure.
//! Source: docs/spec/dynamodb-api.md 2.1 row 35, 2.2.

use sha2::{Digest, Sha256};
use tailrace_api::tables::{SseDescription, SseSpecification, SseStatus, SseType};
use tailrace_core::ApiError;

use super::rules::invalid;
use super::settings::Encryption;
use crate::settings::Settings;

/// The alias of the key that AWS manages.
const AWS_KEY_ALIAS: &str = "alias/aws/dynamodb";

/// Rules that need no table.
pub(crate) fn check(given: Option<&SseSpecification>) -> Result<(), ApiError> {
    let Some(given) = given else { return Ok(()) };
    match (given.enabled, given.sse_type, &given.kms_master_key_id) {
        (Some(false), Some(_), _) => Err(invalid("SSEType can not be specified if Enabled is false")),
        (Some(false), None, Some(_)) => Err(invalid("KMSMasterKeyId can not be specified if Enabled is false")),
        (_, Some(SseType::Aes256), _) => Err(invalid("SSEType AES256 is not supported")),
        (_, None, Some(_)) => Err(invalid("SSEType KMS is required if KMSMasterKeyId is specified")),
        _ => Ok(()),
    }
}

/// The encryption of a table that is new.
pub(crate) fn of_new_table(given: Option<&SseSpecification>, settings: &Settings) -> Option<Encryption> {
    given.and_then(|given| wanted(given, settings))
}

/// What UpdateTable makes of a table's encryption.
///
/// # Errors
/// It is that already.
pub(crate) fn change(
    encryption: &mut Option<Encryption>,
    given: &SseSpecification,
    settings: &Settings,
) -> Result<(), ApiError> {
    let wanted = wanted(given, settings);
    match (&encryption, &wanted) {
        (None, None) => return Err(invalid("Table is already encrypted by default")),
        // Only the key's own ARN is told to be the same; a key that is named in another way is set again.
        (Some(old), _) if given.kms_master_key_id.as_ref() == Some(&old.kms_key_arn) => {
            return Err(invalid(
                "Table is already encrypted with given KMSMasterKeyId. Use KMSMasterKeyId parameter if you want to \
                 change Master Key",
            ));
        }
        _ => {}
    }
    *encryption = wanted;
    Ok(())
}

fn wanted(given: &SseSpecification, settings: &Settings) -> Option<Encryption> {
    let id = given.kms_master_key_id.as_deref().unwrap_or(AWS_KEY_ALIAS);
    given.is_on().then(|| Encryption { kms_key_arn: key_arn(id, settings) })
}

/// The ARN of the key that `id` names: by itself, by an ARN, or by an alias. There is nobody to ask which key an alias stands for, so
/// each has a key that is made up, always the same.
fn key_arn(id: &str, settings: &Settings) -> String {
    let alias = id.split_once(":alias/").map(|(_, alias)| alias).or_else(|| id.strip_prefix("alias/"));
    match alias {
        Some(alias) => format!("arn:aws:kms:{}:key/{}", settings.arn_scope(), made_up_id(alias, settings)),
        None if id.starts_with("arn:") => id.to_owned(),
        None => format!("arn:aws:kms:{}:key/{id}", settings.arn_scope()),
    }
}

/// A UUID (version 8: our own) of an alias.
fn made_up_id(alias: &str, settings: &Settings) -> String {
    let digest = Sha256::digest(format!("{}:alias/{alias}", settings.arn_scope()));
    let mut bytes: [u8; 16] = std::array::from_fn(|at| digest[at]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    tailrace_core::ids::uuid_text(u128::from_be_bytes(bytes))
}

/// The encryption as a description tells of it; absent for the default.
pub(crate) fn describe(encryption: Option<&Encryption>) -> Option<SseDescription> {
    encryption.map(|encryption| SseDescription {
        status: SseStatus::Enabled,
        sse_type: Some(SseType::Kms),
        kms_master_key_arn: Some(encryption.kms_key_arn.clone()),
    })
}

/// What UpdateTable answers of a change: the encryption before it, and that it is being changed.
pub(crate) fn updating(before: Option<&Encryption>) -> Option<SseDescription> {
    Some(SseDescription {
        status: SseStatus::Updating,
        sse_type: before.map(|_| SseType::Kms),
        kms_master_key_arn: before.map(|before| before.kms_key_arn.clone()),
    })
}
