//! Named pipes that only their owner and the system can open.
//!
//! By its default access list a pipe can be read by everyone on the computer, and names of pipes can be listed by
//! everyone ("Named Pipe Security and Access Rights", Win32).

use std::ffi::c_void;
use std::io;
use std::ptr;

use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{
    GetTokenInformation, PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES, TOKEN_QUERY, TOKEN_USER, TokenUser,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// Makes pipes of one name.
#[derive(Debug)]
pub struct PrivatePipe {
    name: String,
    /// In the security descriptor definition language.
    access: String,
}

impl PrivatePipe {
    /// A pipe of this name, for the user of this process and the system alone; nothing is made yet.
    ///
    /// # Errors
    /// When the system does not say who the user is.
    pub fn new(name: String) -> io::Result<Self> {
        let user = user()?;
        // Protected (P): nothing is inherited. Generic all, for the system (SY) and the user.
        Ok(Self { name, access: format!("D:P(A;;GA;;;SY)(A;;GA;;;{user})") })
    }

    /// What clients open.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first instance: fails where somebody else has a pipe of this name.
    ///
    /// # Errors
    /// That of the system.
    pub fn first(&self) -> io::Result<NamedPipeServer> {
        self.create(ServerOptions::new().first_pipe_instance(true))
    }

    /// One more instance, for one more client.
    ///
    /// # Errors
    /// That of the system.
    pub fn next(&self) -> io::Result<NamedPipeServer> {
        self.create(&mut ServerOptions::new())
    }

    fn create(&self, options: &mut ServerOptions) -> io::Result<NamedPipeServer> {
        let descriptor = Descriptor::of(&self.access)?;
        let mut attributes = SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: descriptor.0,
            bInheritHandle: 0,
        };
        let attributes: *mut c_void = ptr::from_mut(&mut attributes).cast();
        let options = options.reject_remote_clients(true);
        // SAFETY: `attributes` is a SECURITY_ATTRIBUTES whose descriptor was made by the system; both live until the
        // call returns, and the system copies what it keeps.
        unsafe { options.create_with_security_attributes_raw(&self.name, attributes) }
    }
}

/// A security descriptor that the system has allocated.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    fn of(text: &str) -> io::Result<Self> {
        let text: Vec<u16> = text.encode_utf16().chain([0]).collect();
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
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: it was allocated by the conversion, which says that LocalFree gives it back; nobody else has it.
        unsafe { LocalFree(self.0) };
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

/// The security identifier of this process's user, as text.
fn user() -> io::Result<String> {
    // SAFETY: it always succeeds, and what it gives is no handle that would have to be closed.
    let process = unsafe { GetCurrentProcess() };
    let mut token = ptr::null_mut();
    // SAFETY: `process` is this one, and `token` is written once.
    if unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let token = Owned(token);
    // A TOKEN_USER with the identifier behind it: that is 68 bytes at most (SECURITY_MAX_SID_SIZE). Of words, so that it
    // is aligned as the structure is.
    let mut buffer = [0_u64; 16];
    let size = size_of_val(&buffer) as u32;
    let mut used = 0;
    // SAFETY: the buffer is as long as is said, and aligned.
    let done =
        unsafe { GetTokenInformation(token.0, TokenUser, buffer.as_mut_ptr().cast(), size, &raw mut used) };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has written a TOKEN_USER to the buffer's begin, which lives until the end of this function.
    let user = unsafe { buffer.as_ptr().cast::<TOKEN_USER>().read() };
    let mut text = ptr::null_mut();
    // SAFETY: the identifier lies in the buffer, and `text` is written once.
    if unsafe { ConvertSidToStringSidW(user.User.Sid, &raw mut text) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut length = 0;
    // SAFETY: the text ends with a zero, and nothing behind that is read.
    while unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    // SAFETY: so many words were just read.
    let words = unsafe { std::slice::from_raw_parts(text, length) };
    let user = String::from_utf16_lossy(words);
    // SAFETY: it was allocated by the conversion, which says that LocalFree gives it back; nobody has it any more.
    unsafe { LocalFree(text.cast()) };
    Ok(user)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may assert by failing")]

    use std::os::windows::io::AsRawHandle;

    use tokio::net::windows::named_pipe::ClientOptions;
    use windows_sys::Win32::Security::Authorization::{
        ConvertSecurityDescriptorToStringSecurityDescriptorW, GetSecurityInfo, SE_KERNEL_OBJECT,
    };
    use windows_sys::Win32::Security::DACL_SECURITY_INFORMATION;

    use super::*;

    /// Of a name for each test: they run side by side.
    fn pipe(test: &str) -> PrivatePipe {
        let name = format!(r"\\.\pipe\petit-test-{test}-{}", std::process::id());
        PrivatePipe::new(name).unwrap()
    }

    /// The access list that the system has for a pipe.
    fn access(pipe: &NamedPipeServer) -> String {
        let (mut descriptor, mut text) = (ptr::null_mut(), ptr::null_mut());
        let none = ptr::null_mut();
        // SAFETY: the handle is open, and `descriptor` is written once.
        let code = unsafe {
            GetSecurityInfo(
                pipe.as_raw_handle(),
                SE_KERNEL_OBJECT,
                DACL_SECURITY_INFORMATION,
                none,
                none,
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut descriptor,
            )
        };
        assert_eq!(code, 0);
        let descriptor = Descriptor(descriptor);
        let mut length = 0;
        // SAFETY: the descriptor is the system's own; text and length are written once.
        let done = unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                descriptor.0,
                SDDL_REVISION_1,
                DACL_SECURITY_INFORMATION,
                &raw mut text,
                &raw mut length,
            )
        };
        assert_ne!(done, 0);
        // SAFETY: so many words were written, the zero at the end included.
        let words = unsafe { std::slice::from_raw_parts(text, length as usize) };
        let said = String::from_utf16_lossy(words).trim_end_matches('\0').to_owned();
        // SAFETY: allocated by the conversion.
        unsafe { LocalFree(text.cast()) };
        said
    }

    #[tokio::test]
    async fn its_access_list_names_the_user_and_the_system_alone() {
        let pipe = pipe("access");
        let (first, next) = (pipe.first().unwrap(), pipe.next().unwrap());
        for instance in [&first, &next] {
            let access = access(instance);
            let entries: Vec<&str> = access.split('(').skip(1).collect();
            assert_eq!(entries.len(), 2, "{access}");
            assert!(entries.iter().any(|entry| entry.ends_with(";SY)")), "{access}");
            let user = format!(";{})", user().unwrap());
            assert!(entries.iter().any(|entry| entry.ends_with(&user)), "{access}");
        }
    }

    #[tokio::test]
    async fn the_user_opens_it() {
        let pipe = pipe("open");
        let first = pipe.first().unwrap();
        let client = ClientOptions::new().open(pipe.name()).unwrap();
        first.connect().await.unwrap();
        drop(client);
    }
}
