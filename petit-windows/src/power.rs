//! Sleep and waking, as the system tells of them.

use std::ffi::c_void;
use std::io;
use std::ptr;

use tokio::sync::Notify;
use windows_sys::Win32::System::Power::{
    DEVICE_NOTIFY_SUBSCRIBE_PARAMETERS, HPOWERNOTIFY, PowerRegisterSuspendResumeNotification,
    PowerUnregisterSuspendResumeNotification,
};
use windows_sys::Win32::UI::WindowsAndMessaging::{DEVICE_NOTIFY_CALLBACK, PBT_APMRESUMEAUTOMATIC};

use crate::security::done;

static WOKE: Notify = Notify::const_new();

/// Tells when the computer has woken.
pub struct Wakes {
    registration: HPOWERNOTIFY,
    /// The system is given a pointer to it.
    _parameters: Box<DEVICE_NOTIFY_SUBSCRIBE_PARAMETERS>,
}

// SAFETY: the registration is a number to us, and the system lets any thread give it back.
unsafe impl Send for Wakes {}
// SAFETY: nothing can be done with it by reference.
unsafe impl Sync for Wakes {}

impl Wakes {
    /// Begins to listen.
    ///
    /// # Errors
    /// That of the system.
    pub fn new() -> io::Result<Self> {
        let parameters =
            Box::new(DEVICE_NOTIFY_SUBSCRIBE_PARAMETERS { Callback: Some(told), Context: ptr::null_mut() });
        let mut registration = ptr::null_mut();
        // SAFETY: the recipient is what this kind of notice wants, and outlives the registration.
        done(unsafe {
            PowerRegisterSuspendResumeNotification(
                DEVICE_NOTIFY_CALLBACK,
                ptr::from_ref(parameters.as_ref()).cast_mut().cast(),
                &raw mut registration,
            )
        })?;
        Ok(Self { registration: registration as HPOWERNOTIFY, _parameters: parameters })
    }

    /// Waits until the computer wakes.
    ///
    /// # Cancel safety
    /// Cancel safe; for one waiter in a process.
    pub async fn next(&self) {
        WOKE.notified().await;
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        // SAFETY: it was registered by us, and is given back here alone.
        unsafe { PowerUnregisterSuspendResumeNotification(self.registration) };
    }
}

/// Called on a thread of the system's.
unsafe extern "system" fn told(_: *const c_void, what: u32, _: *const c_void) -> u32 {
    // Each waking is told with this; where a person is there, with another one after it.
    if what == PBT_APMRESUMEAUTOMATIC {
        WOKE.notify_one();
    }
    0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may assert by failing")]

    use std::time::Duration;

    use windows_sys::Win32::UI::WindowsAndMessaging::{PBT_APMRESUMESUSPEND, PBT_APMSUSPEND};

    use super::*;

    #[tokio::test]
    async fn a_waking_is_told_once_and_falling_asleep_is_none() {
        let wakes = Wakes::new().unwrap();
        let woke = async || tokio::time::timeout(Duration::from_millis(100), wakes.next()).await.is_ok();
        let says = |what| {
            // SAFETY: what the system calls, and it looks at neither pointer.
            unsafe { told(ptr::null(), what, ptr::null()) }
        };
        assert_eq!(says(PBT_APMSUSPEND), 0);
        assert!(!woke().await);
        // Nobody listens at that moment.
        assert_eq!((says(PBT_APMRESUMEAUTOMATIC), says(PBT_APMRESUMESUSPEND)), (0, 0));
        assert!(woke().await);
        assert!(!woke().await);
    }
}
