//! What a client that runs does about its program's place where replacing a program takes two steps, as on Windows.

use std::time::Duration;

use petit_host::cli::chain;

use super::Updates;

/// How often it is looked whether there is a program.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// With every how many of these looks what is left over is removed.
const SWEEPS: u32 = 12;
/// How long somebody is waited for who updates the program.
const PATIENCE: Duration = Duration::from_secs(10);

impl Updates {
    /// As a process sees to them that carries a tunnel: what cannot be renamed at the moment is not waited for. Whoever
    /// watches, here and over trials, comes back to it.
    #[must_use]
    pub fn beside_tunnel(self) -> Self {
        Self { place: self.place.without_waiting(), ..self }
    }

    /// Puts a program at its path again where somebody was killed between two renames, and removes what could not be removed
    /// as long as it ran. Never ends.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn watch_place(&self) {
        let mut looks = 0_u32;
        while cfg!(windows) {
            // Whoever gets the lock mends it.
            if self.place.is_torn()
                && let Err(error) = self.place.lock(PATIENCE).await
            {
                tracing::error!(error = %chain(&error), "there is no program at its path");
            }
            if looks.is_multiple_of(SWEEPS) {
                self.place.sweep();
            }
            looks = looks.wrapping_add(1);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        std::future::pending::<()>().await;
    }
}
