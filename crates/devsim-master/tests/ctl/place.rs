//! Where the control socket is looked for.

use std::fs;

use crate::fake::{Fake, ctl_in};

const SCALED: &str = "{\"workers\": 2}";

#[test]
fn the_configuration_tells_the_socket() {
    for (file, words) in [("devsim.toml", &[][..]), ("other.toml", &["-c", "other.toml"])] {
        let fake = Fake::answering(SCALED);
        fs::write(fake.directory().join(file), "[server]\ncontrol_socket = \"c.sock\"\n")
            .expect("it can be written");
        let ended = ctl_in(fake.directory(), &[words, &["scale", "2"]].concat(), &[]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
    }
}

#[test]
fn a_variable_overrides_the_file_as_it_does_for_the_server() {
    let fake = Fake::answering(SCALED);
    fs::write(fake.directory().join("devsim.toml"), "[server]\ncontrol_socket = \"no.sock\"\n")
        .expect("it can be written");
    let variable = ("DEVSIM_SERVER__CONTROL_SOCKET", "c.sock");
    let ended = ctl_in(fake.directory(), &["scale", "2"], &[variable]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

#[test]
fn a_file_that_is_broken_for_the_next_reload_still_tells_the_socket() {
    let fake = Fake::answering(SCALED);
    let broken = "[server]\nworkers = 0\ncontrol_socket = \"c.sock\"\nnonsense = 1\n";
    fs::write(fake.directory().join("devsim.toml"), broken).expect("it can be written");
    let ended = ctl_in(fake.directory(), &["scale", "2"], &[]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

#[test]
fn a_configuration_that_tells_nothing_for_its_problems_is_2_and_names_them() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("broken.toml"), "[server\n").expect("it can be written");
    for file in ["broken.toml", "missing.toml"] {
        let ended = ctl_in(directory.path(), &["-c", file, "status"], &[]);
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(ended.errors.contains(file) && ended.errors.contains("--socket"), "{ended:?}");
    }
}

#[test]
fn without_a_configured_socket_it_is_in_the_runtime_directory() {
    for variable in ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"] {
        let fake = Fake::answering(SCALED);
        fs::rename(fake.directory().join("c.sock"), fake.directory().join("devsim.sock"))
            .expect("it can be renamed");
        let directory = fake.directory().to_str().expect("the path is text");
        let ended = ctl_in(fake.directory(), &["scale", "2"], &[(variable, directory)]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let ended = ctl_in(directory.path(), &["status"], &[]);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    assert!(ended.errors.contains("control_socket") && ended.errors.contains("--socket"), "{ended:?}");
}
