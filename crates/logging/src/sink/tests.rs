#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer, in its helpers too")]

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

const LINE: &str = "0123456789012345678901234567890\n";

fn report(lost: u32) -> String {
    format!("lost {lost}\n")
}

fn way(sink: &Sink) -> Way {
    sink.output.load().as_ref().unwrap().way
}

/// Writes until something was lost, which must not take long.
fn fill(sink: &Sink) -> u32 {
    let start = Instant::now();
    let mut written = 0;
    while sink.loss.take_count() == 0 {
        sink.write(LINE, report);
        written += 1;
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    written - 1
}

/// Reads what is there.
fn read_available(source: &mut impl io::Read, size: usize) -> String {
    let mut bytes = vec![0; size];
    let length = source.read(&mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

fn pipe() -> (PipeReader, Sink) {
    let (reader, writer) = io::pipe().unwrap();
    let sink = Sink::open(writer.as_fd()).unwrap();
    (reader, sink)
}

fn drops_counts_and_reports(mut reader: PipeReader, sink: &Sink) {
    let written = fill(sink);
    let start = Instant::now();
    for _ in 0..1000 {
        sink.write(LINE, report);
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(read_available(&mut reader, 1 << 20), LINE.repeat(written as usize));
    sink.write("after\n", report);
    sink.write("that\n", report);
    assert_eq!(read_available(&mut reader, 1 << 20), "lost 1000\nafter\nthat\n");
}

#[test]
fn a_full_pipe_costs_lines_and_no_time() {
    let (reader, sink) = pipe();
    assert_eq!(way(&sink), Way::Own);
    drops_counts_and_reports(reader, &sink);
}

#[test]
fn a_full_pipe_that_cannot_be_reopened_costs_lines_and_no_time() {
    let (reader, writer) = io::pipe().unwrap();
    let sink = Sink::over(Output { descriptor: writer.into(), way: Way::Polled });
    drops_counts_and_reports(reader, &sink);
}

#[test]
fn the_flags_of_the_given_pipe_stay_as_they_were() {
    let (_reader, writer) = io::pipe().unwrap();
    let sink = Sink::open(writer.as_fd()).unwrap();
    let flags = sink.with_descriptor(|own| rustix::fs::fcntl_getfl(own).unwrap()).unwrap();
    assert!(flags.contains(OFlags::NONBLOCK | OFlags::APPEND));
    assert!(!rustix::fs::fcntl_getfl(&writer).unwrap().intersects(OFlags::NONBLOCK | OFlags::APPEND));
}

#[test]
fn a_full_socket_costs_lines_and_no_time_and_keeps_lines_apart() {
    let (mut reader, writer) = UnixStream::pair().unwrap();
    let sink = Sink::open(writer.as_fd()).unwrap();
    assert_eq!(way(&sink), Way::Socket);
    fill(&sink);
    for _ in 0..10 {
        sink.write(LINE, report);
    }
    reader.set_nonblocking(true).unwrap();
    let mut all = Vec::new();
    let _ = reader.read_to_end(&mut all); // ends with EAGAIN
    sink.write("after\n", report);
    let _ = reader.read_to_end(&mut all);
    let text = String::from_utf8(all).unwrap();
    assert!(text.ends_with("lost 10\nafter\n"), "{}", &text[text.len() - 80..]);
    assert!(text.lines().rev().skip(3).all(|line| line == LINE.trim_end()));
    assert!(!rustix::fs::fcntl_getfl(&writer).unwrap().contains(OFlags::NONBLOCK));
}

#[test]
fn a_line_after_a_cut_one_begins_anew() {
    let (mut reader, sink) = pipe();
    sink.with_descriptor(|own| rustix::io::write(own, b"half a li").unwrap());
    sink.loss.set_cut();
    sink.write("whole\n", report);
    sink.write("next\n", report);
    assert_eq!(read_available(&mut reader, 100), "half a li\nwhole\nnext\n");
}

#[test]
fn a_file_keeps_the_offset_that_others_share() {
    let path = std::env::temp_dir().join(format!("logging-sink-{}", std::process::id()));
    let mut file = File::create(&path).unwrap();
    let sink = Sink::open(file.as_fd()).unwrap();
    assert_eq!(way(&sink), Way::Plain);
    file.write_all(b"one\n").unwrap();
    sink.write("two\n", report);
    file.write_all(b"three\n").unwrap();
    sink.write("four\n", report);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(text, "one\ntwo\nthree\nfour\n");
}

#[test]
fn a_full_disk_costs_lines_only() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let sink = Sink::open(full.as_fd()).unwrap();
    sink.write(LINE, report);
    sink.write(LINE, report);
    assert_eq!(sink.loss.take_count(), 2);
}

#[test]
fn a_reader_that_left_costs_lines_only() {
    let (reader, sink) = pipe();
    drop(reader);
    sink.write(LINE, report);
    assert_eq!(sink.loss.take_count(), 1);
}

#[test]
fn lines_of_many_threads_are_never_torn() {
    let (mut reader, sink) = pipe();
    let mut received = String::new();
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = ["a", "b", "c", "d"]
            .into_iter()
            .map(|letter| {
                let (sink, enough) = (&sink, &enough);
                scope.spawn(move || {
                    // What finds the pipe full is dropped: whoever reads seldom gets few lines of each round.
                    while !enough.load(Ordering::Relaxed) {
                        for length in (1..4000).step_by(7) {
                            sink.write(&format!("<{}>\n", letter.repeat(length)), report);
                        }
                    }
                })
            })
            .collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            // A line of our own, so that there is something to read.
            sink.write("<a>\n", report);
            received.push_str(&read_available(&mut reader, 1 << 16));
            enough.store(received.lines().count() > 200, Ordering::Relaxed);
        }
    });
    for line in received.lines().filter(|line| !line.starts_with("lost ")) {
        let body = line.strip_prefix('<').and_then(|line| line.strip_suffix('>')).expect(line);
        assert!(body.chars().all(|c| body.starts_with(c)), "{line}");
    }
    assert!(received.lines().count() > 200);
}
