//! Audit logs of kube-apiserver, read line by line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use flate2::bufread::MultiGzDecoder;

use terminal::tell;
use verify::audit::{AuditEntry, AuditReader};

/// Longest line that is read whole: the largest object twice, as request and response.
const LINE_MAX: u64 = 64 << 20;

/// Reads logs; gives the number of damaged lines, each of which it named. A file that ends in the
/// middle, as a gzipped one does that is still being written, has one more.
pub(crate) fn read_all(files: &[PathBuf], mut each: impl FnMut(AuditEntry)) -> Result<u64> {
    let mut reader = AuditReader::default();
    let mut damaged = 0;
    let mut line = Vec::new();
    for file in files {
        let name = file.display();
        let mut log = open(file).with_context(|| format!("cannot read {name}"))?;
        for number in 1_u64.. {
            match read_line(&mut *log, &mut line) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    damaged += 1;
                    tell!("kubetoll: {name}:{number}: the rest cannot be read: {error}");
                    break;
                }
            }
            match reader.line(&line) {
                Ok(Some(entry)) => each(entry),
                Ok(None) => {}
                Err(bad) => {
                    damaged += 1;
                    tell!("kubetoll: {name}:{number}: {}", bad.reason);
                }
            }
        }
    }
    Ok(damaged)
}

/// The next line; false at the end. Of one that is too long the beginning, which is no event.
fn read_line(log: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = log.take(LINE_MAX).read_until(b'\n', line)?;
    if read as u64 == LINE_MAX && line.last() != Some(&b'\n') {
        log.skip_until(b'\n')?;
    }
    Ok(read > 0)
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let plain: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path)?)
    };
    let mut plain = BufReader::with_capacity(1 << 16, plain);
    let is_gzip = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip {
        Box::new(BufReader::with_capacity(
            1 << 16,
            MultiGzDecoder::new(plain),
        ))
    } else {
        Box::new(plain)
    })
}
