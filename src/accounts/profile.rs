//! Profiles: what an account shows of itself to the others of the house.

use ruma::UserId;
use serde_json::Value;

use super::{Account, Accounts, Error};
use crate::house::{self, HouseChange, HouseLedger, Profile};

/// The longest name of a field in bytes (specification, "Profiles").
const LONGEST_FIELD: usize = 255;
/// The largest profile in bytes (specification, "Profiles").
const LARGEST_PROFILE: usize = 64 * 1024;

/// Why a profile does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The name of the field is too long.
    #[error("the field's name is too long")]
    FieldTooLong,
    /// The profile would be too large.
    #[error("the profile is too large")]
    TooLarge,
    /// The account layer failed.
    #[error("the account failed")]
    Account(#[from] Error),
}

impl From<house::Error> for ProfileError {
    fn from(error: house::Error) -> Self {
        Self::Account(error.into())
    }
}

impl Accounts {
    /// The profile of an account of this server that lives.
    pub fn profile(&self, user: &UserId) -> Result<Option<Profile>, Error> {
        if !self.exists(user)? {
            return Ok(None);
        }
        Ok(Some(self.house.view()?.profiles.get(user.localpart()).cloned().unwrap_or_default()))
    }

    /// Sets a field of the account's profile, or removes it; whether anything changed.
    pub async fn set_profile_field(
        &self,
        account: &Account,
        field: String,
        value: Option<Value>,
    ) -> Result<bool, ProfileError> {
        self.set_profile_field_of(&account.user_id, field, value).await
    }

    /// As [`Accounts::set_profile_field`], for an account that may be cold.
    pub async fn set_profile_field_of(
        &self,
        user: &UserId,
        field: String,
        value: Option<Value>,
    ) -> Result<bool, ProfileError> {
        if field.len() > LONGEST_FIELD {
            return Err(ProfileError::FieldTooLong);
        }
        let name = user.localpart();
        let mut changed = false;
        let decide = |house: &HouseLedger| {
            let before = house.profiles.get(name).cloned().unwrap_or_default();
            let mut profile = before.clone();
            match value {
                Some(value) => profile.0.insert(field, value),
                None => profile.0.remove(&field),
            };
            if profile.0 == before.0 {
                return Ok(Vec::new());
            }
            if serde_json::to_vec(&profile).map_or(usize::MAX, |bytes| bytes.len()) > LARGEST_PROFILE {
                return Err(ProfileError::TooLarge);
            }
            changed = true;
            let profile = (!profile.0.is_empty()).then_some(profile);
            Ok(vec![HouseChange::Profile(name.to_owned(), profile)])
        };
        self.house.try_change(decide).await?;
        Ok(changed)
    }
}
