//! Renames on Windows of files that another program has open for a moment.

use std::io;
use std::time::Duration;

/// How often a rename is tried on Windows while another program, such as a virus scanner, has the file open.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Who tries a rename again that fails because another program has the file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// It is waited for, on this thread.
    Soon,
    /// Whoever wanted it.
    ByCaller,
}

impl Retry {
    pub(super) fn rename(self, mut rename: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let mut attempt = 1;
        loop {
            match rename() {
                Err(error)
                    if self == Self::Soon
                        && attempt < ATTEMPTS
                        && error.kind() != io::ErrorKind::NotFound =>
                {
                    attempt += 1;
                    std::thread::sleep(PAUSE);
                }
                renamed => return renamed,
            }
        }
    }
}
