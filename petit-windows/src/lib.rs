//! What Petit asks of Windows that cannot be asked in safe Rust. On other systems there is nothing in it.
//!
//! - `event_log`: entries are texts by pointers.
//! - `files`: whether two names are those of one file is said by a structure.
//! - `folders`: where programs and their data are is told by pointers, and by the environment to whoever believes it.
//! - `identity`: what a process is known by is a text by a pointer.
//! - `pipe`: a named pipe has an access list of its own only when its creation is given one, by a pointer.
//! - `power`: that the computer wakes is told by calling a function of the program's.
//! - `privileges`: what a service may do beyond its account's rights is said by a pointer.
//! - `security`: who this process is, and who may do what with a file.
//! - `service`: the service control manager calls a function of the program's.
//! - `menu`: a menu that waits for its user is closed by a call of its thread.
//! - `streams`: the standard library starts no process without all that may be inherited.
//!
//! Every `unsafe` block says why it may be.

#[cfg(windows)]
pub mod event_log;
#[cfg(windows)]
pub mod files;
#[cfg(windows)]
pub mod folders;
#[cfg(windows)]
pub mod identity;
#[cfg(windows)]
pub mod menu;
#[cfg(windows)]
pub mod pipe;
#[cfg(windows)]
pub mod power;
#[cfg(windows)]
pub mod privileges;
#[cfg(windows)]
pub mod security;
#[cfg(windows)]
pub mod service;
#[cfg(windows)]
pub mod streams;
