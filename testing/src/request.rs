//! What a server was asked.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;

/// A request that the server got.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method, as it was sent.
    pub method: String,
    /// Path and query, as they were sent.
    pub target: String,
    /// The path, without query, as it was sent.
    pub path: String,
    /// The query's parameters, decoded; of a name that occurs twice, the last.
    pub query: HashMap<String, String>,
    /// The headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// How many bytes of body were given to the connection in answer.
    pub sent: u64,
}

impl Request {
    /// The parts of the path between its slashes, decoded.
    pub fn segments(&self) -> Vec<String> {
        self.path.split('/').skip(1).map(decode).collect()
    }

    /// Reads a request, unless the client only opened a connection.
    pub(crate) fn read(stream: &TcpStream) -> std::io::Result<Option<Self>> {
        let mut lines = BufReader::new(stream).lines();
        let Some(first) = lines.next().transpose()? else { return Ok(None) };
        let mut words = first.split(' ');
        let method = words.next().unwrap_or("GET").to_owned();
        let target = words.next().unwrap_or("/").to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (path, query) = (path.to_owned(), parameters(query));
        let mut headers = HashMap::new();
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        Ok(Some(Self { method, target, path, query, headers, sent: 0 }))
    }

    /// Where the range begins that is asked for, which has no end.
    pub(crate) fn range(&self) -> Option<u64> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

fn parameters(query: &str) -> HashMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))).collect()
}

/// Percent-decodes; what is no escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        if let Some(escaped) = escaped {
            bytes.extend(escaped);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
