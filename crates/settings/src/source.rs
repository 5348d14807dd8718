//! Where the settings of a running program come from.

use std::io;
use std::path::{Path, PathBuf};

use crate::directory::start_directory;
use crate::environment::Environment;
use crate::flags::Flags;
use crate::loader::Loader;
use crate::{Origin, Place, Problem, Problems, Report, Section, file};

/// The file, the flags and the environment that a program was started with. It can be loaded from again and
/// again, as after a SIGHUP: the file is read anew each time.
#[derive(Clone, Debug)]
pub struct Source {
    pub(crate) file: ConfigFile,
    pub(crate) environment: Environment,
    /// The variable with flags, and those flags.
    pub(crate) flags_variable: Option<(&'static str, Flags)>,
    pub(crate) flags: Flags,
}

/// Which file to read. Paths are made absolute at the start, as the program may change its directory.
#[derive(Clone, Debug)]
pub(crate) enum ConfigFile {
    /// There is none.
    None,
    /// It may be missing.
    Default { shown: PathBuf, path: PathBuf },
    /// It was asked for.
    Given { shown: PathBuf, path: PathBuf },
}

impl ConfigFile {
    pub(crate) fn given(shown: PathBuf) -> Self {
        Self::Given { path: absolute(&shown), shown }
    }

    pub(crate) fn default_file(name: &str) -> Self {
        Self::Default { path: absolute(Path::new(name)), shown: name.into() }
    }

    /// The name to show and the text, or nothing if there is no file.
    fn read(&self) -> Result<Option<(&Path, String)>, Problem> {
        let (shown, path, may_be_missing) = match self {
            Self::None => return Ok(None),
            Self::Default { shown, path } => (shown, path, true),
            Self::Given { shown, path } => (shown, path, false),
        };
        match std::fs::read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Some((shown, text))),
                Err(error) => {
                    let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                    let line = good.iter().filter(|&&byte| byte == b'\n').count() + 1;
                    let place = Place::At(Origin::File { path: shown.clone(), line });
                    Err(Problem { place, key: None, message: "not UTF-8; save the file as UTF-8".to_owned() })
                }
            },
            Err(error) if may_be_missing && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let hint = match error.kind() {
                    io::ErrorKind::NotFound => "give the path of an existing file with --config",
                    io::ErrorKind::PermissionDenied => "let the user that runs this program read it",
                    _ => "give the path of a readable file with --config",
                };
                let message = format!("cannot be read: {error}; {hint}");
                Err(Problem { place: Place::WholeFile(shown.clone()), key: None, message })
            }
        }
    }
}

/// By the name under which the process was started, so that a link that is repointed is followed anew.
fn absolute(path: &Path) -> PathBuf {
    start_directory().join(path)
}

impl Source {
    /// The file that is read, as an absolute path; it need not be there.
    pub fn file(&self) -> Option<&Path> {
        match &self.file {
            ConfigFile::None => None,
            ConfigFile::Default { path, .. } | ConfigFile::Given { path, .. } => Some(path),
        }
    }

    /// This file and nothing else.
    pub(crate) fn only(file: PathBuf) -> Self {
        Self {
            file: ConfigFile::given(file),
            environment: Environment::default(),
            flags_variable: None,
            flags: Flags::default(),
        }
    }

    /// Lays all layers over the structs, whose present values are the weakest layer: give fresh ones. After an
    /// error they hold what could be understood; a running program keeps its old ones then.
    ///
    /// # Errors
    /// All problems of all layers.
    ///
    /// # Panics
    /// Two keys have the same name, flag or variable: a mistake in the program.
    pub fn load(&self, sections: &mut [&mut dyn Section]) -> Result<Report, Problems> {
        let mut loader = Loader::new(sections);
        let mut used = None;
        match self.file.read() {
            Ok(Some((shown, text))) => {
                file::apply(&mut loader, shown, &text);
                used = Some(shown.to_owned());
            }
            Ok(None) => {}
            Err(problem) => loader.problems.push(problem),
        }
        self.environment.apply(&mut loader);
        if let Some((variable, flags)) = &self.flags_variable {
            let variable = (*variable).to_owned();
            flags.apply(&mut loader, |flag| Origin::FlagIn { variable: variable.clone(), flag });
        }
        self.flags.apply(&mut loader, Origin::Flag);
        loader.finish(used)
    }
}
