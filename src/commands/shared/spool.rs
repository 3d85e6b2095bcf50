//! Where a run keeps what its proxies send until its record is written, and what earlier ones left there.

use std::{
    env,
    path::{Path, PathBuf},
};

use driver::Spool;
use terminal::tell;

/// Most files that are named.
const NAMED_MAX: usize = 3;

/// Of a run that keeps a journal: in the folder of the results, or else in that of what is under way;
/// `None` where neither is there. Says what runs left in it whose driver was killed.
pub(crate) fn spool(journal: bool, results: Option<&Path>) -> Option<Spool> {
    if !journal {
        return None;
    }
    let folder = results.map(Path::to_owned).or_else(state_folder);
    let Some(folder) = folder else {
        tell!(
            "kubetoll: there is no home folder: the journal is not kept on disk until the books are \
             closed; --results-dir names a place"
        );
        return None;
    };
    let spool = Spool::in_folder(&folder);
    let left = spool.left();
    for file in left.iter().take(NAMED_MAX) {
        let file = file.display();
        tell!(
            "a run that ended without its record left {file}: `kubetoll why {file}` and `kubetoll \
             journal {file}` read it; remove it afterwards"
        );
    }
    if left.len() > NAMED_MAX {
        let (more, folder) = (left.len() - NAMED_MAX, folder.display());
        tell!("{more} more such files are in {folder}");
    }
    Some(spool)
}

/// Removes the file: the run's record is written, or nobody wants it.
pub(crate) fn remove(spool: Option<&Spool>) {
    if let Some(spool) = spool {
        spool.remove();
    }
}

/// The same, unless something could not be written: then the file stays, and it is said which.
pub(crate) fn remove_unless_needed(spool: Option<&Spool>, all_written: bool) {
    if all_written {
        return remove(spool);
    }
    if let Some(file) = spool.and_then(Spool::path) {
        let file = file.display();
        tell!(
            "kubetoll: not everything was written: what the proxies gave is still in {file}; \
             `kubetoll why {file}` reads it"
        );
    }
}

/// Where is kept what is under way: `kubetoll` in `$XDG_STATE_HOME` or `~/.local/state`.
pub(crate) fn state_folder() -> Option<PathBuf> {
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || env::home_dir().map(|home| home.join(".local/state"));
    Some(state.or_else(home)?.join("kubetoll"))
}
