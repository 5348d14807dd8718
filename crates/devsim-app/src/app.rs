//! DevSim as the supervisor carries it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body as Answer;
use http::request::Parts;
use prefork::{App, BodyPolicy, BoxError, Context};

use crate::routes::body_limit;
use crate::{Host, Settings, build, check, prepare};

/// The application and its settings; what it opens, it opens in each worker.
#[derive(Clone, Debug)]
pub struct DevSim {
    settings: Settings,
}

impl DevSim {
    /// The application with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl App for DevSim {
    type Service = Router;
    type Answer = Answer;

    fn prepare(&self) -> Result<(), BoxError> {
        // A runtime of the helper's own, gone with it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(prepare(&self.settings))?)
    }

    fn check(&self) -> Result<(), BoxError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(check(&self.settings))?)
    }

    async fn build(&self, context: Context) -> Result<Router, BoxError> {
        let draining = context.draining();
        let host = Host { draining: Arc::new(move || draining.is_for_the_server()) };
        Ok(build(&self.settings, host).await?)
    }

    fn body_policy(&self, head: &Parts, default: BodyPolicy) -> BodyPolicy {
        default.limited_to(body_limit(&head.method, head.uri.path(), &self.settings.limits()))
    }
}
