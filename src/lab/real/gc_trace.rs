//! What garbage collection took of a Go program, by the lines that it writes into its log with
//! `GODEBUG=gctrace=1`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::Path,
    sync::{Mutex, PoisonError},
};

/// The environment variable that makes a Go program write the lines.
pub(super) const VARIABLE: (&str, &str) = ("GODEBUG", "gctrace=1");
/// How such a line begins; what else is in the log does not.
pub(super) const LINE_START: &str = "gc ";

/// What was read of a log.
#[derive(Debug, Default)]
pub(super) struct GcTrace(Mutex<Read>);

#[derive(Debug, Default, Clone, Copy)]
struct Read {
    bytes: u64,
    us: f64,
}

impl GcTrace {
    /// Microseconds of CPU of all collections in the log.
    pub(super) fn us(&self, log: &Path) -> io::Result<f64> {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(read.bytes))?;
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            // The rest of a line that is being written comes next time.
            if line.last() != Some(&b'\n') {
                break;
            }
            read.bytes += line.len() as u64;
            read.us += collection_us(&String::from_utf8_lossy(&line)).unwrap_or_default();
            line.clear();
        }
        Ok(read.us)
    }
}

/// CPU of a collection: `gc 21 @27.686s 1%: 2.0+97+0.23 ms clock, 4.0+2.3/53/98+0.47 ms cpu, ...`.
fn collection_us(line: &str) -> Option<f64> {
    let (_, rest) = line.strip_prefix(LINE_START)?.split_once(" ms clock, ")?;
    let (parts, _) = rest.split_once(" ms cpu")?;
    let millis: Result<Vec<f64>, _> = parts.split(['+', '/']).map(str::parse).collect();
    Some(1e3 * millis.ok()?.iter().sum::<f64>())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn collections_are_summed_as_the_log_grows() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        let trace = GcTrace::default();
        log.write_all(b"I1 starting\ngc 1 @0.1s 1%: 2.0+97+0.25 ms clock, 4.0+2.5/53/98+0.5 ms cpu, 1->2->3 MB\ngc 2 @0.2")
            .unwrap();
        assert_eq!(trace.us(log.path()).unwrap(), 158_000.0);
        log.write_all(b"s 1%: 2.0+9+0.2 ms clock, 1+2/3/4+5 ms cpu, 1->2->3 MB\n")
            .unwrap();
        assert_eq!(trace.us(log.path()).unwrap(), 173_000.0);
        assert_eq!(trace.us(log.path()).unwrap(), 173_000.0);
    }
}
