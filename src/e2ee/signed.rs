//! Signed JSON objects: comparing, checking and joining their signatures
//! ([spec](https://spec.matrix.org/latest/appendices/#signing-json)).

use ruma::{
    UserId,
    canonical_json::try_from_json_map,
    serde::{Base64, base64::Standard},
    signatures::{SigningKeyAlgorithm, to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};
use serde_json::{Map, Value};

use super::Error;

/// The algorithm of every signing key of an account or device.
pub(super) const ED25519: &str = "ed25519";

/// The object without what may differ between two copies of it.
pub(super) fn bare(object: &Value) -> Value {
    let mut bare = object.clone();
    if let Some(map) = bare.as_object_mut() {
        map.remove("signatures");
        map.remove("unsigned");
    }
    bare
}

/// Whether both are the same but for their signatures.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    bare(one) == bare(other)
}

/// The object as it is stored: `unsigned` is not the uploader's to say.
pub(super) fn storable(mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.remove("unsigned");
    }
    object
}

/// A signature on the object.
pub(super) fn signature<'a>(object: &'a Value, by: &UserId, key_id: &str) -> Option<&'a str> {
    object.get("signatures")?.get(by.as_str())?.get(key_id)?.as_str()
}

/// The key ids under which `by` signed the object.
pub(super) fn signers<'a>(object: &'a Value, by: &UserId) -> impl Iterator<Item = &'a str> {
    let map = object.get("signatures").and_then(|all| all.get(by.as_str())).and_then(Value::as_object);
    map.into_iter().flatten().map(|(key_id, _)| key_id.as_str())
}

/// Whether `by` signed the object with the Ed25519 key `public`, in unpadded base64, under `key_id`.
pub(super) fn verify(object: &Value, by: &UserId, key_id: &str, public: &str) -> Result<(), Error> {
    let signature = signature(object, by, key_id).ok_or(Error::InvalidSignature)?;
    let decode = |text: &str| Base64::<Standard>::parse(text).map_err(|_| Error::InvalidSignature);
    let (signature, public) = (decode(signature)?, decode(public)?);
    let Value::Object(map) = object.clone() else { return Err(Error::Malformed) };
    let map = try_from_json_map(map).map_err(|_| Error::Malformed)?;
    let text = to_canonical_json_string_for_signing(&map).map_err(|_| Error::Malformed)?;
    verify_canonical_json_bytes(&SigningKeyAlgorithm::Ed25519, public.as_bytes(), signature.as_bytes(), text.as_bytes())
        .map_err(|_| Error::InvalidSignature)
}

/// Puts a signature on the object, whatever `signatures` was before.
pub(super) fn add(object: &mut Value, by: &UserId, key_id: &str, signature: &str) {
    let Some(map) = object.as_object_mut() else { return };
    let all = map.entry("signatures").or_insert_with(|| Value::Object(Map::new()));
    if !all.is_object() {
        *all = Value::Object(Map::new());
    }
    let Some(all) = all.as_object_mut() else { return };
    let own = all.entry(by.as_str()).or_insert_with(|| Value::Object(Map::new()));
    if !own.is_object() {
        *own = Value::Object(Map::new());
    }
    if let Some(own) = own.as_object_mut() {
        own.insert(key_id.to_owned(), Value::String(signature.to_owned()));
    }
}

/// The only key of a cross-signing key object, in unpadded base64.
pub(super) fn only_key(object: &Value) -> Option<&str> {
    let keys = object.get("keys")?.as_object()?;
    let (id, public) = keys.iter().next().filter(|_| keys.len() == 1)?;
    let public = public.as_str()?;
    (id.strip_prefix("ed25519:") == Some(public)).then_some(public)
}

/// The Ed25519 key of a device, in unpadded base64.
pub(super) fn device_key<'a>(object: &'a Value, device: &str) -> Option<&'a str> {
    object.get("keys")?.get(format!("{ED25519}:{device}"))?.as_str()
}
