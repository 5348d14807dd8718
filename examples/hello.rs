//! The smallest server: five workers and more on 127.0.0.1:5000 that say hello.
//!
//! `cargo run --release --example hello`, then `curl http://127.0.0.1:5000/`.

use http::{Request, Response};
use prefork::{Body, Outcome, Server, Settings, handler};

fn main() -> Outcome {
    let app = handler(async |_: Request<Body>| Response::new("hello\n".to_string()));
    Server::new(Settings::default()).app(app).run()
}
