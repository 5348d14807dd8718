//! scratch
use kit::Server;
use std::time::{Duration, Instant};
fn run(config: &str, how: &str) {
    let server = Server::echo(config).start();
    std::thread::sleep(Duration::from_millis(200));
    let mut slow = 0;
    let mut slow_read = 0;
    let mut reads = vec![];
    for _ in 0..100 {
        let t = Instant::now();
        let mut c = server.connect();
        c.send(format!("GET /x HTTP/1.1\r\nHost: x\r\n{how}\r\n")).unwrap();
        if how.contains("sleep") {
            while !c.is_read() {
                std::thread::sleep(Duration::from_micros(500));
            }
            let r = t.elapsed();
            reads.push(r.as_millis());
            if r > Duration::from_millis(100) {
                slow_read += 1;
            }
        }
        c.answer().unwrap();
        if t.elapsed() > Duration::from_millis(100) {
            slow += 1;
        }
    }
    eprintln!("{config:?} {how:?}: slow {slow} slow_read {slow_read}, {reads:?}");
}
#[test]
fn term() {
    for config in
        ["[server]\nworkers = 1\n", "[server]\nworkers = 2\n", "[server]\nworkers = 2\ndefer_accept = 0\n"]
    {
        run(config, "Connection: close\r\n");
        run(config, "Connection: close\r\nx-echo-sleep: 0.01\r\n");
    }
}
