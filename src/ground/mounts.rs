//! Which mount a path is on.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Its type, as in `/proc/filesystems`; FUSE types with their subtype.
    pub kind: String,
    /// What is mounted: a device, or the file system's own word.
    pub source: String,
    /// The kernel's numbers of its device.
    pub device: (u32, u32),
    /// The options of the file system.
    options: Vec<String>,
}

impl Mount {
    /// Whether an ext file system writes contents through its journal. Options that are set in the file system itself
    /// stand in `/proc/fs` only.
    #[must_use]
    pub fn journals_data(&self) -> bool {
        let (major, minor) = self.device;
        let device = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).unwrap_or_default();
        let effective = Path::new("/proc/fs").join(&self.kind).join(device.file_name().unwrap_or_default());
        let effective = fs::read_to_string(effective.join("options")).unwrap_or_default();
        self.options.iter().map(String::as_str).chain(effective.lines()).any(|option| option == "data=journal")
    }
}

/// The mount that `path`, absolute and without links, is on, by the text of `/proc/self/mountinfo`.
#[must_use]
pub fn of(mountinfo: &str, path: &Path) -> Option<Mount> {
    let mounts = mountinfo.lines().filter_map(parse).filter(|mount| path.starts_with(&mount.point));
    // Of mounts at the same point the last one lies on top.
    mounts.max_by_key(|mount| mount.point.components().count())
}

/// `id parent major:minor root point options [tags] - kind source options`
fn parse(line: &str) -> Option<Mount> {
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(2);
    let (major, minor) = place.next()?.split_once(':')?;
    let point = PathBuf::from(unescape(place.nth(1)?));
    let mut what = what.split(' ');
    Some(Mount {
        point,
        kind: what.next()?.to_owned(),
        source: unescape(what.next()?).to_string_lossy().into_owned(),
        device: (major.parse().ok()?, minor.parse().ok()?),
        options: what.next().unwrap_or_default().split(',').map(str::to_owned).collect(),
    })
}

/// Spaces and the like are written as `\040`.
fn unescape(text: &str) -> OsString {
    let (bytes, mut plain, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *byte == b'\\');
        plain.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 4 } else { 1 };
    }
    OsString::from_vec(plain)
}
