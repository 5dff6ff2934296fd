//! What a service may do beyond the rights of its account.

use std::io;

use windows_service::service::Service;
use windows_sys::Win32::System::Services::{
    ChangeServiceConfig2W, SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, SERVICE_REQUIRED_PRIVILEGES_INFOW,
};

use crate::security::wide;

/// Leaves a service no privileges but these from its next start on. Without that it has what every service has, and with
/// the one to act for whoever connects to it, it is known how to become the system.
///
/// # Errors
/// That of the system.
pub fn leave(service: &Service, privileges: &[&str]) -> io::Result<()> {
    // Each ends with a zero, and so does the whole.
    let mut list: Vec<u16> = privileges.iter().flat_map(wide).chain([0]).collect();
    let info = SERVICE_REQUIRED_PRIVILEGES_INFOW { pmszRequiredPrivileges: list.as_mut_ptr() };
    // SAFETY: the handle lives in `service`; `info` is what is said, and leads to `list`, which outlives the call.
    let done = unsafe {
        ChangeServiceConfig2W(
            service.raw_handle(),
            SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO,
            (&raw const info).cast(),
        )
    };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
