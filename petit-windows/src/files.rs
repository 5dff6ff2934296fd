//! Which file it is that has a name.

use std::fs::File;
use std::io;
use std::mem;
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ID_INFO, FileIdInfo, GetFileInformationByHandle,
    GetFileInformationByHandleEx,
};

/// The volume that a file is on, and its number there.
///
/// # Errors
/// That of the system.
pub fn identity(file: &File) -> io::Result<(u64, [u8; 16])> {
    let mut found = FILE_ID_INFO::default();
    // SAFETY: the handle lives in `file`; the structure is the one that belongs to this class, and as long as is said.
    let done = unsafe {
        GetFileInformationByHandleEx(
            file.as_raw_handle(),
            FileIdInfo,
            (&raw mut found).cast(),
            mem::size_of::<FILE_ID_INFO>() as u32,
        )
    };
    if done != 0 {
        return Ok((found.VolumeSerialNumber, found.FileId.Identifier));
    }
    // Not every file system has numbers that long.
    let mut found = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle lives in `file`, and the structure is written once.
    if unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut found) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut number = [0; 16];
    let index = (u64::from(found.nFileIndexHigh) << 32) | u64::from(found.nFileIndexLow);
    for (to, from) in number.iter_mut().zip(index.to_le_bytes()) {
        *to = from;
    }
    Ok((u64::from(found.dwVolumeSerialNumber), number))
}
