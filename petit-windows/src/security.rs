//! Who this process is, and who may do what with a file.

use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_ALREADY_EXISTS, ERROR_SUCCESS, HANDLE, LocalFree, WIN32_ERROR,
};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW, ConvertSidToStringSidW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW, SDDL_REVISION_1,
    SE_FILE_OBJECT, SetNamedSecurityInfoW,
};
use windows_sys::Win32::Security::{
    ACL, CheckTokenMembership, CreateWellKnownSid, DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl,
    GetTokenInformation, LookupAccountSidW, OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES, TOKEN_INFORMATION_CLASS, TOKEN_QUERY, TOKEN_USER, TokenUser,
    WinBuiltinAdministratorsSid,
};
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// True where this process has an administrator's rights, and not only a user who could ask for them. An account of a
/// service has not, though the system calls it elevated.
///
/// # Errors
/// When the system does not say.
pub fn is_administrator() -> io::Result<bool> {
    let mut administrators = [0_u64; 9]; // SECURITY_MAX_SID_SIZE is 68 bytes
    let mut size = size_of_val(&administrators) as u32;
    let sid = administrators.as_mut_ptr().cast();
    // SAFETY: the buffer is as long as is said, and aligned; this group is of no domain.
    let done =
        unsafe { CreateWellKnownSid(WinBuiltinAdministratorsSid, ptr::null_mut(), sid, &raw mut size) };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut is_member = 0;
    // SAFETY: the identifier was just written; without a token it is this process that is asked about.
    let done = unsafe { CheckTokenMembership(ptr::null_mut(), sid, &raw mut is_member) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(is_member != 0) }
}

/// The account of this process, such as `NT SERVICE\petit-client`.
///
/// # Errors
/// When the system does not say.
pub fn account() -> io::Result<String> {
    const MOST: u32 = 256; // longer than names of users and computers may be (UNLEN)
    let user = User::of_this_process()?;
    let (mut name, mut domain) = ([0_u16; MOST as usize], [0_u16; MOST as usize]);
    let (mut name_length, mut domain_length, mut kind) = (MOST, MOST, 0);
    // SAFETY: the identifier lives in `user`; both buffers are as long as is said.
    let done = unsafe {
        LookupAccountSidW(
            ptr::null(),
            user.sid(),
            name.as_mut_ptr(),
            &raw mut name_length,
            domain.as_mut_ptr(),
            &raw mut domain_length,
            &raw mut kind,
        )
    };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    let text = |buffer: &[u16], length: u32| {
        String::from_utf16_lossy(buffer.get(..length as usize).unwrap_or_default())
    };
    let (name, domain) = (text(&name, name_length), text(&domain, domain_length));
    Ok(if domain.is_empty() { name } else { format!("{domain}\\{name}") })
}

/// Owner and access list of a file or folder, in the security descriptor definition language.
///
/// # Errors
/// That of the system.
pub fn described(path: &Path) -> io::Result<String> {
    let name = wide(path);
    let mut descriptor = ptr::null_mut();
    let asked = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
    let none = ptr::null_mut();
    // SAFETY: `name` ends with a zero; nothing is asked for but the descriptor, which is written once.
    let code = unsafe {
        GetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            asked,
            none,
            none,
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    done(code)?;
    Descriptor(descriptor).text(asked)
}

/// Makes a folder with this access list (in the same language), before anybody can put something into it. False when
/// something of that name is there already, which is left as it is.
///
/// # Errors
/// That of the system.
pub fn make_folder(path: &Path, access: &str) -> io::Result<bool> {
    let name = wide(path);
    let descriptor = Descriptor::of(access)?;
    let attributes = descriptor.attributes();
    // SAFETY: `name` ends with a zero, and `attributes` lead to a descriptor of the system's own; both outlive the call.
    if unsafe { CreateDirectoryW(name.as_ptr(), &raw const attributes) } != 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(ERROR_ALREADY_EXISTS.cast_signed()) { Ok(false) } else { Err(error) }
}

/// Gives a folder this access list, and all in it what follows from that.
///
/// # Errors
/// That of the system.
pub fn give_access(path: &Path, access: &str) -> io::Result<()> {
    let name = wide(path);
    let descriptor = Descriptor::of(access)?;
    let list = descriptor.list()?;
    // SAFETY: `name` ends with a zero, and `list` lies in the descriptor, which outlives the call.
    done(unsafe {
        SetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION,
            ptr::null_mut(),
            ptr::null_mut(),
            list,
            ptr::null(),
        )
    })
}

/// A text as the system reads it.
pub(crate) fn wide(text: impl AsRef<std::ffi::OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}

/// What a call that returns its error came to.
pub(crate) fn done(code: WIN32_ERROR) -> io::Result<()> {
    if code == ERROR_SUCCESS { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}

/// A security descriptor that the system has allocated.
pub(crate) struct Descriptor(pub(crate) PSECURITY_DESCRIPTOR);

impl Descriptor {
    pub(crate) fn of(text: &str) -> io::Result<Self> {
        let text = wide(text);
        let mut descriptor = ptr::null_mut();
        // SAFETY: `text` ends with a zero, `descriptor` is written once, and its size is not asked for.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(Self(descriptor)) }
    }

    /// For a call that makes something. They lead to this descriptor, and are of no use after it.
    pub(crate) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        }
    }

    pub(crate) fn text(&self, parts: u32) -> io::Result<String> {
        let mut text = ptr::null_mut();
        // SAFETY: the descriptor is the system's own, `text` is written once, and its length is not asked for.
        let done = unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                self.0,
                SDDL_REVISION_1,
                parts,
                &raw mut text,
                ptr::null_mut(),
            )
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(SystemText(text).read()) }
    }

    /// The access list in it.
    fn list(&self) -> io::Result<*const ACL> {
        let (mut is_there, mut list, mut by_default) = (0, ptr::null_mut(), 0);
        // SAFETY: the descriptor is the system's own, and all three are written once.
        let done = unsafe {
            GetSecurityDescriptorDacl(self.0, &raw mut is_there, &raw mut list, &raw mut by_default)
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(list) }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: it was allocated by the system, which says that LocalFree gives it back; nobody else has it.
        unsafe { LocalFree(self.0) };
    }
}

/// A text of the system's, without the zero at its end.
///
/// # Safety
/// There is a zero at its end, and it lives as long as what is returned is used.
pub(crate) unsafe fn words<'a>(text: *const u16) -> &'a [u16] {
    let mut length = 0;
    loop {
        // SAFETY: no word before this one was the zero at the end, so it is one of the text's.
        let word = unsafe { text.add(length) };
        // SAFETY: as above.
        if unsafe { word.read() } == 0 {
            break;
        }
        length += 1;
    }
    // SAFETY: so many words were just read.
    unsafe { std::slice::from_raw_parts(text, length) }
}

/// A text that the system has allocated, with a zero at its end.
struct SystemText(*mut u16);

impl SystemText {
    fn read(&self) -> String {
        // SAFETY: the text ends with a zero, and lives as long as this.
        let words = unsafe { words(self.0) };
        String::from_utf16_lossy(words)
    }
}

impl Drop for SystemText {
    fn drop(&mut self) {
        // SAFETY: it was allocated by the system, which says that LocalFree gives it back; nobody else has it.
        unsafe { LocalFree(self.0.cast()) };
    }
}

/// A handle that is closed with this.
struct Owned(HANDLE);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the handle was opened by us, and is closed here alone.
        unsafe { CloseHandle(self.0) };
    }
}

/// What the system tells of this process's token. The longest is a TOKEN_USER with the identifier behind it, which is 68
/// bytes at most (SECURITY_MAX_SID_SIZE). Of words, so that it is aligned as the structures are.
struct Told([u64; 16]);

impl Told {
    /// In its place on the heap, because some of it leads into itself.
    fn of(what: TOKEN_INFORMATION_CLASS) -> io::Result<Box<Self>> {
        // SAFETY: it always succeeds, and what it gives is no handle that would have to be closed.
        let process = unsafe { GetCurrentProcess() };
        let mut token = ptr::null_mut();
        // SAFETY: `process` is this one, and `token` is written once.
        if unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) } == 0 {
            return Err(io::Error::last_os_error());
        }
        let token = Owned(token);
        let mut told = Box::new(Self([0; 16]));
        let size = size_of_val(&told.0) as u32;
        let mut used = 0;
        // SAFETY: the buffer is as long as is said, and aligned.
        let done =
            unsafe { GetTokenInformation(token.0, what, told.0.as_mut_ptr().cast(), size, &raw mut used) };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(told) }
    }
}

/// The user of this process.
struct User(Box<Told>);

impl User {
    fn of_this_process() -> io::Result<Self> {
        Told::of(TokenUser).map(Self)
    }

    fn sid(&self) -> windows_sys::Win32::Security::PSID {
        // SAFETY: the call has written a TOKEN_USER to the begin of the aligned buffer.
        let user = unsafe { self.0.0.as_ptr().cast::<TOKEN_USER>().read() };
        user.User.Sid
    }
}

/// The security identifier of this process's user, as text.
pub(crate) fn user() -> io::Result<String> {
    let user = User::of_this_process()?;
    let mut text = ptr::null_mut();
    // SAFETY: the identifier lives in `user`, and `text` is written once.
    if unsafe { ConvertSidToStringSidW(user.sid(), &raw mut text) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(SystemText(text).read())
}
