//! Golden bytes: what a format was when it was agreed, as hex text under `tests/golden/seal/`.

use std::{fmt::Write, fs, path::PathBuf};

/// Fails unless `bytes` are those of the file `name`. With `LETHE_GOLDEN=write` in the environment the file is made
/// instead, which a format change does on purpose and never otherwise.
pub(super) fn check(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/seal").join(format!("{name}.hex"));
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    if std::env::var_os("LETHE_GOLDEN").is_some_and(|value| value == "write") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "the bytes of {name} changed");
}
