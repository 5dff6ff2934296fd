//! Keeps keys out of core files and away from debuggers of the same user, and what others have opened out of this process.

/// Switches core dumps and tracing by other processes of the user off. Best effort: what the system does not
/// offer is left as it is.
pub fn no_core_dumps() {
    #[cfg(unix)]
    {
        let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Raises the limit of open files to what the system allows this process; returns the limit.
pub fn raise_open_files() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let to = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum });
        if to(limit.maximum).is_err() {
            // macOS says "unlimited", and takes no more than this (OPEN_MAX).
            let _ = to(Some(limit.maximum.unwrap_or(u64::MAX).min(10_240)));
        }
    }
    open_files()
}

/// Files, connections included, that this process may have open; `None` where the system does not say.
pub fn open_files() -> Option<u64> {
    #[cfg(unix)]
    {
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current
    }
    #[cfg(not(unix))]
    None
}

/// Closes all descriptors but the standard ones: what the process that has started this one has left open by mistake is
/// neither held for as long as this one runs, nor handed on to processes that it starts. What a predecessor hands over
/// comes through standard input, later. Sockets that a service manager has opened for this process
/// stay, for [`service::sockets`](crate::service::sockets). To be called before anything is opened, by a process that is to run for long;
/// best effort, where the system lists its descriptors.
pub fn close_inherited() {
    #[cfg(unix)]
    {
        let Ok(listed) = std::fs::read_dir("/dev/fd") else { return };
        let numbers = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        // All of them first: the list has a descriptor itself, which is closed at its end.
        let given = crate::service::socket_numbers();
        let numbers: Vec<i32> = numbers.filter(|number| *number > 2 && !given.contains(number)).collect();
        for number in numbers {
            let _ = nix::unistd::close(number);
        }
    }
}
