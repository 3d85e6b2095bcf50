//! Files that are imported: from folders and from archives, unpacked in memory and of bounded size.

use std::{
    fs::{self, File},
    io::{self, BufReader, Cursor, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use flate2::bufread::MultiGzDecoder;

/// Largest file that is read, unpacked. KubeVirt's are some kilobytes, the points of its graphs two
/// megabytes.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// What all that is taken from an archive may be together.
const ARCHIVE_TAKEN_MAX: usize = 512 << 20;
/// How much of an archive is read, unpacked: others' files may be in it too.
const ARCHIVE_BYTES_MAX: u64 = 4 << 30;
/// A block of a tar archive; the first has its mark.
const TAR_BLOCK: u64 = 512;
const TAR_MARK: (usize, &[u8]) = (257, b"ustar");

/// A file and what is in it.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) text: Vec<u8>,
}

/// What was found in a folder or an archive.
#[derive(Default)]
pub(super) struct FoundFiles {
    pub(super) files: Vec<Found>,
    /// Why the rest of an archive could not be read.
    pub(super) problem: Option<String>,
}

/// The files with that extension in a folder, or anywhere in an archive, in the order of their names;
/// of another file that file itself.
pub(super) fn all(path: &Path, extension: &str) -> Result<FoundFiles> {
    let is_wanted = |path: &Path| path.extension().is_some_and(|found| found == extension);
    if path.is_dir() {
        let paths = paths(path)?.into_iter().filter(|path| is_wanted(path));
        let files = paths.map(|path| read(&path).map(|text| found(&path, text)));
        return Ok(FoundFiles {
            files: files.collect::<Result<_>>()?,
            problem: None,
        });
    }
    match archive(path)? {
        Some(archive) => taken(archive, path, is_wanted),
        None => Ok(FoundFiles {
            files: vec![found(path, read(path)?)],
            problem: None,
        }),
    }
}

fn found(path: &Path, text: Vec<u8>) -> Found {
    Found {
        name: path.display().to_string(),
        text,
    }
}

/// A build of KubeVirt's CI.
pub(super) struct Build {
    pub(super) job: String,
    pub(super) id: String,
    pub(super) name: String,
    text: BuildText,
}

/// Results in a folder are read one after another; those of an archive are there.
enum BuildText {
    In(PathBuf),
    Is(Vec<u8>),
}

impl Build {
    /// Its `results.json`.
    pub(super) fn text(self) -> Result<Vec<u8>> {
        match self.text {
            BuildText::In(path) => read(&path),
            BuildText::Is(text) => Ok(text),
        }
    }
}

/// The builds of a checkout or an archive of one, and why the rest of an archive could not be read.
pub(super) fn kubevirt_builds(path: &Path) -> Result<(Vec<Build>, Option<String>)> {
    if path.is_dir() {
        return Ok((builds_of_folder(path)?, None));
    }
    let Some(archive) = archive(path)? else {
        bail!("{} is no folder and no tar archive", path.display());
    };
    let found = taken(archive, path, |path| job_and_build(path).is_some())?;
    let builds = found.files.into_iter().filter_map(|file| {
        let (job, id) = job_and_build(Path::new(&file.name))?;
        Some(Build {
            job,
            id,
            name: file.name,
            text: BuildText::Is(file.text),
        })
    });
    Ok((builds.collect(), found.problem))
}

/// What `…/results/JOB/BUILD/results.json` is of.
fn job_and_build(path: &Path) -> Option<(String, String)> {
    let mut names = path.iter().rev().map(|name| name.to_str());
    let mut next = || names.next().flatten();
    let (file, build, job, root) = (next()?, next()?, next()?, next()?);
    let is_build = file == "results.json" && root == "results";
    is_build.then(|| (job.to_owned(), build.to_owned()))
}

fn builds_of_folder(dir: &Path) -> Result<Vec<Build>> {
    let below = dir.join("results");
    let root = if below.is_dir() {
        below
    } else {
        dir.to_owned()
    };
    let mut builds = Vec::new();
    for job in folders(&root)? {
        for id in folders(&root.join(&job))? {
            let path = root.join(&job).join(&id).join("results.json");
            if path.exists() {
                builds.push(Build {
                    job: job.clone(),
                    id,
                    name: path.display().to_string(),
                    text: BuildText::In(path),
                });
            }
        }
    }
    Ok(builds)
}

/// A file as it is, or unpacked.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let name = || format!("cannot read {}", path.display());
    let mut text = Vec::new();
    let file = unpacked(path).with_context(name)?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text);
    if read.with_context(name)? as u64 > FILE_BYTES_MAX {
        bail!(
            "{} is larger than {} MiB",
            path.display(),
            FILE_BYTES_MAX >> 20
        );
    }
    Ok(text)
}

fn unpacked(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut plain = BufReader::with_capacity(1 << 16, File::open(path)?);
    let is_gzip = io::BufRead::fill_buf(&mut plain)?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(plain))
    } else {
        Box::new(plain)
    })
}

/// A tar archive, gzipped or not; `None` if it is another file.
fn archive(path: &Path) -> Result<Option<Box<dyn Read>>> {
    let name = || format!("cannot read {}", path.display());
    let mut file = unpacked(path).with_context(name)?;
    let mut first = Vec::new();
    let read = file.by_ref().take(TAR_BLOCK).read_to_end(&mut first);
    read.with_context(name)?;
    let (at, mark) = TAR_MARK;
    let is_tar = first.get(at..).is_some_and(|rest| rest.starts_with(mark));
    Ok(is_tar.then(|| Box::new(Cursor::new(first).chain(file)) as Box<dyn Read>))
}

/// A reader that knows how many zeros it has read last: an archive ends in two blocks of them, and
/// one without has been cut off, which the library takes for an end.
struct Ending<R> {
    inner: R,
    zeros: u64,
}

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let read = &buffer[..count];
        let zeros = read.iter().rev().take_while(|byte| **byte == 0).count();
        if zeros < count {
            self.zeros = 0;
        }
        self.zeros += zeros as u64;
        Ok(count)
    }
}

/// The wanted files of an archive, as far as it can be read.
fn taken(
    archive: Box<dyn Read>,
    path: &Path,
    is_wanted: impl Fn(&Path) -> bool,
) -> Result<FoundFiles> {
    let mut archive = tar::Archive::new(Ending {
        inner: archive.take(ARCHIVE_BYTES_MAX),
        zeros: 0,
    });
    let mut found = FoundFiles::default();
    let name = path.display();
    let taken = take_entries(&mut archive, is_wanted, &mut found.files);
    let archive = archive.into_inner();
    if archive.inner.limit() == 0 {
        bail!(
            "{name} is larger than {} GiB, unpacked",
            ARCHIVE_BYTES_MAX >> 30
        );
    }
    found.problem = match taken {
        Err(error) => Some(format!("{name}: the rest cannot be read: {error:#}")),
        Ok(()) if archive.zeros < TAR_BLOCK => {
            Some(format!("{name}: the rest cannot be read: it is cut off"))
        }
        Ok(()) => None,
    };
    found.files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Takes the wanted files of an archive one after another; a link is none.
fn take_entries(
    archive: &mut tar::Archive<impl Read>,
    is_wanted: impl Fn(&Path) -> bool,
    files: &mut Vec<Found>,
) -> Result<()> {
    let mut room = ARCHIVE_TAKEN_MAX;
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        if !entry.header().entry_type().is_file() || !is_wanted(&path) {
            continue;
        }
        let mut text = Vec::new();
        let size = entry.size();
        let read = entry.take(room as u64 + 1).read_to_end(&mut text);
        if read.with_context(|| path.display().to_string())? > room {
            bail!(
                "there are more than {} MiB in it to take",
                ARCHIVE_TAKEN_MAX >> 20
            );
        }
        if (text.len() as u64) < size {
            bail!("{} is cut off", path.display());
        }
        room -= text.len();
        files.push(found(&path, text));
    }
    Ok(())
}

/// Names of the folders in a folder, in their order.
fn folders(dir: &Path) -> Result<Vec<String>> {
    let paths = paths(dir)?.into_iter().filter(|path| path.is_dir());
    let names = paths.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    Ok(names.collect())
}

/// What is in a folder, in the order of its names.
fn paths(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("cannot read {}", dir.display());
    let entries = fs::read_dir(dir).with_context(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<io::Result<Vec<_>>>().with_context(failed)?;
    paths.sort();
    Ok(paths)
}
