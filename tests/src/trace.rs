//! What a program asks of its system for the sake of the disk, as strace(1) sees it: the only witness, short of a
//! power cut, to the order in which something was written, flushed and acknowledged.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The calls that are looked at, as strace's options have them.
pub(crate) const STRACE: [&str; 5] = [
    "strace",
    "--follow-forks",
    "--decode-fds=path",
    "-e",
    "trace=fsync,fdatasync,rename,renameat,renameat2,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg",
];

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Bytes were written to a file; they may be in memory only.
    Wrote(PathBuf),
    /// A file or folder was flushed to the disk.
    Flushed(PathBuf),
    /// A file got another name.
    Renamed(PathBuf, PathBuf),
    /// Something was said to another process, or over the network.
    Said,
}

/// Reads what strace has written so far.
pub fn read(trace: &Path) -> Vec<Act> {
    let text = std::fs::read_to_string(trace).unwrap_or_else(|error| panic!("{}: {error}", trace.display()));
    acts(&text)
}

fn acts(text: &str) -> Vec<Act> {
    // What one thread has begun stands apart from its end when another one was quicker.
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut acts = Vec::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let whole = if let Some(begin) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, begin.to_owned());
            continue;
        } else if let Some((_, end)) =
            call.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>"))
        {
            begun.remove(thread).unwrap_or_default() + end
        } else {
            call.to_owned()
        };
        acts.extend(act(&whole));
    }
    acts
}

fn act(call: &str) -> Option<Act> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    if name.starts_with("rename") {
        let mut paths = arguments.split('"').skip(1).step_by(2).map(PathBuf::from);
        return Some(Act::Renamed(paths.next()?, paths.next()?));
    }
    // The descriptor, and in angle brackets what it is.
    let (_, rest) = arguments.split_once('<')?;
    let (what, _) = rest.split_once('>')?;
    // A server that tries its own front says nothing of what it has on the disk, at a moment that nobody chooses.
    if ["Host: petit-prob", "petit-front: "].iter().any(|probe| arguments.contains(probe)) {
        return None;
    }
    if what.starts_with("socket:") || what.starts_with("TCP:") || what.starts_with("UNIX") {
        return Some(Act::Said);
    }
    let path = what.starts_with('/').then(|| PathBuf::from(what))?;
    Some(if name.ends_with("sync") { Act::Flushed(path) } else { Act::Wrote(path) })
}

/// Checks that nothing was said to anybody while something written to `file` was not on the disk yet. Returns how
/// often it was flushed.
///
/// # Panics
/// When something was.
pub fn said_only_what_is_on_the_disk(acts: &[Act], file: &Path) -> usize {
    let (mut dirty, mut flushes) = (false, 0);
    for act in acts {
        match act {
            Act::Wrote(path) if path == file => dirty = true,
            Act::Flushed(path) if path == file => (dirty, flushes) = (false, flushes + 1),
            Act::Said => assert!(!dirty, "something was said before {} was flushed", file.display()),
            Act::Wrote(_) | Act::Flushed(_) | Act::Renamed(..) => {}
        }
    }
    flushes
}

/// Checks that each file that was renamed into its place had been flushed before, and its folder was after. Returns
/// the places.
///
/// # Panics
/// When one was not.
pub fn renamed_only_what_is_on_the_disk(acts: &[Act]) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for (at, act) in acts.iter().enumerate() {
        let Act::Renamed(from, to) = act else { continue };
        let touched = |act: &&Act| matches!(act, Act::Wrote(path) | Act::Flushed(path) if path == from);
        let last = acts[..at].iter().rev().find(touched);
        assert!(!matches!(last, Some(Act::Wrote(_))), "{} was not flushed before its rename", to.display());
        let folder = to.parent().unwrap();
        let flushed = acts[at..].iter().any(|act| matches!(act, Act::Flushed(path) if path == folder));
        assert!(flushed, "the folder was not flushed after the rename of {}", to.display());
        places.push(to.clone());
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
10 fsync(9</d/.key.10.new>) = 0
10 rename(\"/d/.key.10.new\", \"/d/key\") = 0
10 fsync(11</d>)             = 0
11 pwrite64(13</d/db-wal>, \"x > y\", 24, 4152 <unfinished ...>
10 write(4<anon_inode:[eventfd]>, \"\\1\", 8) = 8
10 sendto(28<socket:[272730]>, \"GET / HTTP/1.1\\r\\nHost: petit-prob\"..., 190, MSG_NOSIGNAL, NULL, 0) = 190
11 <... pwrite64 resumed>) = 24
11 fsync(13</d/db-wal>) = 0
11 fsync(14</d/other>) = -1 EIO (Input/output error)
10 writev(25<socket:[272731]>, [{iov_base=\"HTTP/1.1 200 OK\"}], 2) = 474
10 +++ exited with 0 +++
";

    #[test]
    fn calls_are_read_as_they_ended() {
        let path = PathBuf::from;
        let expected = [
            Act::Flushed(path("/d/.key.10.new")),
            Act::Renamed(path("/d/.key.10.new"), path("/d/key")),
            Act::Flushed(path("/d")),
            Act::Wrote(path("/d/db-wal")),
            Act::Flushed(path("/d/db-wal")),
            Act::Said,
        ];
        assert_eq!(acts(TRACE), expected);
        assert_eq!(said_only_what_is_on_the_disk(&expected, Path::new("/d/db-wal")), 1);
        assert_eq!(renamed_only_what_is_on_the_disk(&expected), [path("/d/key")]);
    }

    #[test]
    #[should_panic(expected = "said before /d/db-wal was flushed")]
    fn an_answer_before_the_flush_is_noticed() {
        let hasty = TRACE.replace("11 fsync(13</d/db-wal>) = 0\n", "");
        said_only_what_is_on_the_disk(&acts(&hasty), Path::new("/d/db-wal"));
    }

    #[test]
    #[should_panic(expected = "the folder was not flushed")]
    fn a_folder_that_was_not_flushed_is_noticed() {
        renamed_only_what_is_on_the_disk(&acts(&TRACE.replace("10 fsync(11</d>)             = 0\n", "")));
    }
}
