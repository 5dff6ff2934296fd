//! Loads: what visitors do.
//!
//! Requests per second come from wrk, which others know and trust. Everything else is a few lines of our own,
//! because it has to be exact where a tool is not: curl needs longer to start than a small transfer takes, and
//! no tool times the single requests that go beside a bulk transfer. Blocking sockets, a thread each: the load
//! costs as little CPU as it can on a machine that it shares with what it measures.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::place::BIG;
use crate::process::{output, until};

/// The most bytes of one read or write.
const CHUNK: usize = 256 * 1024;
/// A visitor that hears nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(20);

/// Where visitors of a system come in.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
}

/// What wrk has counted.
pub(crate) struct Wrk {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Connections that broke, answers that were no success.
    pub(crate) errors: u64,
}

/// How much went in what time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

impl Transfer {
    pub(crate) fn mb_per_second(self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }
}

/// Times of single requests.
#[derive(Debug, Default)]
pub(crate) struct Times {
    sorted: Vec<Duration>,
}

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { sorted: times }
    }

    /// The time that so many of a hundred stay below, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let at = (self.sorted.len() * percent / 100).min(last);
        self.sorted.get(at).copied().unwrap_or_default().as_secs_f64() * 1e3
    }

    pub(crate) fn count(&self) -> usize {
        self.sorted.len()
    }
}

/// One connection of a visitor.
pub(crate) struct Visitor {
    tcp: TcpStream,
    host: String,
    /// What has been read and not been used.
    rest: Vec<u8>,
}

impl Front {
    pub(crate) fn new(address: SocketAddr, host: &str) -> Self {
        Self { address, host: host.to_owned() }
    }

    pub(crate) fn until_answers(&self) -> Result<()> {
        until("the first answer", || self.connect().and_then(|mut visitor| visitor.get_tiny()).is_ok())
    }

    pub(crate) fn connect(&self) -> Result<Visitor> {
        let tcp = TcpStream::connect_timeout(&self.address, SILENCE).context("cannot connect")?;
        tcp.set_nodelay(true).context("a socket option")?;
        tcp.set_read_timeout(Some(SILENCE)).context("a socket option")?;
        tcp.set_write_timeout(Some(SILENCE)).context("a socket option")?;
        Ok(Visitor { tcp, host: self.host.clone(), rest: Vec::new() })
    }

    /// Keep-alive requests, or one request per connection, for some seconds.
    pub(crate) fn wrk(&self, connections: usize, seconds: u64, close: bool) -> Result<Wrk> {
        let threads = if connections < 8 { 1 } else { 2 };
        let mut wrk = Command::new("wrk");
        wrk.args([
            "--latency",
            &format!("-t{threads}"),
            &format!("-c{connections}"),
            &format!("-d{seconds}s"),
        ]);
        wrk.args(["-H", &format!("Host: {}", self.host)]);
        if close {
            wrk.args(["-H", "Connection: close"]);
        }
        Wrk::read(&output(wrk.arg(format!("http://{}/tiny", self.address)))?)
    }

    /// Downloads of the large file at the same time, cut off after `limit`.
    pub(crate) fn download(&self, parallel: usize, limit: Duration) -> Result<Transfer> {
        let begin = Instant::now();
        let loads: Vec<JoinHandle<Result<u64>>> = (0..parallel)
            .map(|_| {
                let front = self.clone();
                std::thread::spawn(move || front.connect()?.get_big(begin + limit))
            })
            .collect();
        let mut bytes = 0;
        for load in loads {
            bytes += join(load)??;
        }
        Ok(Transfer { bytes, took: begin.elapsed() })
    }

    /// One upload of so many bytes, until it is answered.
    pub(crate) fn upload(&self, bytes: u64) -> Result<Transfer> {
        let begin = Instant::now();
        let mut visitor = self.connect()?;
        visitor.begin_upload(bytes)?;
        let chunk = noise();
        let mut left = bytes;
        while left > 0 {
            let piece = chunk.get(..CHUNK.min(usize::try_from(left)?)).unwrap_or(&chunk);
            visitor.tcp.write_all(piece).context("the upload broke")?;
            left -= piece.len() as u64;
        }
        let (status, _) = visitor.read_head()?;
        ensure!(matches!(status, 201 | 204), "the upload was answered with {status}");
        Ok(Transfer { bytes, took: begin.elapsed() })
    }

    /// Connections that have had one answer and are kept.
    pub(crate) fn hold(&self, count: usize) -> Result<Vec<Visitor>> {
        let mut visitors = Vec::with_capacity(count);
        for _ in 0..count {
            let mut visitor = self.connect()?;
            visitor.get_tiny()?;
            visitors.push(visitor);
        }
        Ok(visitors)
    }

    /// Small requests one after the other on each of some connections, for a while.
    pub(crate) fn small(&self, connections: usize, duration: Duration) -> Result<Times> {
        let begin = Instant::now();
        let loads: Vec<JoinHandle<Result<Vec<Duration>>>> = (0..connections)
            .map(|_| {
                let front = self.clone();
                std::thread::spawn(move || {
                    let mut visitor = front.connect()?;
                    let mut times = Vec::new();
                    while begin.elapsed() < duration {
                        let sent = Instant::now();
                        visitor.get_tiny()?;
                        times.push(sent.elapsed());
                    }
                    Ok(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        for load in loads {
            times.extend(join(load)??);
        }
        Ok(Times::new(times))
    }

    /// Requests on connections of their own, all sent at the same moment; the connections exist before.
    pub(crate) fn at_once(&self, count: usize) -> Result<Times> {
        let barrier = Arc::new(Barrier::new(count));
        let loads: Vec<JoinHandle<Result<Duration>>> = (0..count)
            .map(|_| {
                let (front, barrier) = (self.clone(), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    let visitor = front.connect();
                    barrier.wait();
                    let sent = Instant::now();
                    visitor?.get_tiny()?;
                    Ok(sent.elapsed())
                })
            })
            .collect();
        let mut times = Vec::new();
        for load in loads {
            times.push(join(load)??);
        }
        Ok(Times::new(times))
    }

    /// A request on a new connection: from before it connects until it has the answer.
    pub(crate) fn fresh(&self) -> Result<Duration> {
        let begin = Instant::now();
        self.connect()?.get_tiny()?;
        Ok(begin.elapsed())
    }

    /// Transfers that go on until they are stopped.
    pub(crate) fn bulk(&self, parallel: usize, direction: Direction) -> Result<Bulk> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut loads = Vec::new();
        for _ in 0..parallel {
            let (front, stop) = (self.clone(), Arc::clone(&stop));
            loads.push(std::thread::spawn(move || match direction {
                Direction::Down => front.download_until(&stop),
                Direction::Up => front.upload_until(&stop),
            }));
        }
        Ok(Bulk { stop, loads, begin: Instant::now() })
    }

    /// How many MB a second one download brings for a while, once it has gone on for some time.
    pub(crate) fn rate_of_one(&self, after: Duration, watched: Duration) -> Result<f64> {
        let mut visitor = self.connect()?;
        visitor.ask("GET", "/huge", "")?;
        let (status, _) = visitor.read_head()?;
        ensure!(status == 200, "status {status}");
        let mut buffer = vec![0; CHUNK];
        let mut read_for = |time: Duration| -> Result<f64> {
            let (begin, mut bytes) = (Instant::now(), 0);
            while begin.elapsed() < time {
                let count = visitor.tcp.read(&mut buffer).context("a download broke")?;
                ensure!(count > 0, "a download ended before it was to");
                bytes += count;
            }
            Ok(bytes as f64 / 1e6 / begin.elapsed().as_secs_f64())
        };
        read_for(after)?;
        read_for(watched)
    }

    fn download_until(&self, stop: &AtomicBool) -> Result<u64> {
        let mut bytes = 0;
        let mut buffer = vec![0; CHUNK];
        while !stop.load(Ordering::Relaxed) {
            let mut visitor = self.connect()?;
            visitor.ask("GET", "/big", "")?;
            let (_, mut left) = visitor.read_head()?;
            left = left.saturating_sub(visitor.rest.len() as u64);
            visitor.tcp.set_read_timeout(Some(Duration::from_millis(100))).context("a socket option")?;
            while left > 0 && !stop.load(Ordering::Relaxed) {
                match visitor.tcp.read(&mut buffer) {
                    Ok(0) => bail!("a download broke off"),
                    Ok(count) => {
                        bytes += count as u64;
                        left = left.saturating_sub(count as u64);
                    }
                    Err(error) if is_timeout(&error) => {}
                    Err(error) => return Err(error).context("a download broke"),
                }
            }
        }
        Ok(bytes)
    }

    fn upload_until(&self, stop: &AtomicBool) -> Result<u64> {
        let mut visitor = self.connect()?;
        visitor.begin_upload(1 << 36)?;
        visitor.tcp.set_write_timeout(Some(Duration::from_millis(100))).context("a socket option")?;
        let chunk = noise();
        let mut bytes = 0;
        while !stop.load(Ordering::Relaxed) {
            match visitor.tcp.write(&chunk) {
                Ok(count) => bytes += count as u64,
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error).context("an upload broke"),
            }
        }
        Ok(bytes)
    }
}

/// Which way the bytes of a bulk transfer go, as the visitor sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Down,
    Up,
}

/// Transfers under way.
pub(crate) struct Bulk {
    stop: Arc<AtomicBool>,
    loads: Vec<JoinHandle<Result<u64>>>,
    begin: Instant,
}

impl Bulk {
    /// Ends them, and says what went.
    pub(crate) fn stop(self) -> Result<Transfer> {
        let took = self.begin.elapsed();
        self.stop.store(true, Ordering::Relaxed);
        let mut bytes = 0;
        for load in self.loads {
            bytes += join(load)??;
        }
        Ok(Transfer { bytes, took })
    }
}

impl Visitor {
    pub(crate) fn get_tiny(&mut self) -> Result<()> {
        self.ask("GET", "/tiny", "")?;
        let (status, length) = self.read_head()?;
        ensure!(status == 200, "status {status}");
        let mut left = usize::try_from(length)?.saturating_sub(self.rest.len());
        let mut buffer = [0; 1024];
        while left > 0 {
            let count = self.tcp.read(&mut buffer).context("the answer broke")?;
            ensure!(count > 0, "the answer broke off");
            left = left.saturating_sub(count);
        }
        self.rest.clear();
        Ok(())
    }

    /// Reads the large file, until it ends or the time does.
    fn get_big(&mut self, limit: Instant) -> Result<u64> {
        self.ask("GET", "/big", "")?;
        let (status, length) = self.read_head()?;
        ensure!(status == 200 && length == BIG, "status {status}, {length} bytes");
        let mut bytes = self.rest.len() as u64;
        let mut buffer = vec![0; CHUNK];
        while bytes < BIG && Instant::now() < limit {
            let count = self.tcp.read(&mut buffer).context("the download broke")?;
            ensure!(count > 0, "the download broke off after {bytes} bytes");
            bytes += count as u64;
        }
        Ok(bytes)
    }

    fn begin_upload(&mut self, bytes: u64) -> Result<()> {
        self.ask("PUT", "/put/file", &format!("Content-Length: {bytes}\r\n"))
    }

    fn ask(&mut self, method: &str, path: &str, fields: &str) -> Result<()> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", self.host);
        self.tcp.write_all(head.as_bytes()).context("cannot ask")
    }

    /// Reads a head; what came behind it stays in `rest`. Its status and the length of its body.
    fn read_head(&mut self) -> Result<(u16, u64)> {
        let mut buffer = [0; 4096];
        self.rest.clear();
        loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(self.rest.get(..end).unwrap_or_default()).into_owned();
                self.rest.drain(..end + 4);
                let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
                });
                return Ok((status.context("no status")?, length.unwrap_or(0)));
            }
            let count = self.tcp.read(&mut buffer).context("no answer")?;
            ensure!(count > 0, "closed without an answer");
            self.rest.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}

impl Wrk {
    fn read(text: &str) -> Result<Self> {
        // The line itself, because a standard deviation may end in 50% as well.
        let after = |mark: &str| {
            let rest = text.lines().find_map(|line| line.trim().strip_prefix(mark))?;
            rest.split_whitespace().next()
        };
        let number = |mark: &str| after(mark).and_then(|text| text.parse::<f64>().ok());
        let latency = |mark: &str| {
            let text = after(mark)?;
            let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit = match text.strip_prefix(digits)? {
                "us" => 1.0,
                "ms" => 1e3,
                "s" => 1e6,
                _ => return None,
            };
            Some(digits.parse::<f64>().ok()? * unit)
        };
        let before = |mark: &str| {
            let (rest, _) = text.split_once(mark)?;
            rest.split_whitespace().next_back()?.parse::<u64>().ok()
        };
        let broken = text.lines().find_map(|line| line.trim().strip_prefix("Socket errors: "));
        let broken: u64 =
            broken.unwrap_or_default().split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum();
        Ok(Self {
            requests: before(" requests in").context("wrk counted nothing")?,
            per_second: number("Requests/sec:").context("wrk counted nothing")?,
            p50_us: latency("50%").context("wrk timed nothing")?,
            p99_us: latency("99%").context("wrk timed nothing")?,
            errors: broken + number("Non-2xx or 3xx responses:").unwrap_or_default() as u64,
        })
    }
}

/// Bytes that differ enough.
fn noise() -> Vec<u8> {
    (0..CHUNK).map(|at| (at as u32).wrapping_mul(0x9e37_79b9).to_le_bytes()[3]).collect()
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn join<T>(load: JoinHandle<T>) -> Result<T> {
    load.join().map_err(|_| anyhow::anyhow!("a load ended in a panic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read() {
        let text = "Running 3s test @ http://127.0.0.1:1/tiny
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.81ms  712.10us  21.30ms   72.50%
  Latency Distribution
     50%    2.74ms
     75%    3.31ms
     90%    4.09ms
     99%  870.00us
  71045 requests in 3.00s, 21.13MB read
  Socket errors: connect 0, read 3, write 0, timeout 1
  Non-2xx or 3xx responses: 5
Requests/sec:  23677.54
Transfer/sec:      7.04MB
";
        let read = Wrk::read(text).unwrap();
        assert_eq!((read.requests, read.errors), (71_045, 9));
        assert_eq!((read.per_second, read.p50_us, read.p99_us), (23_677.54, 2740.0, 870.0));
    }

    #[test]
    fn percentiles_are_times_that_occurred() {
        let times = Times::new((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!((times.percentile_ms(50), times.percentile_ms(99)), (51.0, 100.0));
        assert_eq!(Times::default().percentile_ms(50), 0.0);
    }
}
