//! The search of a disk: every form a marker may have, every file and every row.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use super::Markers;
use crate::http::escape;

/// Which places each field's value is found in, in any of its forms.
pub(super) fn search(markers: &Markers, places: &[(String, Vec<u8>)]) -> BTreeMap<String, Vec<String>> {
    let mut hits = BTreeMap::new();
    for (field, (value, _)) in &markers.0 {
        let forms = forms(value);
        let found = places.iter().filter(|(_, bytes)| forms.iter().any(|form| contains(bytes, form)));
        hits.insert(field.clone(), found.map(|(name, _)| name.clone()).collect());
    }
    hits
}

/// Plain, base64 at every alignment and in both alphabets, hex, percent form.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let bytes = value.as_bytes();
    let mut forms = vec![bytes.to_vec()];
    for shift in 0..3 {
        let shifted = [vec![0; shift], bytes.to_vec()].concat();
        // The letters that depend on what stands before or behind are left out.
        let (start, end) = (shift * 8 / 6 + usize::from(shift > 0), (shifted.len() * 8) / 6);
        for text in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            forms.extend(text.get(start..end).map(|text| text.as_bytes().to_vec()));
        }
    }
    let hex = |upper| -> String {
        bytes.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect()
    };
    forms.extend([hex(false).into_bytes(), hex(true).into_bytes(), escape(value).into_bytes()]);
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    forms.extend([percent.to_uppercase().into_bytes(), percent.into_bytes()]);
    forms.retain(|form| form.len() >= 8);
    forms.sort_unstable();
    forms.dedup();
    forms
}

fn contains(bytes: &[u8], form: &[u8]) -> bool {
    let first = form[0];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        rest = &rest[at..];
        if rest.starts_with(form) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

pub(super) fn read_files(directory: &Path, places: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path: PathBuf = entry.expect("an entry").path();
        places.push((
            format!("name of {}", path.display()),
            path.file_name().expect("a name").as_encoded_bytes().to_vec(),
        ));
        if path.is_dir() {
            read_files(&path, places);
        } else if path.is_file() {
            places.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
}

/// Every key and value of every database, through RocksDB's own reader.
pub(super) fn read_rows(data: &Path, places: &mut Vec<(String, Vec<u8>)>) {
    use rocksdb::{DB, IteratorMode, Options};
    let mut rows = 0;
    for instance in ["records", "soup", "inbox"] {
        let path = data.join(instance);
        let families = DB::list_cf(&Options::default(), &path).expect("a database");
        let database = DB::open_cf_for_read_only(&Options::default(), &path, &families, false).expect("a database");
        for family in &families {
            let handle = database.cf_handle(family).expect("a family");
            let mut all = Vec::new();
            for row in database.iterator_cf(&handle, IteratorMode::Start) {
                let (key, value) = row.expect("a row");
                all.extend_from_slice(&key);
                all.extend_from_slice(&value);
                rows += 1;
            }
            places.push((format!("rows of {instance} {family}"), all));
        }
    }
    assert!(rows > 0, "there are no rows to search");
}

#[cfg(test)]
mod tests {
    use super::{contains, forms};

    #[test]
    fn every_form_is_found_inside_other_bytes() {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let marker = "cnryabcdefghijklmn";
        for before in ["", "x", "xy", "xyz"] {
            let text = STANDARD.encode(format!("{before}{marker}zz"));
            assert!(forms(marker).iter().any(|form| contains(text.as_bytes(), form)), "after {before:?}");
        }
        assert!(!forms(marker).iter().any(|form| contains(b"cnryabcdefghijklm", form)));
    }
}
