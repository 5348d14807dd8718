//! Releases in directories of their own, and a symbolic link that says which one is current.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use kit::{Server, Setup, Signal, install_echo};

/// Makes a release of that name current, and removes the one before.
fn deploy(root: &Path, name: &str) {
    let release = root.join("releases").join(name);
    fs::create_dir_all(&release).expect("a directory can be made");
    install_echo(&release.join("echo"));
    let (link, draft) = (root.join("current"), root.join("next"));
    let before = fs::canonicalize(&link).ok();
    symlink(Path::new("releases").join(name), &draft).expect("a link can be made");
    fs::rename(&draft, &link).expect("a link can be replaced");
    if let Some(before) = before {
        fs::remove_dir_all(before).expect("a release can be removed");
    }
}

/// Where a master is to work.
#[derive(Clone, Copy)]
enum Works {
    InTheRoot,
    InTheRelease,
}

/// A server whose releases are upgraded by both ways: to the second, when the first is gone already, and to the third.
fn upgrades_follow_the_link(works: Works, settings: &str, setup: impl Fn(String) -> Setup) {
    for way in ["fork", "exec"] {
        let config = format!("[server]\nworkers = 1\nupgrade = \"{way}\"\n{settings}\n");
        let mut server = setup(config).prepared(|root| deploy(root, "1")).start();
        server.wait_for_workers(1);
        let hammer = server.hammer();
        is_current(&server, "1", works);
        for name in ["2", "3"] {
            deploy(server.path(), name);
            upgrade(&mut server);
            is_current(&server, name, works);
        }
        hammer.strike(20);
        hammer.verdict();
    }
}

/// The master is of this release, and works where it should.
fn is_current(server: &Server, name: &str, works: Works) {
    let root = fs::canonicalize(server.path()).expect("it is there");
    let release = root.join("releases").join(name);
    let directory = match works {
        Works::InTheRoot => &root,
        Works::InTheRelease => &release,
    };
    assert_eq!(kit::executable(server.pid()), release.join("echo"), "{}", server.said());
    let works_in = fs::read_link(format!("/proc/{}/cwd", server.pid())).expect("it works somewhere");
    assert_eq!(&works_in, directory);
}

/// Upgrades to what is current, and waits until that has taken over.
fn upgrade(server: &mut Server) {
    let (told, before) = (server.said().len(), server.workers());
    server.signal(Signal::USR2);
    let said = server.wait_for("the end of the upgrade", |server| {
        let said = server.said().split_off(told);
        (said.contains("serves beside this one") || said.contains("upgrade: done")).then_some(said)
    });
    if let Some((_, rest)) = said.split_once("the new master is pid ") {
        let new = rest.lines().next().and_then(|pid| pid.parse().ok()).expect("a process id");
        server.signal(Signal::TERM);
        server.wait_until_gone(server.pid());
        server.follow(new);
        server.wait_for_line(&[&format!("[{new}]"), "this one is the server now"]);
    }
    server.wait_for_others(&before, 1);
}

#[test]
fn a_relative_path_through_the_link_leads_to_the_new_release() {
    upgrades_follow_the_link(Works::InTheRoot, "", |config| Server::of("current/echo".into(), &config));
}

#[test]
fn an_absolute_path_through_the_link_leads_to_the_new_release() {
    // The shell makes the path absolute, as its directory is only known once the server starts.
    let shell = ["sh", "-c", "shift; exec \"$PWD/current/echo\" \"$@\"", "sh"];
    upgrades_follow_the_link(Works::InTheRoot, "", |config| Server::of("echo".into(), &config).under(shell));
}

#[test]
fn a_name_on_the_search_path_leads_to_the_new_release() {
    let shell = ["sh", "-c", "shift; PATH=\"$PWD/current:$PATH\"; exec echo \"$@\"", "sh"];
    upgrades_follow_the_link(Works::InTheRoot, "", |config| Server::of("echo".into(), &config).under(shell));
}

#[test]
fn the_directory_to_work_in_is_looked_up_anew() {
    upgrades_follow_the_link(Works::InTheRelease, "chdir = \"current\"", |config| {
        Server::of("current/echo".into(), &config)
    });
}

#[test]
fn a_server_that_was_started_in_the_link_follows_it() {
    // cd keeps the link's name in $PWD, as that of an interactive shell does.
    let shell = ["sh", "-c", "cd current; exec \"$@\"", "sh"];
    upgrades_follow_the_link(Works::InTheRelease, "", |config| {
        Server::of("./echo".into(), &config).under(shell)
    });
}
