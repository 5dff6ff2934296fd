//! Reading a log, older files included.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::rotating::{FILES, numbered};
use crate::files;

/// The last `lines` lines of a log, older files included, oldest first.
///
/// # Errors
/// When a file that is there cannot be read.
pub fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for number in 0..FILES {
        let file = match File::open(if number == 0 { path.to_owned() } else { numbered(path, number) }) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut older = last_lines(file, lines - kept.len())?;
        older.append(&mut kept);
        kept = older;
        if kept.len() >= lines {
            break;
        }
    }
    Ok(kept)
}

/// A file is read from its end in pieces of this size.
const BLOCK_BYTES: u64 = 64 * 1024;

/// The last `lines` lines of a file, which may be larger than what there is of memory.
fn last_lines(mut file: File, lines: usize) -> io::Result<Vec<String>> {
    let mut start = file.seek(SeekFrom::End(0))?;
    let (mut blocks, mut ends) = (Vec::new(), 0);
    // One more end than lines: the last line's own.
    while start > 0 && ends <= lines {
        let size = start.min(BLOCK_BYTES);
        start -= size;
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        (&mut file).take(size).read_to_end(&mut block)?;
        ends += block.iter().filter(|byte| **byte == b'\n').count();
        blocks.push(block);
    }
    blocks.reverse();
    let text = blocks.concat();
    let mut found: Vec<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
    Ok(found.split_off(found.len().saturating_sub(lines)))
}

/// A line that is longer comes in pieces.
const LINE_BYTES: u64 = 64 * 1024;

/// Shows each line of a log, older files included, oldest first, and holds one of them at a time.
///
/// # Errors
/// When a file that is there cannot be read.
pub fn each_line(path: &Path, mut each: impl FnMut(&str)) -> io::Result<()> {
    // All are open before the first is read, so that none is missed or read twice that is put aside meanwhile.
    let mut opened = Vec::new();
    for number in (0..FILES).rev() {
        let path = if number == 0 { path.to_owned() } else { numbered(path, number) };
        // Root reads what a service has written, which must not lead him elsewhere.
        match files::open_itself(&path) {
            Ok(file) if file.metadata()?.is_file() => opened.push(file),
            Ok(_) => return Err(io::Error::other(format!("{} is not a file", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let mut line = Vec::new();
    for file in opened {
        let mut file = BufReader::new(file);
        loop {
            line.clear();
            if (&mut file).take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            each(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
        }
    }
    Ok(())
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
            file.seek(SeekFrom::End(0))?;
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
                file.read_to_end(&mut bytes)?;
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
            let there = std::fs::metadata(&self.path).ok();
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
    use std::fs;
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
        let mut all = Vec::new();
        each_line(&path, |line| all.push(line.to_owned())).unwrap();
        assert_eq!(all, ["a", "b", "c", "d"]);
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

    #[test]
    fn the_last_lines_of_a_large_file_are_whole_wherever_a_block_begins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let line = |number: usize| format!("{number} ") + &"ü".repeat(number % 500);
        let all: Vec<String> = (0..2000).map(line).collect();
        for end in ["\n", ""] {
            fs::write(&path, all.join("\n") + end).unwrap();
            for lines in (0..400).chain([1999, 2000, 5000, usize::MAX]) {
                let expected = &all[all.len().saturating_sub(lines)..];
                assert!(tail(&path, lines).unwrap() == expected, "{lines} {end:?}");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_shown_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let most = usize::try_from(LINE_BYTES).unwrap();
        fs::write(&path, vec![b'x'; 2 * most + 1]).unwrap();
        let mut pieces = Vec::new();
        each_line(&path, |line| pieces.push(line.len())).unwrap();
        assert_eq!(pieces, [most, most, 1]);
    }
}
