//! Who can change a file, by what Windows says of it in the security descriptor definition language.

use std::io;
use std::path::Path;

use petit_windows::security;

/// Whoever may do one of these to a file can change it, or take its place: write, append, delete, change its access list
/// or owner ("File Access Rights Constants", Win32), or all of that by the generic rights.
const CHANGES_FILE: u32 = 0x2 | 0x4 | MAY_ALL;
/// The same of a folder: put files into it, delete what is in it. New folders in it are no harm.
const CHANGES_FOLDER: u32 = 0x2 | 0x40 | MAY_ALL;
const MAY_ALL: u32 = 0x1_0000 | 0x4_0000 | 0x8_0000 | 0x4000_0000 | 0x1000_0000;

/// Who may do everything anyway: administrators, the system, and what installs Windows' own files.
const TRUSTED: [&str; 5] = [
    "BA",
    "SY",
    "S-1-5-32-544",
    "S-1-5-18",
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
];
/// Wine has one user, whom it calls this; Windows gives nobody an identifier of zeros. It owns all files there.
const WINES_USER: &str = "S-1-5-21-0-0-0-1000";

/// Rights that the language has names for ("ACE Strings", Win32).
const NAMED: [(&str, u32); 21] = [
    ("GA", 0x1000_0000),
    ("GR", 0x8000_0000),
    ("GW", 0x4000_0000),
    ("GX", 0x2000_0000),
    ("RC", 0x2_0000),
    ("SD", 0x1_0000),
    ("WD", 0x4_0000),
    ("WO", 0x8_0000),
    ("CC", 0x1),
    ("DC", 0x2),
    ("LC", 0x4),
    ("SW", 0x8),
    ("RP", 0x10),
    ("WP", 0x20),
    ("DT", 0x40),
    ("LO", 0x80),
    ("CR", 0x100),
    ("FA", 0x1f_01ff),
    ("FR", 0x12_0089),
    ("FW", 0x12_0116),
    ("FX", 0x12_00a0),
];

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
}

/// Who beside administrators can change a file, or a folder on the way to it: its identifier.
///
/// # Errors
/// That of the system.
pub(super) fn who_else_changes(file: &Path) -> io::Result<Option<String>> {
    for (kind, path) in std::iter::once((Kind::File, file)).chain(folders(file)) {
        if let Some(other) = who_else(kind, &security::described(path)?) {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// The same of a file or folder itself, whatever the folders on the way to it allow.
///
/// # Errors
/// That of the system.
pub(super) fn who_else_changes_itself(kind: Kind, path: &Path) -> io::Result<Option<String>> {
    Ok(who_else(kind, &security::described(path)?))
}

fn folders(file: &Path) -> impl Iterator<Item = (Kind, &Path)> {
    file.ancestors().skip(1).map(|folder| (Kind::Folder, folder))
}

/// Who beside administrators can change what is described so; `None` where nobody can. What is not understood counts as
/// something that can.
pub(super) fn who_else(kind: Kind, described: &str) -> Option<String> {
    let is_trusted = |who: &str| TRUSTED.contains(&who) || who == WINES_USER;
    // The parts begin with a letter and a colon, and identifiers have neither.
    let owner = described.strip_prefix("O:").and_then(|rest| rest.split("D:").next()).unwrap_or_default();
    let owner = owner.split("G:").next().unwrap_or_default();
    if !is_trusted(owner) {
        return Some(owner.to_owned());
    }
    let Some((_, list)) = described.split_once("D:") else { return Some("everybody".to_owned()) };
    if !list.contains('(') {
        // None at all is no restriction; an empty one lets nobody in.
        return list.contains("NO_ACCESS_CONTROL").then(|| "everybody".to_owned());
    }
    let changes = if kind == Kind::File { CHANGES_FILE } else { CHANGES_FOLDER };
    list.split('(').skip(1).find_map(|entry| {
        let mut fields = entry.split(')').next().unwrap_or_default().split(';');
        let (kind, flags, rights) = (fields.next()?, fields.next()?, fields.next()?);
        let who = fields.nth(2).unwrap_or("everybody");
        let is_denied = matches!(kind, "D" | "OD" | "XD");
        // Only for what is made in it.
        let is_for_others = pairs(flags).any(|flag| flag == "IO");
        let may_change = mask(rights).is_none_or(|rights| rights & changes != 0);
        (!is_denied && !is_for_others && may_change && !is_trusted(who)).then(|| who.to_owned())
    })
}

fn pairs(text: &str) -> impl Iterator<Item = &str> {
    (0..text.len()).step_by(2).filter_map(|at| text.get(at..at + 2))
}

/// Rights as a number; `None` where one of them is not known.
fn mask(rights: &str) -> Option<u32> {
    if let Some(digits) = rights.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).ok();
    }
    if !rights.len().is_multiple_of(2) {
        return None;
    }
    let known = |name: &str| NAMED.iter().find(|(known, _)| *known == name).map(|(_, right)| *right);
    pairs(rights).map(known).try_fold(0, |all, right| Some(all | right?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_windows_only_what_administrators_alone_can_change_is_taken() {
        // Windows' own: what is in the folder of programs, the folder itself, and the root of the disk.
        let program = "O:BAG:S-1-5-21-1-2-3-513D:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)(A;ID;0x1200a9;;;AC)";
        let installer = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
        let programs = format!(
            "O:{installer}D:PAI(A;;FA;;;{installer})(A;CIIO;GA;;;{installer})(A;;0x1301bf;;;SY)(A;OICIIO;GA;;;SY)\
             (A;;0x1301bf;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)"
        );
        let root = format!(
            "O:{installer}D:PAI(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;CI;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;OICI;FRFX;;;BU)"
        );
        assert_eq!(who_else(Kind::File, program), None);
        assert_eq!(who_else(Kind::Folder, &programs), None);
        assert_eq!(who_else(Kind::Folder, &root), None);
        // A user's own, as an installer for one user makes it: by its owner, and by the list.
        let user = "S-1-5-21-1-2-3-1001";
        let own = format!("O:{user}D:(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;{user})");
        assert_eq!(who_else(Kind::File, &own).as_deref(), Some(user));
        let own = format!("O:BAD:(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;{user})");
        assert_eq!(who_else(Kind::File, &own).as_deref(), Some(user));
    }

    #[test]
    fn what_lets_somebody_write_is_found_however_it_is_written() {
        for (kind, list, who) in [
            (Kind::File, "(A;;0x1301bf;;;WD)", Some("WD")),
            (Kind::File, "(A;;FRFXDC;;;BU)", Some("BU")),
            (Kind::File, "(XA;;FA;;;AU;(x))", Some("AU")),
            (Kind::File, "(A;;??;;;AU)", Some("AU")),
            (Kind::File, "(A;;FRFX;;;WD)", None),
            (Kind::File, "(D;;FA;;;WD)", None),
            (Kind::File, "NO_ACCESS_CONTROL", Some("everybody")),
            (Kind::File, "P", None),
            (Kind::Folder, "(A;;LC;;;AU)", None),
            (Kind::Folder, "(A;;DT;;;AU)", Some("AU")),
            (Kind::Folder, "(A;;GA;;;AU)", Some("AU")),
        ] {
            let found = who_else(kind, &format!("O:BAD:{list}"));
            assert_eq!(found.as_deref(), who, "{list}");
        }
        assert_eq!(who_else(Kind::File, "").as_deref(), Some(""));
    }

    #[test]
    fn a_file_that_is_there_is_looked_at_with_the_folders_above_it() {
        let windows = Path::new(r"C:\windows\system32\kernel32.dll");
        assert_eq!(who_else_changes(windows).unwrap(), None);
    }
}
