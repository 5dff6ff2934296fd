//! Reading a log, older files included.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::rotating::{FILES, numbered};

/// The last `lines` lines of a log, older files included, oldest first.
///
/// # Errors
/// When a file that is there cannot be read.
pub fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for number in 0..FILES {
        let file = if number == 0 { path.to_owned() } else { numbered(path, number) };
        let text = match fs::read(&file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut older: Vec<String> = text.lines().map(str::to_owned).collect();
        older.append(&mut kept);
        kept = older;
        if kept.len() >= lines {
            break;
        }
    }
    Ok(kept.split_off(kept.len().saturating_sub(lines)))
}

/// Follows a log as it grows, across rotation.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    file: Option<File>,
    rest: String,
}

impl Follow {
    /// From the present end on.
    pub fn from_end(path: &Path) -> Self {
        let file = File::open(path).and_then(|mut file| {
            io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
            Ok(file)
        });
        Self { path: path.to_owned(), file: file.ok(), rest: String::new() }
    }

    /// The whole lines that have been added since the last call.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_lines(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            if let Some(file) = &mut self.file {
                let mut bytes = Vec::new();
                io::Read::read_to_end(file, &mut bytes)?;
                self.rest.push_str(&String::from_utf8_lossy(&bytes));
                while let Some(end) = self.rest.find('\n') {
                    let line: String = self.rest.drain(..=end).collect();
                    lines.push(line.trim_end_matches('\n').to_owned());
                }
                if !self.is_replaced() {
                    return Ok(lines);
                }
            }
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(_) => return Ok(lines),
            }
        }
    }

    /// True when another file has taken the path of the one being read.
    fn is_replaced(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let here = self.file.as_ref().and_then(|file| file.metadata().ok());
            let there = fs::metadata(&self.path).ok();
            match (here, there) {
                (Some(here), Some(there)) => (here.dev(), here.ino()) != (there.dev(), there.ino()),
                (_, None) => false,
                (None, Some(_)) => true,
            }
        }
        #[cfg(not(unix))]
        false
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::rotating::RotatingFile;
    use super::*;

    #[test]
    fn tail_and_follow_read_across_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.log");
        fs::write(dir.path().join("client.log.1"), "a\nb\n").unwrap();
        fs::write(&path, "c\nd\n").unwrap();
        assert_eq!(tail(&path, 3).unwrap(), ["b", "c", "d"]);
        assert_eq!(tail(&path, 9).unwrap(), ["a", "b", "c", "d"]);
        let mut follow = Follow::from_end(&path);
        assert!(follow.next_lines().unwrap().is_empty());
        let mut log = RotatingFile::open(&path).unwrap();
        log.write_all(b"e\nhal").unwrap();
        assert_eq!(follow.next_lines().unwrap(), ["e"]);
        log.write_all(b"f\n").unwrap();
        log.rotate().unwrap();
        log.write_all(b"g\n").unwrap();
        assert_eq!(follow.next_lines().unwrap(), ["half", "g"]);
        assert!(tail(&dir.path().join("none.log"), 5).unwrap().is_empty());
    }
}
