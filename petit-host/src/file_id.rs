//! Which file it is that has a name: names change hands.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// The same for all names of a file, and for no other file as long as there is this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    volume: u64,
    number: [u8; 16],
}

impl FileId {
    /// That of an open file.
    ///
    /// # Errors
    /// That of the system.
    pub fn of(file: &File) -> io::Result<Self> {
        #[cfg(unix)]
        {
            Ok(Self::told(&file.metadata()?))
        }
        #[cfg(windows)]
        {
            let (volume, number) = petit_windows::files::identity(file)?;
            Ok(Self { volume, number })
        }
    }

    /// That of whatever has a path, a link itself where it is one.
    ///
    /// # Errors
    /// That of the system.
    pub fn at(path: &Path) -> io::Result<Self> {
        #[cfg(unix)]
        {
            Ok(Self::told(&std::fs::symlink_metadata(path)?))
        }
        #[cfg(windows)]
        {
            use std::os::windows::fs::OpenOptionsExt;

            const FILE_READ_ATTRIBUTES: u32 = 0x80;
            const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
            const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000; // folders, too
            let mut options = std::fs::OpenOptions::new();
            options.access_mode(FILE_READ_ATTRIBUTES);
            options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS);
            Self::of(&options.open(path)?)
        }
    }

    #[cfg(unix)]
    fn told(found: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;

        Self { volume: found.dev(), number: u128::from(found.ino()).to_le_bytes() }
    }
}

/// That of the program of this process. To be called first in `main`: later the program's name may be another one's.
/// `None` where the system does not tell.
pub fn of_own_program() -> Option<FileId> {
    static OWN: OnceLock<Option<FileId>> = OnceLock::new();
    *OWN.get_or_init(|| {
        // There it is known at any time, whatever has become of its name.
        #[cfg(target_os = "linux")]
        {
            // Who may run it may not always read it.
            std::fs::metadata("/proc/self/exe").ok().map(|found| FileId::told(&found))
        }
        #[cfg(not(target_os = "linux"))]
        {
            FileId::at(&std::env::current_exe().ok()?).ok()
        }
    })
}
