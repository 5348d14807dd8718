//! All settings of the program, and where they come from.

use std::path::Path;

use settings::{Origin, Problems, Program, Report, Section, Source};

/// The program, as its command line presents it.
pub(crate) const PROGRAM: Program = Program {
    default_file: Some("devsim.toml"),
    ..Program::new(
        "devsim-master",
        "Serves the DevSim application from a pool of pre-forked workers",
        env!("CARGO_PKG_VERSION"),
    )
};

/// Every section.
#[derive(Default)]
pub(crate) struct Configuration {
    pub(crate) server: prefork::Settings,
    pub(crate) logging: logging::Settings,
    pub(crate) app: devsim_app::Settings,
}

impl Configuration {
    /// What holds where nobody says otherwise: the library's defaults, and the recycling that DevSim always had.
    pub(crate) fn built_in() -> Self {
        let mut built_in = Self::default();
        built_in.server.workers.max_requests = 2000;
        built_in.server.workers.max_requests_jitter = 100;
        built_in
    }

    /// Reads all layers.
    pub(crate) fn load(source: &Source) -> Result<(Self, Report), Problems> {
        let mut configuration = Self::built_in();
        let report = source.load(&mut configuration.sections())?;
        if *report.origin("server", "request_buffer_dir") == Origin::Default {
            // Beside the database there is room, and a real disk.
            let directory = configuration.app.database_url.path().parent();
            let directory = directory.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
            configuration.server.bodies.request_buffer_dir = directory.into();
        }
        Ok((configuration, report))
    }

    pub(crate) fn sections(&mut self) -> Vec<&mut dyn Section> {
        let mut sections: Vec<&mut dyn Section> = self.server.sections().into();
        sections.push(&mut self.logging);
        sections.push(&mut self.app);
        sections
    }
}
