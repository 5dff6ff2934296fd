//! What the app remembers beside the config file: preferences, whether Petit is to be online, the window's size.
//!
//! A file that cannot be read is no obstacle: the defaults are as good, and the old one is kept aside.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use petit_client::folder::Folder;
use petit_host::files::{self, FileError};
use serde::{Deserialize, Serialize};

use super::contract::{Prefs, Theme};

/// The state that the user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum DesiredState {
    /// To be online.
    #[default]
    On,
    /// Not to be online.
    Off,
    /// To be online again later.
    Paused {
        /// When; seconds since 1970.
        until: u64,
    },
}

impl DesiredState {
    /// The desired state as time passes: a pause that is over is none.
    #[must_use]
    pub fn at(self, now: SystemTime) -> Self {
        match self {
            Self::Paused { until } if UNIX_EPOCH + Duration::from_secs(until) <= now => Self::On,
            desired => desired,
        }
    }

    /// True when it should be online.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// What the app remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remembered {
    /// What the user wants.
    #[serde(flatten)]
    pub desired: DesiredState,
    /// Tell when it stops working.
    pub notify_down: bool,
    /// Tell when it works again.
    pub notify_back: bool,
    /// How the window looks.
    pub theme: Theme,
    /// Its language: `system`, `en` or `de`.
    pub lang: String,
    /// The window's size when it was last closed.
    pub window: Option<(u32, u32)>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            desired: DesiredState::On,
            notify_down: true,
            notify_back: true,
            theme: Theme::System,
            lang: "system".to_owned(),
            window: None,
        }
    }
}

impl Remembered {
    /// What is remembered of earlier times.
    pub fn load(folder: &Folder) -> Self {
        let path = path(folder);
        let Ok(text) = std::fs::read(&path) else { return Self::default() };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "the app's memory is damaged; it was put aside");
            let _ = std::fs::rename(&path, path.with_extension("damaged.json"));
            Self::default()
        })
    }

    /// Writes it down.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn save(&self, folder: &Folder) -> Result<(), FileError> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        files::write_private(&path(folder), &text)
    }

    /// The part that the page may see and change.
    pub fn prefs(&self, start_on_login: bool) -> Prefs {
        Prefs {
            start_on_login,
            notify_down: self.notify_down,
            notify_back: self.notify_back,
            theme: self.theme,
            lang: self.lang.clone(),
        }
    }

    /// Takes over what the page has changed.
    pub fn take(&mut self, prefs: &Prefs) {
        self.notify_down = prefs.notify_down;
        self.notify_back = prefs.notify_back;
        self.theme = prefs.theme;
        self.lang.clone_from(&prefs.lang);
    }
}

fn path(folder: &Folder) -> PathBuf {
    folder.path().join("app.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_survives_and_a_damaged_one_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("config.toml"));
        assert_eq!(Remembered::load(&folder), Remembered::default());
        let mut memory = Remembered { desired: DesiredState::Paused { until: 7 }, ..Remembered::default() };
        memory.take(&Prefs { lang: "de".into(), notify_down: false, ..memory.prefs(true) });
        memory.save(&folder).unwrap();
        assert_eq!(Remembered::load(&folder), memory);
        std::fs::write(path(&folder), "{").unwrap();
        assert_eq!(Remembered::load(&folder), Remembered::default());
        assert!(dir.path().join("app.damaged.json").exists());
        std::fs::write(path(&folder), r#"{"wish":"off"}"#).unwrap();
        assert_eq!(Remembered::load(&folder).desired, DesiredState::Off, "what is missing has its default");
    }

    #[test]
    fn a_pause_ends_by_the_clock_on_the_wall() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let pause = DesiredState::Paused { until: 100 };
        assert_eq!(pause.at(at(99)), pause);
        assert_eq!(pause.at(at(100)), DesiredState::On);
        assert_eq!(DesiredState::Off.at(at(100)), DesiredState::Off);
    }
}
