//! A web server on loopback that serves a directory, counts what it is asked, and misbehaves on command.
//!
//! It speaks HTTP by hand: a real server library would refuse to send most of what the tests need.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What the server does instead of answering properly.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Closes the connection after so many bytes of the body.
    CutAfter(u64),
    /// Sends so many bytes of the body, and then nothing, without closing.
    StallAfter(u64),
    /// Waits until [`Server::release`] before it answers, properly.
    Hold,
    /// An empty answer with this status and these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// Another body, with these headers, as if it were the file.
    Body(Vec<u8>, Vec<(&'static str, String)>),
    /// A `Content-Length` that is so much longer than the file.
    LongerLength(u64),
    /// The whole file with status 200, whatever range was asked for.
    NoRanges,
    /// The file from this byte on with status 206, whatever range was asked for.
    WrongRange(u64),
    /// A body without length that never ends.
    Endless,
    /// The file without a length, ended after so many bytes by closing the connection.
    NoLength(u64),
}

/// A request that the server got.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path, without query.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// How many bytes of body were given to the connection in answer.
    pub sent: u64,
}

#[derive(Default)]
struct State {
    faults: Vec<(String, Fault, usize)>,
    requests: Vec<Request>,
    released: bool,
    stopped: bool,
}

struct Shared {
    root: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

/// The server. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Serves `root` on a port that the system chooses.
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let shared =
            Arc::new(Shared { root: root.to_owned(), state: Mutex::default(), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.lock().stopped {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&accepting);
                // A client that goes away is its own affair.
                thread::spawn(move || shared.serve(&stream).ok());
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next `times` requests for a path that ends with `path` are answered with `fault`.
    pub fn misbehave(&self, path: &str, fault: Fault, times: usize) {
        self.shared.lock().faults.push((path.to_owned(), fault, times));
    }

    /// Behaves from now on.
    pub fn behave(&self) {
        self.shared.lock().faults.clear();
    }

    /// The requests for paths that end with `path`, in the order in which they came.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        let state = self.shared.lock();
        state.requests.iter().filter(|request| request.path.ends_with(path)).cloned().collect()
    }

    /// Waits until there were `count` requests for paths that end with `path`.
    pub fn wait_for(&self, path: &str, count: usize) {
        let enough = |state: &mut State| {
            state.requests.iter().filter(|request| request.path.ends_with(path)).count() < count
        };
        drop(self.shared.changed.wait_while(self.shared.lock(), enough));
    }

    /// Answers the requests that [`Fault::Hold`] holds.
    pub fn release(&self) {
        self.shared.lock().released = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let Some((path, headers)) = read_request(stream)? else { return Ok(()) };
        let (number, fault) = self.note(&path, &headers);
        let mut answer = Answer { shared: self, stream, number };
        if matches!(fault, Some(Fault::Hold)) {
            drop(self.changed.wait_while(self.lock(), |state| !state.released && !state.stopped));
        }
        let file = self.find(&path).and_then(|path| std::fs::read(path).ok());
        let Some(file) = file else { return answer.head(404, &[("Content-Length", "0".to_owned())]) };
        let range = headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let length = |bytes: u64| ("Content-Length", bytes.to_string());
        let size = file.len() as u64;
        match fault {
            Some(Fault::Status(status, mut headers)) => {
                headers.push(length(0));
                answer.head(status, &headers)
            }
            Some(Fault::Body(body, mut headers)) => {
                headers.push(length(body.len() as u64));
                answer.head(200, &headers)?;
                answer.body(&body)
            }
            Some(Fault::LongerLength(more)) => {
                answer.head(200, &[length(size + more)])?;
                answer.body(&file)
            }
            Some(Fault::NoRanges) => {
                answer.head(200, &[length(size)])?;
                answer.body(&file)
            }
            Some(Fault::WrongRange(start)) => answer.file(&file, Some(start), None),
            Some(Fault::Endless) => {
                answer.head(200, &[])?;
                loop {
                    answer.body(&[7; 4096])?;
                }
            }
            Some(Fault::NoLength(bytes)) => {
                answer.head(200, &[])?;
                answer.body(first(&file, bytes))
            }
            fault @ (None | Some(Fault::CutAfter(_) | Fault::StallAfter(_) | Fault::Hold)) => {
                answer.file(&file, range, fault.as_ref())
            }
        }
    }

    fn note(&self, path: &str, headers: &HashMap<String, String>) -> (usize, Option<Fault>) {
        let mut state = self.lock();
        state.requests.push(Request { path: path.to_owned(), headers: headers.clone(), sent: 0 });
        let number = state.requests.len() - 1;
        self.changed.notify_all();
        let fault =
            state.faults.iter_mut().find(|(suffix, _, times)| path.ends_with(&**suffix) && *times > 0);
        let fault = fault.map(|(_, fault, times)| {
            *times -= 1;
            fault.clone()
        });
        (number, fault)
    }

    fn find(&self, path: &str) -> Option<PathBuf> {
        let relative = Path::new(path.strip_prefix('/')?);
        let plain = relative.components().all(|component| matches!(component, Component::Normal(_)));
        plain.then(|| self.root.join(relative))
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<Option<(String, HashMap<String, String>)>> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let target = first.split(' ').nth(1).unwrap_or("/").to_owned();
    let path = target.split('?').next().unwrap_or("/").to_owned();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Some((path, headers)))
}

fn first(bytes: &[u8], count: u64) -> &[u8] {
    &bytes[..usize::try_from(count).map_or(bytes.len(), |count| count.min(bytes.len()))]
}

/// One answer, on a connection that closes after it.
struct Answer<'a> {
    shared: &'a Shared,
    stream: &'a TcpStream,
    number: usize,
}

impl Answer<'_> {
    fn head(&mut self, status: u16, headers: &[(&str, String)]) -> std::io::Result<()> {
        let headers: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
        write!(self.stream, "HTTP/1.1 {status} Status\r\nConnection: close\r\n{headers}\r\n")
    }

    fn body(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        // Before they are sent: who has all bytes must find them counted.
        self.shared.lock().requests[self.number].sent += bytes.len() as u64;
        self.stream.write_all(bytes)
    }

    /// As a server should, up to the point where `fault` strikes.
    fn file(&mut self, file: &[u8], range: Option<u64>, fault: Option<&Fault>) -> std::io::Result<()> {
        let size = file.len() as u64;
        let start = range.unwrap_or(0);
        if start >= size && range.is_some() {
            let headers = [("Content-Length", "0".to_owned()), ("Content-Range", format!("bytes */{size}"))];
            return self.head(416, &headers);
        }
        let rest = &file[usize::try_from(start).unwrap_or(file.len())..];
        let length = ("Content-Length", rest.len().to_string());
        match range {
            None => self.head(200, &[length])?,
            Some(start) => {
                self.head(206, &[length, ("Content-Range", format!("bytes {start}-{}/{size}", size - 1))])?;
            }
        }
        match fault {
            Some(Fault::CutAfter(bytes)) => self.body(first(rest, *bytes)),
            Some(Fault::StallAfter(bytes)) => {
                self.body(first(rest, *bytes))?;
                drop(self.shared.changed.wait_while(self.shared.lock(), |state| !state.stopped));
                Ok(())
            }
            _ => self.body(rest),
        }
    }
}
