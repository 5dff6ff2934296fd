//! What the relay hands out of the release that there is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use petit_engine::BoxFuture;
use petit_engine::limits;
use petit_engine::proto::control::{BUNDLE_FILE, Fetch, FetchRefusal};
use petit_host::cli::chain;
use petit_host::update::Time;
use petit_relay::ReleaseFile;
use tokio::sync::{Semaphore, watch};

use super::release::{HandedOut, InForce, Release, ReleaseError, current_name};

/// Pieces that are read from the disk at the same time. Visitors' requests need no disk, but the log does; and each has a
/// thread while it is read.
const READS_AT_ONCE: usize = 4;
/// How often it is looked whether there is another release, or it ends soon.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const WARN_EVERY: Duration = Duration::from_hours(24);

/// The releases of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mirror {
    folder: PathBuf,
    /// The one that was read last.
    held: Arc<Mutex<Option<Arc<Release>>>>,
    reads: Arc<Semaphore>,
    /// The release that was handed out when it was looked last.
    handed_out: watch::Sender<Option<HandedOut>>,
}

impl Mirror {
    /// Of a folder, which need not be there.
    pub fn of(folder: PathBuf) -> Self {
        Self {
            folder,
            held: Arc::default(),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            handed_out: watch::Sender::new(None),
        }
    }

    /// The release that is handed out now. Read from the disk when it is another one than before.
    fn release(&self) -> Result<Option<Arc<Release>>, ReleaseError> {
        // One after the other, or an earlier look could say last what there is.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = match current_name(&self.folder)?.map(|name| self.folder.join(name)) {
            None => None,
            Some(folder) => match held.take().filter(|held| held.folder == folder) {
                Some(held) => Some(held),
                None => Some(Arc::new(Release::open(&folder)?)),
            },
        };
        let now = held.as_ref().map(|release| &release.handed_out);
        self.handed_out.send_if_modified(|before| {
            let is_other = before.as_ref() != now;
            if is_other {
                *before = now.cloned();
            }
            is_other
        });
        Ok(held.clone())
    }

    /// Sees when another release is handed out, and says that in the log, and when its end is near or there, for as long as
    /// the future is polled. Never ends.
    pub async fn watch(&self) {
        let mut said = None;
        let mut warned: Option<SystemTime> = None;
        loop {
            let mirror = self.clone();
            if let Ok(found) = tokio::task::spawn_blocking(move || mirror.release()).await {
                let now = found.as_ref().ok().map(|release| release.as_ref().map(|it| it.folder.clone()));
                if said != now {
                    if let Ok(Some(release)) = &found {
                        let (counter, expires) = (release.manifest.counter, release.expires());
                        tracing::info!(counter, %expires, "a release is handed out to clients");
                    } else if matches!((&found, &said), (Ok(None), Some(Some(_)))) {
                        tracing::info!("no release is handed out to clients any more");
                    }
                    (said, warned) = (now, None);
                }
                let lately = warned.is_some_and(|at| at.elapsed().is_ok_and(|since| since < WARN_EVERY));
                if !lately && warn(&found) {
                    warned = Some(SystemTime::now());
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The release that is handed out, now and from now on.
    pub fn handed_out(&self) -> watch::Receiver<Option<HandedOut>> {
        self.handed_out.subscribe()
    }

    /// Looks at once which release is handed out.
    ///
    /// # Errors
    /// [`ReleaseError`], of a release that cannot be read.
    pub async fn look(&self) -> Result<Option<Arc<Release>>, ReleaseError> {
        let mirror = self.clone();
        let _turn = self.reads.acquire().await;
        // An error: the process ends.
        tokio::task::spawn_blocking(move || mirror.release()).await.unwrap_or(Ok(None))
    }

    /// A file of a release; `None` when it has nothing for the target.
    ///
    /// # Errors
    /// What the device is told.
    pub async fn open(
        &self,
        release: Arc<Release>,
        wanted: Fetch,
    ) -> Result<Option<Arc<dyn ReleaseFile>>, FetchRefusal> {
        let mirror = self.clone();
        let _turn = self.reads.acquire().await;
        let opened = tokio::task::spawn_blocking(move || mirror.open_now(&release, &wanted)).await;
        opened.unwrap_or(Err(FetchRefusal::Unreadable))
    }

    fn open_now(
        &self,
        release: &Release,
        wanted: &Fetch,
    ) -> Result<Option<Arc<dyn ReleaseFile>>, FetchRefusal> {
        let targets = &release.manifest.targets;
        let Some(artifact) = targets.iter().find(|it| it.target.as_str() == wanted.target.as_str()) else {
            return Ok(None);
        };
        if wanted.file.as_str() == BUNDLE_FILE {
            return Ok(Some(Arc::new(Bytes(Arc::clone(&release.bundle)))));
        }
        if wanted.file.as_str() != artifact.file.as_str() {
            return Err(FetchRefusal::NotThere);
        }
        let path = release.folder.join(artifact.file.as_str());
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((length, file)) if length == artifact.bytes => {
                let (file, reads) = (Arc::new(Mutex::new(file)), Arc::clone(&self.reads));
                Ok(Some(Arc::new(OnDisk { file, length, reads })))
            }
            Ok(_) => Err(FetchRefusal::Unreadable),
            Err(error) => {
                tracing::debug!(%error, path = %path.display(), "an artifact cannot be read");
                Err(FetchRefusal::Unreadable)
            }
        }
    }
}

/// True when there was something to warn of.
fn warn(found: &Result<Option<Arc<Release>>, ReleaseError>) -> bool {
    match found {
        Err(error) => {
            tracing::error!(error = %chain(error), "the release cannot be read, so clients get none");
            true
        }
        Ok(Some(release)) => match release.in_force(Time::now()) {
            InForce::Yes => false,
            InForce::EndsSoon => {
                tracing::warn!(expires = %release.expires(), "the release that clients get expires soon; sign it anew");
                true
            }
            InForce::Over => {
                tracing::error!(expires = %release.expires(), "the release has expired, so clients do not take it");
                true
            }
        },
        Ok(None) => false,
    }
}

/// What is in memory.
struct Bytes(Arc<[u8]>);

impl ReleaseFile for Bytes {
    fn length(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    fn read(&self, at: u64) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        let rest = usize::try_from(at).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let piece = rest.iter().take(limits::DOWNLOAD_PIECE_BYTES).copied().collect();
        Box::pin(async move { Ok(piece) })
    }
}

/// An artifact.
struct OnDisk {
    file: Arc<Mutex<File>>,
    length: u64,
    reads: Arc<Semaphore>,
}

impl ReleaseFile for OnDisk {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, at: u64) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        let file = Arc::clone(&self.file);
        Box::pin(async move {
            let _turn = self.reads.acquire().await;
            let read = tokio::task::spawn_blocking(move || {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(at))?;
                let mut piece = Vec::with_capacity(limits::DOWNLOAD_PIECE_BYTES);
                let most = u64::try_from(limits::DOWNLOAD_PIECE_BYTES).unwrap_or(u64::MAX);
                (&mut *file).take(most).read_to_end(&mut piece)?;
                Ok(piece)
            });
            read.await.unwrap_or_else(|error| Err(io::Error::other(error)))
        })
    }
}
