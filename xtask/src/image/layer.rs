//! The file system of an image as one layer: a tar archive that comes out the same each time.

use tar::{EntryType, Header};

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// What the program cannot change.
    Root,
    /// The user that the program runs as.
    Petit,
}

impl Owner {
    /// User and group. 65532 is `nonroot` in the images of others, and nobody's number on an ordinary system.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Root => 0,
            Self::Petit => 65532,
        }
    }
}

/// A file, or a folder, which has no content.
pub(super) struct Entry {
    /// Without a slash before it.
    path: String,
    content: Option<Vec<u8>>,
    mode: u32,
    owner: Owner,
}

impl Entry {
    pub(super) fn folder(path: &str, mode: u32, owner: Owner) -> Self {
        Self { path: path.to_owned(), content: None, mode, owner }
    }

    pub(super) fn file(path: &str, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.to_owned(), content: Some(content.into()), mode: 0o644, owner: Owner::Root }
    }

    pub(super) fn program(path: &str, content: Vec<u8>) -> Self {
        Self { mode: 0o755, ..Self::file(path, content) }
    }
}

/// The archive of some files, and of the folders that they are in. `moment`: when all of them were written, in seconds
/// since 1970.
pub(super) fn archive(mut entries: Vec<Entry>, moment: u64) -> Result<Vec<u8>, String> {
    for path in entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>() {
        let ends = path.match_indices('/').map(|(end, _)| end);
        for folder in ends.filter_map(|end| path.get(..end)) {
            if !entries.iter().any(|entry| entry.path == folder) {
                entries.push(Entry::folder(folder, 0o755, Owner::Root));
            }
        }
    }
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    let failed = |error: std::io::Error| format!("cannot write a layer: {error}");
    let mut archive = tar::Builder::new(Vec::new());
    for Entry { path, content, mode, owner } in &entries {
        let mut header = Header::new_ustar();
        let (kind, path) = match content {
            Some(_) => (EntryType::Regular, path.clone()),
            None => (EntryType::Directory, format!("{path}/")),
        };
        header.set_entry_type(kind);
        header.set_path(path).map_err(failed)?;
        header.set_mode(*mode);
        header.set_uid(owner.number());
        header.set_gid(owner.number());
        header.set_mtime(moment);
        let content = content.as_deref().unwrap_or_default();
        header.set_size(content.len() as u64);
        header.set_cksum();
        archive.append(&header, content).map_err(failed)?;
    }
    archive.into_inner().map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may assert by failing")]

    use super::*;

    #[test]
    fn an_archive_has_each_folder_once_and_says_whose_all_is() {
        let entries = || {
            vec![
                Entry::program("usr/bin/petit", b"program".to_vec()),
                Entry::file("usr/share/doc/x", "x"),
                Entry::folder("var/lib/petit", 0o700, Owner::Petit),
            ]
        };
        let bytes = archive(entries(), 7).unwrap();
        let mut found = Vec::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap()), (7, header.gid().unwrap()));
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            found.push(format!("{path} {:o} {}", header.mode().unwrap(), header.uid().unwrap()));
        }
        let expected = [
            "usr/ 755 0",
            "usr/bin/ 755 0",
            "usr/bin/petit 755 0",
            "usr/share/ 755 0",
            "usr/share/doc/ 755 0",
            "usr/share/doc/x 644 0",
            "var/ 755 0",
            "var/lib/ 755 0",
            "var/lib/petit/ 700 65532",
        ];
        assert_eq!(found, expected);
        let mut other = entries();
        other.reverse();
        assert_eq!(archive(other, 7).unwrap(), bytes, "the order in which they are named does not matter");
    }
}
