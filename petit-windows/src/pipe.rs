//! Named pipes that only their owner and the system can open.
//!
//! By its default access list a pipe can be read by everyone on the computer, and names of pipes can be listed by
//! everyone ("Named Pipe Security and Access Rights", Win32).

use std::ffi::c_void;
use std::io;
use std::ptr;

use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};

use windows_sys::Win32::Foundation::ERROR_SEM_TIMEOUT;
use windows_sys::Win32::System::Pipes::WaitNamedPipeW;

use crate::security::{Descriptor, user, wide};

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

    /// The same, which administrators can open as well: that of a service of the system, which they look after.
    ///
    /// # Errors
    /// When the system does not say who the user is.
    pub fn of_service(name: String) -> io::Result<Self> {
        let Self { name, access } = Self::new(name)?;
        Ok(Self { name, access: format!("{access}(A;;GA;;;BA)") })
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
        let mut attributes = descriptor.attributes();
        let attributes: *mut c_void = ptr::from_mut(&mut attributes).cast();
        let options = options.reject_remote_clients(true);
        // SAFETY: `attributes` is a SECURITY_ATTRIBUTES whose descriptor was made by the system; both live until the
        // call returns, and the system copies what it keeps.
        unsafe { options.create_with_security_attributes_raw(&self.name, attributes) }
    }
}

/// True while some process has a pipe of this name, which may be busy. Nothing of it is taken, and nobody there notices.
pub fn exists(name: &str) -> bool {
    /// In milliseconds: how long a busy one is waited for.
    const AT_ONCE: u32 = 1;
    let name = wide(name);
    // SAFETY: the name ends with a zero, and lives until the call returns.
    let is_free = unsafe { WaitNamedPipeW(name.as_ptr(), AT_ONCE) } != 0;
    is_free || io::Error::last_os_error().raw_os_error() == Some(ERROR_SEM_TIMEOUT.cast_signed())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may assert by failing")]

    use std::os::windows::io::AsRawHandle;
    use std::time::Duration;

    use tokio::net::windows::named_pipe::ClientOptions;
    use windows_sys::Win32::Security::Authorization::{GetSecurityInfo, SE_KERNEL_OBJECT};
    use windows_sys::Win32::Security::DACL_SECURITY_INFORMATION;

    use super::*;

    /// Of a name for each test: they run side by side.
    fn pipe(test: &str) -> PrivatePipe {
        let name = format!(r"\\.\pipe\petit-test-{test}-{}", std::process::id());
        PrivatePipe::new(name).unwrap()
    }

    /// The access list that the system has for a pipe.
    fn access(pipe: &NamedPipeServer) -> String {
        let mut descriptor = ptr::null_mut();
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
        Descriptor(descriptor).text(DACL_SECURITY_INFORMATION).unwrap()
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
    async fn a_services_can_be_opened_by_administrators_as_well() {
        let name = format!(r"\\.\pipe\petit-test-service-{}", std::process::id());
        let access = access(&PrivatePipe::of_service(name).unwrap().first().unwrap());
        let entries: Vec<&str> = access.split('(').skip(1).collect();
        assert_eq!(entries.len(), 3, "{access}");
        assert!(entries.iter().any(|entry| entry.ends_with(";BA)")), "{access}");
    }

    #[tokio::test]
    async fn it_exists_as_long_as_somebody_serves_it() {
        let pipe = pipe("exists");
        assert!(!exists(pipe.name()));
        let first = pipe.first().unwrap();
        assert!(exists(pipe.name()));
        // Nothing was taken.
        let client = ClientOptions::new().open(pipe.name()).unwrap();
        first.connect().await.unwrap();
        assert!(exists(pipe.name()), "it is busy");
        drop((client, first));
        // It is closed when what was begun with it is called off.
        let gone = async {
            while exists(pipe.name()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
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
