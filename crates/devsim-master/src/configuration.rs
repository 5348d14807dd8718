//! All settings of the program.

use std::path::{Path, PathBuf};

use devsim_app::DatabaseUrl;
use prefork::settings::AccessFormat;
use settings::{Configuration, Origin, Report, Section, Value as _};

/// Every section.
#[derive(Default)]
pub struct DevSimConfiguration {
    /// The supervisor.
    pub server: prefork::Settings,
    /// Its log.
    pub logging: logging::Settings,
    /// The application.
    pub app: devsim_app::Settings,
}

impl Configuration for DevSimConfiguration {
    /// The library's defaults, and the name, the recycling and the access log that DevSim always had.
    fn built_in() -> Self {
        let mut built_in = Self::default();
        built_in.server.identity.proc_name = "devsim-backend".into();
        built_in.server.workers.max_requests = 2000;
        built_in.server.workers.max_requests_jitter = 100;
        built_in.server.access.access_log_format = access_log_format();
        built_in.server.bodies.request_buffer_dir = folder_of(&built_in.app.database_url);
        built_in
    }

    fn sections(&mut self) -> Vec<&mut dyn Section> {
        let mut sections: Vec<&mut dyn Section> = self.server.sections().into();
        sections.push(&mut self.logging);
        sections.push(&mut self.app);
        sections
    }

    /// Bodies are buffered beside the database unless told otherwise: there is room there, and a real disk.
    fn complete(&mut self, report: &Report) {
        if *report.origin("server", "request_buffer_dir") == Origin::Default {
            self.server.bodies.request_buffer_dir = folder_of(&self.app.database_url);
        }
    }
}

/// Gunicorn's own format, and how long the request took.
fn access_log_format() -> AccessFormat {
    let format = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s"#;
    AccessFormat::from_text(format).expect("its atoms are known")
}

fn folder_of(database: &DatabaseUrl) -> PathBuf {
    let folder = database.path().parent().filter(|path| !path.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).into()
}
