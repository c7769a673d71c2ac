//! A clinic on a cluster that breaks part by part while people work. `make test-cluster` runs it in a network of its own.

#![allow(clippy::print_stdout, reason = "the figures of each fault are worth reading")]

// The test uses its own part of these.
#[allow(dead_code, unused_imports)]
#[path = "../api/harness/mod.rs"]
mod harness;
#[allow(dead_code)]
#[path = "../ops/node.rs"]
mod node;
#[path = "../ops/processes.rs"]
mod processes;
#[allow(dead_code)]
#[path = "../ops/tale.rs"]
mod tale;

mod clinic;
mod machine;
mod page;
mod people;
mod proof;
mod story;

use std::path::PathBuf;

use clinic::{Clinic, SERVICE, start_etcd, start_patroni, start_service, stop_service};
use harness::Person;
use harness::folder::Folder;
use node::sign_up;
use people::People;
use story::Story;

const COUNT: &str = "select count(*) from patients";

#[test]
fn a_clinic_works_on_while_its_cluster_breaks() {
    let folder = std::env::var_os("CLUSTER_FOLDER").expect("`make test-cluster` runs this test");
    let mut clinic = Clinic::build(&PathBuf::from(folder));
    let ann = clinic.move_in();
    let address = clinic.open();
    clinic.back_up();
    let ann = Person { address, ..ann };
    let people = People::start(address, ann.clone(), sign_up(address, "bob"));
    let mut story = Story::begin(clinic, people);

    // When it is on again, its PostgreSQL follows the new leader.
    let leader = story.clinic.leader();
    story.happens("the leader's machine loses power", |clinic| clinic.databases[leader].lose_power());
    story.heals("it is on again", |clinic| {
        let machine = &mut clinic.databases[leader];
        machine.switch_on();
        start_etcd(machine);
        start_patroni(machine);
    });

    // Its connections stay open. When it thaws, it believes for a moment that it still leads.
    let leader = story.clinic.leader();
    story.happens("the leader's machine freezes", |clinic| clinic.databases[leader].freeze());
    story.heals("it thaws", |clinic| clinic.databases[leader].thaw());

    // It runs on, and nobody hears it.
    let leader = story.clinic.leader();
    story.happens("the leader's machine is cut off", |clinic| clinic.databases[leader].unplug());
    story.heals("it is reached again", |clinic| clinic.databases[leader].plug_in());

    // Commits wait for it.
    let standby = story.clinic.synchronous_standby();
    story.happens("the synchronous standby is cut off", |clinic| clinic.databases[standby].unplug());
    story.heals("it is reached again", |clinic| clinic.databases[standby].plug_in());

    let leader = story.clinic.leader();
    story.heals("the leader hands over in order", Clinic::switch_over);
    assert_ne!(story.clinic.leader(), leader);

    let leader = story.clinic.leader();
    story.happens("the leader's etcd is killed", |clinic| clinic.databases[leader].end("etcd", "-KILL"));
    story.heals("it is started again", |clinic| start_etcd(&mut clinic.databases[leader]));

    story.happens("a node is killed", |clinic| clinic.nodes[0].end("healthcare-back", "-KILL"));
    story.happens("it is started again", |clinic| start_service(&mut clinic.nodes[0], SERVICE));

    // A newer program with one more migration brings the schema up to date. Then one node runs it, while the other is still the old one.
    let newer = Folder::with_sql();
    newer.write(
        &format!("migrations/{}_more.sql", story.clinic.next_migration()),
        "alter table patients add column more text;",
    );
    let newer = format!("SQL_DIR={}", newer.path().display());
    story.happens("the schema becomes newer", |clinic| clinic.migrate(&newer));
    story.happens("a node is stopped in order", |clinic| stop_service(&clinic.nodes[1]));
    story.happens("it is started as the newer program", |clinic| clinic.start_with(1, &newer));
    story.happens("the older program is stopped", |clinic| stop_service(&clinic.nodes[0]));
    story.happens("it is started again", |clinic| start_service(&mut clinic.nodes[0], SERVICE));

    let (mut clinic, notes) = story.end();
    proof::the_database_agrees(&clinic, &notes);

    // Somebody deletes everybody. The database goes back to the moment before.
    let (before, moment) = (clinic.ask(COUNT), clinic.ask("select clock_timestamp()").remove(0));
    clinic.ask("delete from mappings; delete from patients");
    assert_eq!(clinic.ask(COUNT), ["0"]);
    clinic.go_back_to(&moment);
    assert_eq!(clinic.ask(COUNT), before);
    proof::the_database_agrees(&clinic, &notes);
    ann.get("/api/patients?limit=1").expect(200, "success");
}
