//! Changing the config file of a client.

pub use petit_host::config::change::{alone, put};

use super::edit::EditError;
use super::{Config, ServiceFault};
use crate::folder::Folder;

/// Why the config file was not changed.
pub type ChangeError = petit_host::config::change::ChangeError<ServiceFault, EditError>;

/// Changes the config file, keeping comments and order. What comes out is checked before it is in place.
///
/// # Errors
/// [`ChangeError`]; the file is as it was then.
///
/// # Cancel safety
/// Cancelling changes nothing, or all.
pub async fn change(
    folder: &Folder,
    edit: impl FnOnce(&str) -> Result<String, EditError>,
) -> Result<(), ChangeError> {
    petit_host::config::change::change::<Config, _>(folder, edit).await
}
