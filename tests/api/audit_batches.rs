//! Reads, lists and refusals in batches: each entry is written once whatever fails, and the list shows the trail as if every entry
//! were a row of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use healthcare_backend::internals::{Queries, migrate};
use postgres::Client;
use postgres::types::{ToSql, Type};
use serde_json::{Value, json};

use crate::harness::binary::Program;
use crate::harness::folder::Folder;
use crate::harness::{TestApp, eventually, postgres as databases};

/// A trail of both tables by turns: changes, reads and lists of before there were batches, and batches of 1 to 40 entries.
const FILL: &str = "
    do $$
    begin
        for g in 1..45 loop
            if g % 3 = 0 then
                insert into audit_entries (at, actor_id, action, resource, resource_id, resource_ids)
                select timestamptz '2026-01-01Z' + g * interval '9 h', 1 + g % 2, action, case when g % 5 = 0 then 'mapping' else 'patient' end,
                       case when action <> 'list' then 1 + g % 7 end,
                       case when action = 'list' then array[1 + g % 7, 2 + g % 7] end
                  from (select (array['create', 'read', 'list', 'update'])[1 + g % 4] as action) as kind;
            else
                insert into audit_batches (id, action, resource, at, actor_id, resource_id, resource_ids, ip, request_id, record_ids)
                select nextval('audit_entries_id_seq'), action, resource, at, actor_id, resource_id, resource_ids, ip, request_id,
                       array(select unnest(array_remove(resource_id, null))
                              union select unnest(list::bigint[]) from unnest(resource_ids) as list)
                  from (select (array['read', 'list', 'denied'])[1 + g / 2 % 3] as action,
                               (array['patient', 'mapping'])[1 + g / 6 % 2] as resource) as kind,
                       lateral (
                         select array_agg(timestamptz '2026-01-01Z' + g * interval '9 h' + n * interval '10 min' order by n) as at,
                                array_agg(1 + (g * n) % 3 order by n) as actor_id,
                                array_agg(case when action <> 'list' and n % 5 > 0 then 1 + (g + n) % 7 end order by n) as resource_id,
                                array_agg(case when action = 'list' then lists[1 + n % 4] end order by n) as resource_ids,
                                array_agg(inet '127.0.0.1') as ip,
                                array_agg(g || '-' || n order by n) as request_id
                           from (select n, action, array['{}', '{1,5}', '{2}', '{11,3}'] as lists
                                   from generate_series(1, (array[1, 40, 2, 7, 1])[1 + g % 5]) as n) as entry) as batch;
            end if;
        end loop;
        insert into audit_batch_actors (actor_id, batch_id) select distinct unnest(actor_id), id from audit_batches;
    end $$";

/// `actor_id`, `action`, `resource`, `resource_id`
type Filter = (Option<i64>, Option<&'static str>, Option<&'static str>, Option<i64>);

/// The statement of the list, and what it must come to: every entry of the trail looked at.
struct Pages {
    sql: Client,
    list: String,
    /// `from` and `until`
    period: [Option<SystemTime>; 2],
}

impl Pages {
    const NAIVE: &'static str = "
        select * from audit_trail
         where id < $1 and ($3 is null or actor_id = $3) and ($4 is null or action = $4) and ($5 is null or resource = $5)
           and ($6 is null or resource_id = $6 or $6 = any (resource_ids))
           and ($7 is null or at >= $7) and ($8 is null or at < $8)
         order by id desc limit $2";

    fn ask(&mut self, statement: &str, before: i64, size: i64, filter: Filter) -> Vec<Value> {
        let parameters: [(&(dyn ToSql + Sync), Type); 8] = [
            (&before, Type::INT8),
            (&size, Type::INT8),
            (&filter.0, Type::INT8),
            (&filter.1, Type::TEXT),
            (&filter.2, Type::TEXT),
            (&filter.3, Type::INT8),
            (&self.period[0], Type::TIMESTAMPTZ),
            (&self.period[1], Type::TIMESTAMPTZ),
        ];
        let text = format!("select to_jsonb(page) from ({statement}) as page");
        self.sql.query_typed(&text, &parameters).expect("a page").iter().map(|row| row.get(0)).collect()
    }

    fn all(&mut self, filter: Filter) -> Vec<Value> {
        self.ask(Self::NAIVE, i64::MAX, 10_000, filter)
    }

    /// Every page of this size, one after the other.
    fn paged(&mut self, size: i64, filter: Filter) -> Vec<Value> {
        let (mut found, mut before, list) = (Vec::new(), i64::MAX, self.list.clone());
        loop {
            let page = self.ask(&list, before, size, filter);
            assert!(page.len() <= usize::try_from(size).expect("a size"));
            let Some(last) = page.last() else { return found };
            before = id(last);
            found.extend(page);
        }
    }
}

fn id(entry: &Value) -> i64 {
    entry["id"].as_i64().expect("an id")
}

fn filled() -> Pages {
    let mut sql = databases::connect(&databases::new_database());
    sql.batch_execute(FILL).expect("a trail");
    Pages { sql, list: Queries::load(None).expect("statements").audit.list.text.clone(), period: [None; 2] }
}

#[test]
fn pages_of_every_size_hold_each_entry_once_newest_first() {
    let mut pages = filled();
    let none = (None, None, None, None);
    let all = pages.all(none);
    assert!(all.len() > 300 && all.is_sorted_by(|newer, older| id(newer) > id(older)), "{}", all.len());
    for size in [1, 2, 7, 39, 40, 41, 500] {
        assert_eq!(pages.paged(size, none), all, "pages of {size}");
    }
    // From every place, in the middle of a batch, at its borders, and where there is no entry.
    let list = pages.list.clone();
    for before in all.iter().flat_map(|entry| [id(entry), id(entry) + 1]) {
        let expected: Vec<&Value> = all.iter().filter(|entry| id(entry) < before).take(3).collect();
        assert_eq!(pages.ask(&list, before, 3, none).iter().collect::<Vec<_>>(), expected, "before {before}");
    }
}

#[test]
fn every_combination_of_filters_finds_the_entries_that_match() {
    let mut pages = filled();
    let mut fruitful = 0;
    for actor in [None, Some(1), Some(2), Some(9)] {
        for action in [None, Some("create"), Some("read"), Some("list"), Some("denied")] {
            for resource in [None, Some("patient"), Some("mapping")] {
                for record in [None, Some(1), Some(5), Some(11), Some(99)] {
                    let filter = (actor, action, resource, record);
                    let all = pages.all(filter);
                    for size in [1, 7] {
                        assert_eq!(pages.paged(size, filter), all, "{filter:?}, pages of {size}");
                    }
                    fruitful += usize::from(!all.is_empty());
                }
            }
        }
    }
    assert!(fruitful > 100, "{fruitful} find something");
}

#[test]
fn a_period_is_found_wherever_it_begins_and_ends() {
    let mut pages = filled();
    // Counted from the first entry; batches have up to 40 entries, ten minutes apart.
    let minutes = |count: u64| Some(UNIX_EPOCH + Duration::from_secs(1_767_225_600 + 60 * count));
    for period in [
        [minutes(9 * 60 * 20 + 35), None],
        [None, minutes(9 * 60 * 20 + 35)],
        [minutes(9 * 60 * 10), minutes(9 * 60 * 30 + 45)],
        [minutes(9 * 60 * 31 + 20), minutes(9 * 60 * 31 + 70)],
        [minutes(9 * 60 * 60), None],
        [minutes(9 * 60 * 30), minutes(9 * 60 * 10)],
    ] {
        pages.period = period;
        for actor in [None, Some(1), Some(2)] {
            for action in [None, Some("create"), Some("read"), Some("list")] {
                for record in [None, Some(1), Some(5)] {
                    let filter = (actor, action, None, record);
                    let all = pages.all(filter);
                    assert_eq!(pages.paged(3, filter), all, "{filter:?}, {period:?}");
                }
            }
        }
    }
}

#[test]
fn a_batch_without_room_for_its_ids_or_with_columns_of_different_length_is_refused() {
    let mut sql = databases::connect(&databases::new_database());
    let insert = |ids: i64, others: i64| {
        format!(
            "insert into audit_batches
             select nextval('audit_entries_id_seq'), 'read', 'patient', array_fill(now(), array[{others}]), array_fill(1, array[{ids}]),
                    array_fill(1, array[{others}]), array_fill(null::text, array[{others}]),
                    array_fill(inet '::1', array[{others}]), array_fill(text 'x', array[{others}]), array[1]"
        )
    };
    for (ids, others) in [(1, 1), (1_000, 1_000)] {
        sql.batch_execute(&insert(ids, others)).expect("a whole batch");
    }
    for (ids, others) in [(1_001, 1_001), (2, 1), (1, 2), (0, 0)] {
        let refused = sql.batch_execute(&insert(ids, others)).expect_err("no batch");
        assert_eq!(refused.code(), Some(&postgres::error::SqlState::CHECK_VIOLATION), "{ids}, {others}");
    }
    let ids = "select count(*), count(distinct id), max(id) from audit_trail";
    let row = sql.query_one(ids, &[]).expect("counts");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), (1_001, 1_001, 2_000));
}

#[test]
fn entries_from_before_there_were_batches_keep_their_ids_and_their_place() {
    let mut sql = databases::connect(&databases::new_empty_database());
    let migrations = migrate::load(None).expect("migrations");
    migrate::run(&mut sql, &migrations[..5]).expect("the schema of before");
    let fill = "insert into audit_entries (action, resource, resource_id)
                select (array['read', 'create'])[1 + n % 2], 'patient', n from generate_series(1, 5) as n";
    sql.batch_execute(fill).expect("entries");
    migrate::run(&mut sql, &migrations).expect("the schema of today");
    sql.batch_execute(FILL).expect("more");
    let mut pages =
        Pages { sql, list: Queries::load(None).expect("statements").audit.list.text.clone(), period: [None; 2] };
    let all = pages.paged(7, (None, None, None, None));
    assert_eq!(all, pages.all((None, None, None, None)));
    let oldest: Vec<i64> = all.iter().rev().take(5).map(id).collect();
    assert_eq!(oldest, [1, 2, 3, 4, 5]);
    let read: Vec<i64> = pages.paged(1, (None, Some("read"), None, Some(4))).iter().map(id).collect();
    assert!(read.contains(&4), "{read:?}");
}

#[test]
fn entries_that_gathered_are_one_row_per_kind_in_the_order_in_which_they_happened() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mapping = ann.new_mapping(patient, doctor);
    let mut sql = app.sql();
    let mut held = sql.transaction().expect("a transaction");
    held.batch_execute("lock table audit_batches in share row exclusive mode").expect("a lock");
    // The first is on its way to the table; the others gather behind it.
    ann.get(&format!("/api/patients/{patient}")).expect(200, "success");
    eventually("the first waits for the table", || waiting(&app) == 1);
    for _ in 0..4 {
        ann.get(&format!("/api/patients/{patient}")).expect(200, "success");
        ann.get("/api/patients").expect(200, "success");
        ann.get(&format!("/api/patients/{patient}/mappings/{mapping}")).expect(200, "success");
        ann.get("/api/admin/patients").expect(403, "forbidden");
    }
    held.commit().expect("an end");
    eventually("all are there", || app.metric("audit_buffered_entries") == 0.0);
    let kinds = "select action || ' ' || resource || ' ' || cardinality(at) from audit_batches order by id";
    let kinds: Vec<String> = app.sql().query(kinds, &[]).expect("rows").iter().map(|row| row.get(0)).collect();
    assert_eq!(kinds, ["read patient 1", "read patient 4", "list patient 4", "read mapping 4", "denied patient 4"]);
    for (action, outcome) in [("read", "success"), ("list", "success"), ("denied", "forbidden")] {
        for resource in ["patient", "mapping"] {
            let of_kind: Vec<Value> =
                app.audited(action).into_iter().filter(|one| one["resource"] == resource).collect();
            let time =
                |entry: &Value| entry["at"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
            assert!(of_kind.is_sorted_by_key(time) && of_kind.iter().all(|entry| entry["outcome"] == outcome));
        }
    }
}

#[test]
fn a_kind_that_cannot_be_written_waits_and_earlier_kinds_are_not_written_again() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    let mut sql = app.sql();
    let mut held = sql.transaction().expect("a transaction");
    held.batch_execute(
        "lock table audit_batches in share row exclusive mode;
         create function fail() returns trigger language plpgsql as $$
         begin
             if new.action = 'list' then raise exception 'no room'; end if;
             return new;
         end $$;
         create trigger fail before insert on audit_batches for each row execute function fail()",
    )
    .expect("a trigger");
    let mut sent = 0;
    let mut ask = |target: &str| {
        sent += 1;
        ann.send("GET", target, &[("X-Request-Id", &format!("number-{sent}"))], None);
        sent
    };
    ask(&path);
    eventually("the first waits for the table", || waiting(&app) == 1);
    for target in [&path, "/api/patients", &path, "/api/patients", "/api/admin/patients"] {
        ask(target);
    }
    held.commit().expect("an end");
    eventually("the reads are there", || app.audited("read").len() == 3);
    // Entries that cannot be written do not delay later ones, and are not lost.
    ask(&path);
    eventually("the last read is there", || app.audited("read").len() == 4);
    eventually("the refusal is there", || app.audited("denied").len() == 1);
    assert_eq!((app.audited("list").len(), app.metric("audit_refused_entries")), (0, 2.0));
    sql.batch_execute("drop trigger fail on audit_batches").expect("no trigger");
    eventually("all are there", || app.metric("audit_buffered_entries") == 0.0);
    let requests =
        |action: &str| -> Vec<Value> { app.audited(action).iter().map(|entry| entry["request_id"].clone()).collect() };
    assert_eq!(requests("read"), [json!("number-1"), json!("number-2"), json!("number-4"), json!("number-7")]);
    assert_eq!(requests("list"), [json!("number-3"), json!("number-5")]);
    assert_eq!(requests("denied"), [json!("number-6")]);
}

#[test]
fn an_entry_that_the_database_refuses_is_separated_from_its_neighbours_and_delays_nobody() {
    let (folder, database) = (Folder::new(), databases::new_database());
    let server = Program::on(&database, &folder, &[]).serve();
    let ann = server.anyone().signed_up("ann");
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    let mut sql = databases::connect(&database);
    sql.batch_execute(
        "create function fail() returns trigger language plpgsql as $$
         begin
             if 'bad' = any (new.request_id) then raise exception 'not this one'; end if;
             return new;
         end $$;
         create trigger fail before insert on audit_batches for each row execute function fail()",
    )
    .expect("a trigger");
    let mut count = |id: &str| -> i64 {
        sql.query_one("select count(*) from audit_trail where request_id = $1", &[&id]).expect("a count").get(0)
    };
    for round in 0..2 {
        for place in 0..9 {
            let id = if place == 4 { "bad".to_string() } else { format!("good-{round}-{place}") };
            ann.send("GET", &path, &[("X-Request-Id", &id)], None).expect(200, "success");
        }
        eventually("its neighbours are there", || {
            (0..9).filter(|place| count(&format!("good-{round}-{place}")) == 1).count() == 8
        });
        eventually("it is counted", || server.metric("audit_refused_entries") == f64::from(round + 1));
    }
    eventually("it is logged", || !server.lines_with("audit: entries cannot be written and wait").is_empty());
    let said = server.lines_with("audit: entries cannot be written and wait");
    assert!(said.len() == 1 && said[0].contains("not this one") && said[0].contains(" warn "), "{said:?}");
    sql.batch_execute("drop trigger fail on audit_batches").expect("no trigger");
    eventually("all are there", || server.metric("audit_buffered_entries") == 0.0);
    let row = sql.query_one(
        "select count(*), count(*) filter (where request_id = 'bad') from audit_trail where action = 'read'",
        &[],
    );
    let row = row.expect("counts");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (18, 2), "each once");
    eventually("the end of the outage is logged", || server.lines_with("audit: all entries are written").len() == 1);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn entries_that_the_database_refuses_to_the_end_are_reported_as_lost() {
    let (folder, database) = (Folder::new(), databases::new_database());
    let server = Program::on(&database, &folder, &[]).serve();
    let ann = server.anyone().signed_up("ann");
    let mut sql = databases::connect(&database);
    sql.batch_execute("alter table audit_batches add constraint none check (action <> 'list') not valid")
        .expect("a rule");
    for _ in 0..3 {
        ann.get("/api/patients").expect(200, "success");
    }
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("3 entries of reads were lost"), "{}", ended.stderr);
}

#[test]
fn an_admin_pages_through_batches() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let (one, other) = (ann.new_patient("P"), ann.new_patient("Q"));
    for _ in 0..5 {
        for id in [one, other] {
            ann.get(&format!("/api/patients/{id}")).expect(200, "success");
        }
        ann.get("/api/patients?limit=1").expect(200, "success");
    }
    eventually("all are there", || app.metric("audit_buffered_entries") == 0.0);
    for (filter, count) in [
        (format!("resource=patient&resource_id={one}&action=read"), 5),
        (format!("resource=patient&resource_id={one}"), 11),
        (format!("resource_id={other}&actor_id={}", ann.id), 6 + 1),
        (format!("actor_id={}&action=list", ann.id), 5),
    ] {
        let mut ids = Vec::new();
        let mut next = Some(format!("/api/admin/audit?limit=2&{filter}"));
        while let Some(target) = next {
            let page = root.get(&target).expect(200, "success");
            ids.extend(page.ids());
            next = page.next();
        }
        let all = root.get(&format!("/api/admin/audit?{filter}")).expect(200, "success").ids();
        assert_eq!((ids.len(), &ids), (count, &all), "{filter}");
        assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    }
}

/// Statements that wait for the lock on the table.
fn waiting(app: &TestApp) -> i64 {
    let text = "select count(*) from pg_locks where relation = 'audit_batches'::regclass and not granted";
    app.sql().query_one(text, &[]).expect("a count").get(0)
}
