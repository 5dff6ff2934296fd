//! Fetching a release from the server that this computer is registered with, into a folder of its own, in the form in which
//! it could have been handed out.
//!
//! The server is believed nothing. Its documents count once they have been verified, and an artifact is what the manifest
//! says: no byte more is taken, and none is left of another. What has come of one before the line broke is kept, and the
//! next try goes on from there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use petit_engine::agent::{Download, FetchError, Source, fetch};
use petit_engine::limits;
use petit_engine::name::ServerAddr;
use petit_engine::proto::control::{BUNDLE_FILE, Fetch, FetchRefusal, FetchedBy, Text};
use petit_engine::secret::random_bytes;
use petit_host::files::{self, FileError};
use petit_host::lock::{Lock, LockError};
use petit_host::update::{
    Artifact, Bundle, Intake, MANIFEST, MAX_BUNDLE_BYTES, MAX_ROOT_SIGNATURES, Measured, PassError,
    RELEASE_KEY, Target, Unfit, manifest_signature_file,
};

use crate::config::{Config, KeyStore};
use crate::dial_route;
use crate::folder::Folder;
use crate::registration::{self, RegistrationError};
use crate::vault::{Vault, VaultError};

/// Tries in a row that have brought nothing, after which a download is given up for this time.
const FRUITLESS: u32 = 3;
/// Tries in all that have brought less than [`limits::DOWNLOAD_PIECE_BYTES`]: a server that sends next to nothing, or is
/// always busy, is not asked for ever.
const POOR: u32 = 30;
/// Whoever only looks what there is has the folder for a moment.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
/// Between two tries, once more with each that has brought nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a release was not fetched. What had come of an artifact is kept where going on from there makes sense.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// This computer is not registered.
    #[error("this computer is not registered with any server")]
    Unregistered,
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error("the key of this computer is not in the {0} any more")]
    KeyGone(KeyStore),
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Another process fetches it.
    #[error("another process is fetching a release already")]
    Busy(#[source] LockError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What came are no signed documents.
    #[error("{server} has sent something that is no release")]
    NoBundle { server: ServerAddr },
    /// Another release has taken this one's place, or none.
    #[error("{server} does not hand out this release any more; try again")]
    Gone { server: ServerAddr },
    #[error("{server} has another file of {said} bytes in the place of the one of {signed} that was signed")]
    OtherLength { server: ServerAddr, said: u64, signed: u64 },
    #[error("what {server} has sent is not the file that was signed")]
    Unfit {
        server: ServerAddr,
        #[source]
        source: Unfit,
    },
    #[error(transparent)]
    File(#[from] FileError),
}

/// Fetches releases for a target. One process at a time does.
pub struct Fetcher {
    source: Source,
    target: Target,
    by: FetchedBy,
    folder: PathBuf,
    _lock: Lock,
}

impl Fetcher {
    /// Dials as the connection of visitors is dialled, with the key of the registration.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub async fn of(
        folder: &Folder,
        config: &Config,
        target: Target,
        by: FetchedBy,
    ) -> Result<Self, ReleaseError> {
        let registration = registration::load(folder)?.ok_or(ReleaseError::Unregistered)?;
        let vault = Vault::of(registration.key_store, folder);
        let key = vault.load(&registration.key).await?;
        let key = key.ok_or(ReleaseError::KeyGone(registration.key_store))?;
        let route = dial_route::choose(config, &registration.server);
        let source = Source { server: registration.server, route, pins: registration.pins, key };
        Self::with(folder, source, target, by).await
    }

    /// As [`of`](Self::of), of a client that has its key already.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub async fn with(
        folder: &Folder,
        source: Source,
        target: Target,
        by: FetchedBy,
    ) -> Result<Self, ReleaseError> {
        folder.make()?;
        let folder = folder.release();
        files::make_private_dir(&folder)?;
        let lock = Lock::take_within(&folder.join("lock"), LOCK_LIMIT).await.map_err(ReleaseError::Busy)?;
        Ok(Self { source, target, by, folder, _lock: lock })
    }

    /// Whom it asks.
    pub fn server(&self) -> &ServerAddr {
        &self.source.server
    }

    /// Fetches the signed documents into the folder that is returned, where a [`Bundle`] is read from; nothing of them has
    /// been looked at. `None` when the server has no release for this computer.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub async fn documents(&self) -> Result<Option<&Path>, ReleaseError> {
        let Some(mut download) = self.ask(BUNDLE_FILE, 0).await? else { return Ok(None) };
        let no_bundle = || ReleaseError::NoBundle { server: self.server().clone() };
        if download.length() > MAX_BUNDLE_BYTES {
            return Err(no_bundle());
        }
        let mut text = Vec::new();
        while let Some(piece) = download.piece().await? {
            text.extend_from_slice(piece);
        }
        let bundle: Bundle = serde_json::from_slice(&text).map_err(|_| no_bundle())?;
        if bundle.root_signatures.len() > MAX_ROOT_SIGNATURES {
            return Err(no_bundle());
        }
        // Often they are what is there already.
        if Bundle::read(&self.folder).ok().as_ref() != Some(&bundle) {
            self.remove(is_document)?;
            bundle.write(&self.folder)?;
        }
        Ok(Some(&self.folder))
    }

    /// Fetches an artifact, of a manifest that has been verified, to beside the documents.
    ///
    /// # Errors
    /// [`ReleaseError`].
    ///
    /// # Cancel safety
    /// Cancelling keeps what has come.
    pub async fn artifact(&self, artifact: &Artifact) -> Result<(), ReleaseError> {
        let (part, whole) = (self.part(artifact), self.place_of(artifact));
        let kept = [&part, &whole].map(|path| path.file_name().map(ToOwned::to_owned));
        self.remove(|name| !is_document(name) && !kept.iter().flatten().any(|kept| kept == name))?;
        let is_there =
            |measured: Measured| measured.bytes == artifact.bytes && measured.sha256 == artifact.sha256;
        if File::open(&whole).and_then(Measured::of).is_ok_and(is_there) {
            return Ok(());
        }
        let mut tries = Tries::default();
        loop {
            let before = length(&part);
            let error = match self.attempt(artifact, &part).await {
                Ok(()) => {
                    let placed = fs::rename(&part, &whole).and_then(|()| files::sync_dir(&self.folder));
                    return Ok(placed.map_err(io_of("write", &whole))?);
                }
                // What was there before was of another file, perhaps.
                Err(ReleaseError::Unfit { .. }) if before > 0 && tries.may_begin_anew() => continue,
                Err(ReleaseError::Fetch(error)) if error.is_passing() => error,
                Err(error) => return Err(error),
            };
            let outcome = match &error {
                FetchError::Refused { refusal: FetchRefusal::Busy, .. } => Try::Busy,
                _ => Try::Brought(length(&part).saturating_sub(before)),
            };
            match tries.next(outcome) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error.into()),
            }
        }
    }

    /// How much of an artifact has come, of a hundred.
    pub fn fetched(&self, artifact: &Artifact) -> u8 {
        let there = length(&self.part(artifact)).min(artifact.bytes);
        u8::try_from(there * 100 / artifact.bytes.max(1)).unwrap_or(100)
    }

    /// Where an artifact is once it was fetched.
    pub fn place_of(&self, artifact: &Artifact) -> PathBuf {
        self.folder.join(artifact.file.as_str())
    }

    /// Removes all that was fetched.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn clear(&self) -> Result<(), FileError> {
        self.remove(|_| true)
    }

    /// Fetches what is missing of an artifact.
    async fn attempt(&self, artifact: &Artifact, part: &Path) -> Result<(), ReleaseError> {
        let server = || self.server().clone();
        let unfit = |source| {
            let _ = fs::remove_file(part);
            ReleaseError::Unfit { server: server(), source }
        };
        let mut intake = Intake::begin(artifact);
        let mut there = 0;
        if let Ok(file) = File::open(part) {
            there = intake.pass(file, &mut io::sink()).map_err(|error| match error {
                PassError::Read(error) | PassError::Write(error) => io_of("read", part)(error).into(),
                PassError::Unfit(source) => unfit(source),
            })?;
        }
        if there < artifact.bytes {
            let download = self.ask(artifact.file.as_str(), there).await?;
            let mut download = download.ok_or_else(|| ReleaseError::Gone { server: server() })?;
            let (said, signed) = (download.length(), artifact.bytes);
            if said != signed {
                return Err(ReleaseError::OtherLength { server: server(), said, signed });
            }
            let file = OpenOptions::new().create(true).append(true).open(part);
            let mut file = file.map_err(io_of("write", part))?;
            let written = receive(&mut download, &mut intake, &mut file).await;
            match written {
                Ok(()) => {}
                Err(Stopped::Fetch(error)) => return Err(error.into()),
                Err(Stopped::Unfit(source)) => return Err(unfit(source)),
                // Most likely there is no room, which half a program would only take from others.
                Err(Stopped::Write(source)) => {
                    let _ = fs::remove_file(part);
                    return Err(io_of("write", part)(source).into());
                }
            }
        }
        intake.finish().map_err(unfit)
    }

    async fn ask(&self, file: &str, from: u64) -> Result<Option<Download>, FetchError> {
        let target = Text::lossy(self.target.as_str());
        fetch(&self.source, Fetch { target, file: Text::lossy(file), from, by: self.by }).await
    }

    /// What has come of an artifact, by what it is to become.
    fn part(&self, artifact: &Artifact) -> PathBuf {
        self.folder.join(format!("{}.part", artifact.sha256))
    }

    /// Removes files of the folder, but for the lock.
    fn remove(&self, such: impl Fn(&std::ffi::OsStr) -> bool) -> Result<(), FileError> {
        for entry in fs::read_dir(&self.folder).map_err(io_of("read", &self.folder))? {
            let entry = entry.map_err(io_of("read", &self.folder))?;
            // A folder is nothing that was fetched.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_folder && entry.file_name() != "lock" && such(&entry.file_name()) {
                files::remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Why a download has ended before its end.
enum Stopped {
    Fetch(FetchError),
    Unfit(Unfit),
    Write(io::Error),
}

async fn receive(download: &mut Download, intake: &mut Intake<'_>, file: &mut File) -> Result<(), Stopped> {
    while let Some(piece) = download.piece().await.map_err(Stopped::Fetch)? {
        intake.take(piece).map_err(Stopped::Unfit)?;
        file.write_all(piece).map_err(Stopped::Write)?;
    }
    file.sync_all().map_err(Stopped::Write)
}

fn is_document(name: &std::ffi::OsStr) -> bool {
    let signature = manifest_signature_file();
    let name = name.to_string_lossy();
    name == MANIFEST || name == signature.as_str() || name.starts_with(RELEASE_KEY)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// How often an artifact was asked for in vain.
#[derive(Debug, Default)]
struct Tries {
    /// In a row.
    fruitless: u32,
    /// In all.
    poor: u32,
    /// Since something came.
    busy: u32,
}

/// What has come of a try that has not brought all of it.
#[derive(Clone, Copy, Debug)]
enum Try {
    /// As many others were served as can be, each for a turn at least.
    Busy,
    /// So many bytes.
    Brought(u64),
}

impl Tries {
    /// After which pause there is another one; `None` when it is given up for this time.
    fn next(&mut self, last: Try) -> Option<Duration> {
        let (least, spread) = match last {
            Try::Busy => (limits::DOWNLOAD_TURN / 2, limits::DOWNLOAD_TURN / 2),
            Try::Brought(bytes) => {
                self.fruitless = if bytes > 0 { 0 } else { self.fruitless + 1 };
                (PAUSE * 2_u32.pow(self.fruitless) / 2, PAUSE)
            }
        };
        let is_poor = |bytes| usize::try_from(bytes).is_ok_and(|bytes| bytes < limits::DOWNLOAD_PIECE_BYTES);
        match last {
            Try::Busy => self.busy += 1,
            Try::Brought(bytes) if is_poor(bytes) => self.poor += 1,
            Try::Brought(_) => self.busy = 0,
        }
        // Drawn at random, so that many who were cut off at the same moment do not come back at one.
        let dice = random_bytes::<2>().map_or(0, u16::from_ne_bytes);
        let pause = least + spread.mul_f64(f64::from(dice) / f64::from(u16::MAX));
        (self.fruitless < FRUITLESS && self.poor < POOR && self.busy < POOR).then_some(pause)
    }

    /// True once in a while, for what was kept and is of no use.
    fn may_begin_anew(&mut self) -> bool {
        self.poor += 1;
        self.poor < POOR
    }
}

fn io_of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: u64 = limits::DOWNLOAD_PIECE_BYTES as u64;

    #[test]
    fn who_is_told_that_others_are_served_waits_until_they_have_had_their_turns() {
        let mut tries = Tries::default();
        let mut waited = Duration::ZERO;
        while let Some(pause) = tries.next(Try::Busy) {
            waited += pause;
        }
        let turns = waited.as_secs() / limits::DOWNLOAD_TURN.as_secs();
        assert!((10..30).contains(&turns), "{turns} turns, and not for ever");
    }

    #[test]
    fn a_download_goes_on_for_as_long_as_something_comes_of_it() {
        let mut tries = Tries::default();
        assert!((0..1000).all(|_| tries.next(Try::Brought(PIECE)).is_some()));
        // Where there are more that want it than may have it at a time, each has its turns.
        let mut tries = Tries::default();
        assert!(
            (0..1000)
                .all(|_| [Try::Busy, Try::Busy, Try::Brought(PIECE)].map(|last| tries.next(last).is_some())
                    == [true; 3])
        );
        let mut tries = Tries::default();
        assert_eq!((0..1000).take_while(|_| tries.next(Try::Brought(PIECE - 1)).is_some()).count(), 29);
        let mut tries = Tries::default();
        let outcomes = [0, 0, 1, 0, 0, 0].map(|bytes| tries.next(Try::Brought(bytes)).is_some());
        assert_eq!(outcomes, [true, true, true, true, true, false]);
        let mut tries = Tries::default();
        let outcomes = [Try::Brought(0), Try::Busy, Try::Brought(0), Try::Busy, Try::Brought(0)]
            .map(|last| tries.next(last).is_some());
        assert_eq!(outcomes, [true, true, true, true, false]);
    }
}
